package backend_test

import (
	"errors"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// TestOpenedAtTheSameTimeAsReplayed: an upload that comes to light from the log just when it
// is opened again has lost what tells that all of its chunks are there. It is begun anew,
// or every chunk would be refused.
func TestOpenedAtTheSameTimeAsReplayed(t *testing.T) {
	bucket := membucket.New()
	libs := make([]*backend.Library, 2)
	for i := range libs {
		var err error
		if libs[i], err = backend.New(bucket, memkv.New(), nil).Library(t.Context(), "abcdefghijklm", backend.Access{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := libs[0].OpenChunked(t.Context(), "nc-1", "", nil); err != nil {
		t.Fatal(err)
	}
	// The other does not know of it before its append is refused.
	if _, err := libs[1].Mkdir(t.Context(), "photos", nil); !errors.Is(err, backend.ErrUnavailable) {
		t.Fatalf("got %v, want it fenced", err)
	}
	if _, err := libs[1].OpenChunked(t.Context(), "nc-1", "", nil); err != nil {
		t.Fatal(err)
	}
	if err := chunk(t, libs[1], 0, 10, nil); err != nil {
		t.Error(err)
	}
}
