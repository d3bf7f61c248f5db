package journal_test

import (
	"context"
	"errors"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// fullStore is a store whose disk is full: it says so beforehand, or only at the commit.
type fullStore struct {
	kv.Store
	room, commit error
}

func (s *fullStore) Room() error { return s.room }

func (s *fullStore) Commit(ctx context.Context, ops []kv.Op) error {
	if s.commit != nil {
		return s.commit
	}
	return s.Store.Commit(ctx, ops)
}

// "No space, nothing was changed" is said only as long as it is true: before the segment
// is in the bucket. After that the outcome is unknown, and comes to light.
func TestNoRoom(t *testing.T) {
	b := membucket.New()
	x := &fullStore{Store: memkv.New()}
	l := open(t, b, x)
	x.room = kv.ErrNoSpace
	if err := put(t.Context(), l, "a", "1"); !errors.Is(err, kv.ErrNoSpace) || len(segments(t, b)) != 0 {
		t.Errorf("got %v and %d segments", err, len(segments(t, b)))
	}
	x.room, x.commit = nil, kv.ErrNoSpace
	if err := put(t.Context(), l, "b", "2"); !errors.Is(err, object.ErrUnavailable) || errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	x.commit = nil
	if err := put(t.Context(), l, "c", "3"); err != nil || get(t, x, "a")+get(t, x, "b")+get(t, x, "c") != "23" {
		t.Errorf("got %v, rows %q %q %q", err, get(t, x, "a"), get(t, x, "b"), get(t, x, "c"))
	}
}
