package journal_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// No bit of a segment can change, and no byte be missing, without being noticed. Of the
// last segment the chain of hashes does not tell.
func TestEveryBitOfTheLastSegment(t *testing.T) {
	b := membucket.New()
	if err := put(t.Context(), open(t, b, memkv.New()), "a", `{"json":"x"}`); err != nil {
		t.Fatal(err)
	}
	name := object.LogName(uid, 1)
	r, err := b.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	good, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	try := func(stored []byte) error {
		if _, err := b.Put(t.Context(), name, bytes.NewReader(stored), int64(len(stored)), nil); err != nil {
			t.Fatal(err)
		}
		_, err := journal.Open(t.Context(), b, memkv.New(), uid, nil)
		return err
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if try(bad) == nil {
				t.Errorf("byte %d, bit %d (%q) changed, and nobody noticed", i, bit, good[i])
			}
		}
		if try(good[:i]) == nil {
			t.Errorf("cut at byte %d, and nobody noticed", i)
		}
	}
	if err := try(good); err != nil {
		t.Error(err)
	}
}
