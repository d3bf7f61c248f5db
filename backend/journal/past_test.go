package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

const day = 24 * time.Hour

// A year of two operations and a snapshot a day: any moment of the last 35 days can be
// opened, older ones are refused by name, and what is kept does not grow.
func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, x := membucket.New(), memkv.New()
		l := open(t, b, x)
		start := time.Now()
		for d := range 365 {
			time.Sleep(day / 2)
			if err := put(t.Context(), l, "day", fmt.Sprint(d)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(day / 2)
			if err := put(t.Context(), l, fmt.Sprint("row ", d%10), fmt.Sprint(d)); err != nil {
				t.Fatal(err)
			}
			if err := l.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		snaps := 0
		for range b.List(t.Context(), object.SnapshotPrefix(uid), "") {
			snaps++
		}
		if n := len(segments(t, b)); n < 70 || n > 90 || snaps < 7 || snaps > 10 {
			t.Errorf("kept %d segments and %d snapshots", n, snaps)
		}
		for _, back := range []time.Duration{0, time.Hour, day, 8 * day, 20*day + time.Minute, 34*day + 23*time.Hour, 35 * day} {
			at := time.Now().Add(-back)
			past := memkv.New()
			var last journal.Progress
			opt := &journal.Options{Prefixes: part, Until: at, Progress: func(p journal.Progress) { last = p }}
			l, err := journal.Open(t.Context(), b, past, uid, opt)
			if err != nil {
				t.Errorf("%v ago: %v", back, err)
				continue
			}
			if want := fmt.Sprint(int((at.Sub(start)+day/2)/day) - 1); get(t, past, "day") != want {
				t.Errorf("%v ago: day %s, want %s", back, get(t, past, "day"), want)
			}
			if last.UID != uid || last.Rows == 0 || last.Seq == 0 {
				t.Errorf("%v ago: progress %+v", back, last)
			}
			if err := put(t.Context(), l, "day", "changed"); err == nil {
				t.Error("the past was changed")
			}
		}
		_, err := journal.Open(t.Context(), b, memkv.New(), uid, &journal.Options{Prefixes: part, Until: start.Add(100 * day)})
		if !errors.Is(err, journal.ErrHistory) {
			t.Errorf("long ago: %v", err)
		}
		if _, err := journal.Open(t.Context(), b, x, uid, &journal.Options{Prefixes: part, Until: start}); err == nil {
			t.Error("the past was opened in a store that is not empty")
		}
	})
}

func TestBulk(t *testing.T) {
	b, x := membucket.New(), memkv.New()
	l := open(t, b, x)
	var ops []kv.Op
	for i := range 1000 {
		ops = append(ops, kv.Op{Key: key(fmt.Sprint(i)), D: []byte("v")})
	}
	for _, ops := range [][]kv.Op{ops, {{Key: key("7"), Kind: kv.Del}, {Key: key("8"), D: []byte(`{"a":1}`)}}, nil} {
		if err := l.Bulk(t.Context(), "bulk", ops); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(segments(t, b)); n != 2 {
		t.Errorf("%d segments, want 2", n)
	}
	again := memkv.New()
	open(t, b, again)
	for _, x := range []kv.Store{x, again} {
		rows, _, err := x.Scan(t.Context(), key("").P, "", "", false, 0)
		if err != nil || len(rows) != 999 || get(t, x, "8") != `{"a":1}` {
			t.Errorf("%d rows, %v", len(rows), err)
		}
	}
	big := []kv.Op{{Key: key("x"), D: make([]byte, kv.MaxData+1)}}
	if err := l.Bulk(t.Context(), "bulk", big); !errors.Is(err, kv.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if err := put(t.Context(), l, "after", "1"); err != nil {
		t.Error(err)
	}
}

// While a Hold lasts nothing is committed.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, membucket.New(), memkv.New())
		for i := range 20 {
			go put(t.Context(), l, fmt.Sprint("before ", i), "1")
		}
		done := make(chan error, 20)
		err := l.Hold(t.Context(), func(ctx context.Context, seq uint64) error {
			for i := range 20 {
				go func() { done <- put(t.Context(), l, fmt.Sprint("during ", i), "1") }()
			}
			time.Sleep(time.Minute)
			if now, err := l.Seq(ctx); err != nil || now != seq {
				return fmt.Errorf("it went from %d to %d, %v", seq, now, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := l.Hold(t.Context(), func(context.Context, uint64) error { panic("no") }); err == nil {
			t.Error("a panic is no error")
		}
		if err := put(t.Context(), l, "after", "1"); err != nil {
			t.Error(err)
		}
	})
}
