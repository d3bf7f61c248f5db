package backend_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// losesAnswer completes an upload once without saying so.
type losesAnswer struct {
	*membucket.Bucket
	lost bool
}

func (b *losesAnswer) CompleteMultipart(ctx context.Context, name, id string, parts []object.Part) (object.Info, error) {
	info, err := b.Bucket.CompleteMultipart(ctx, name, id, parts)
	if !b.lost {
		b.lost = true
		return object.Info{}, object.ErrUnavailable
	}
	return info, err
}

// TestCompletedOfOtherParts: whoever completes an upload again, after the answer was lost,
// may name other parts than are in the object by now, of the same size.
func TestCompletedOfOtherParts(t *testing.T) {
	ctx := t.Context()
	lib, err := backend.New(&losesAnswer{Bucket: membucket.New()}, memkv.New(), nil).Library(ctx, "abcdefghijklm", backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Mkdir(ctx, "photos", nil); err != nil {
		t.Fatal(err)
	}
	u, err := lib.CreateUpload(ctx, "photos/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	named := make([]backend.CompletePart, 2)
	for i, body := range []string{"one", "two"} {
		p, err := lib.PutPart(ctx, u.ID, i+1, strings.NewReader(body), 3, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		named[i] = backend.CompletePart{Number: i + 1, ETag: p.ETag}
	}
	complete := func(i int) error {
		_, err := lib.CompleteUpload(ctx, u.ID, named[i:i+1], nil)
		return err
	}
	if err := complete(0); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("got %v, want the answer lost", err)
	}
	if err := complete(1); !errors.Is(err, backend.ErrPart) {
		t.Errorf("of another part: got %v, want ErrPart", err)
	}
	if err := complete(0); err != nil {
		t.Errorf("of the same: %v", err)
	}
}
