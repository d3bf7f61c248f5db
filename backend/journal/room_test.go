package journal_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
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

// A try that may have got there is not undone by one that certainly did not.
func TestUnknownThenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := objecttest.NewFaults(membucket.New())
		x := memkv.New()
		l := open(t, b, x)
		// The first try has its effect and no answer; then the bucket is full.
		b.Fail(objecttest.Fault{Method: objecttest.Put, After: true}, objecttest.Fault{Method: objecttest.Put, N: 2, Err: object.ErrNoSpace})
		if err := put(t.Context(), l, "a", "1"); !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
		if err := put(t.Context(), l, "b", "2"); err != nil || get(t, x, "a") != "1" {
			t.Errorf("got %v, row %q", err, get(t, x, "a"))
		}
	})
}
