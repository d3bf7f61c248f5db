package journal_test

import (
	"fmt"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

func TestCompareAndRepair(t *testing.T) {
	b, x := membucket.New(), memkv.New()
	l := open(t, b, x)
	for i := range 200 {
		if err := put(t.Context(), l, fmt.Sprint(i), fmt.Sprint("value ", i)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(wrong int) {
		t.Helper()
		rows, differ, err := l.Compare(t.Context(), memkv.New())
		if err != nil || len(differ) != wrong || rows == 0 {
			t.Errorf("%d rows, %d wrong, %v; want %d", rows, len(differ), err, wrong)
		}
	}
	check(0)
	for i := range 120 {
		op := kv.Op{Key: key(fmt.Sprint(i)), Kind: kv.Del}
		if i%2 == 0 {
			op = kv.Op{Key: op.Key, D: []byte("other")}
		}
		if err := x.Commit(t.Context(), []kv.Op{op, {Key: key(fmt.Sprint("new ", i)), D: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
	check(240)
	if n, err := l.Repair(t.Context(), memkv.New()); n != 240 || err != nil {
		t.Errorf("repaired %d, %v", n, err)
	}
	check(0)
	if got := get(t, x, "7"); got != "value 7" {
		t.Errorf("got %q", got)
	}
	if err := put(t.Context(), l, "after", "1"); err != nil {
		t.Error(err)
	}
}
