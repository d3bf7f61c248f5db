package backend_test

import (
	"encoding/xml"
	"fmt"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// Clients that never unlock leave nothing behind for ever, and what they have left does not
// keep a lock alive that goes with its entry.
func TestExpiredLocks(t *testing.T) {
	var now time.Time
	b := clockBox(t, membucket.New(), &now)
	ctx := t.Context()
	for i := range 150 {
		key := backend.Key(fmt.Sprint("photos/", i))
		b.put(string(key), "x")
		_, err := b.Lock(ctx, key, false, "", "", time.Minute)
		b.ok(err)
		if i < 75 { // a client that comes now and then; then many at once
			now = now.Add(2 * time.Minute)
		}
	}
	now = now.Add(2 * time.Minute)
	for i := range 3 {
		key := backend.Key(fmt.Sprint("photos/locked", i))
		b.put(string(key), "x")
		_, err := b.Lock(ctx, key, false, "", "", time.Hour)
		b.ok(err)
		_, _, err = b.Move(ctx, key, key+".moved", nil)
		b.ok(err)
		if held, err := b.Locks(ctx, key+".moved", false); err != nil || len(held) != 0 {
			t.Errorf("a lock was moved along: %v, %v", held, err)
		}
	}
	if n := b.rows("l#"); n > 0 {
		t.Errorf("%d rows of locks that have ended", n)
	}
}

// What has all the properties and locks that it may is moved, though all of it is written anew.
func TestMoveJunkWithAll(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	e := b.put("photos/._a", "junk")
	b.put("photos/b.gif", gif)
	var props []backend.Prop
	for i := range backend.MaxProps {
		props = append(props, backend.Prop{Name: xml.Name{Local: fmt.Sprint("p", i)}, Inner: []byte("x")})
	}
	_, err := b.SetProps(ctx, e.Key, backend.PropPatch{Set: props}, backend.Conditions{})
	b.ok(err)
	for range 16 {
		_, err := b.LockShared(ctx, e.Key, false, "", "", time.Hour)
		b.ok(err)
	}
	made, _, err := b.Move(ctx, e.Key, "photos/b.gif", &backend.MoveOptions{Overwrite: true})
	b.ok(err)
	if got, err := b.Props(ctx, made); err != nil || len(got) != backend.MaxProps {
		t.Errorf("%d properties, %v", len(got), err)
	}
	if got := b.read("photos/b.gif"); got != "junk" {
		t.Errorf("got %q", got)
	}
	if held, err := b.Locks(ctx, "photos", true); err != nil || len(held) != 0 {
		t.Errorf("locks: %v, %v", held, err)
	}
	b.sound()
}
