package journal_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// A plan that panics fails its own caller, changes nothing, and holds up nobody: not those
// of its batch, which others had to wait for, nor those after it.
func TestPanickingPlan(t *testing.T) {
	b, x := membucket.New(), memkv.New()
	l := open(t, b, x)
	bug := func(ctx context.Context) error {
		return l.Update(ctx, "bug", func(tx *journal.Tx) error {
			tx.Put(key("half"), []byte("1"))
			panic("index out of range")
		})
	}
	wrong := func(err error) bool {
		return err == nil || !strings.Contains(err.Error(), "internal error") || !strings.Contains(err.Error(), "index out of range")
	}
	if err := bug(t.Context()); wrong(err) {
		t.Errorf("got %v", err)
	}
	// A batch with panics in the middle: it gathers while the first plan runs.
	inPlan, gathered := make(chan bool), make(chan bool)
	var all sync.WaitGroup
	all.Go(func() {
		err := l.Update(t.Context(), "slow", func(tx *journal.Tx) error {
			inPlan <- true
			<-gathered
			return nil
		})
		if err != nil {
			t.Errorf("slow: %v", err)
		}
	})
	<-inPlan
	for i := range 20 {
		all.Go(func() {
			if i%3 == 0 {
				if err := bug(t.Context()); wrong(err) {
					t.Errorf("%d: got %v", i, err)
				}
				return
			}
			if err := put(t.Context(), l, string(rune('a'+i)), "x"); err != nil {
				t.Errorf("%d: got %v", i, err)
			}
		})
	}
	close(gathered)
	all.Wait()
	if err := l.Hold(t.Context(), func(context.Context, uint64) error { panic("index out of range") }); wrong(err) {
		t.Errorf("held: got %v", err)
	}
	if err := put(t.Context(), l, "after", "x"); err != nil {
		t.Errorf("after it: %v", err)
	}
	again := memkv.New()
	open(t, b, again)
	for _, store := range []*memkv.Store{x, again} {
		if get(t, store, "half") != "" || get(t, store, "b") != "x" || get(t, store, "after") != "x" {
			t.Error("what the plans put is not what there is")
		}
	}
}
