package kvtest_test

import (
	"errors"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

func TestFaultsPass(t *testing.T) {
	kvtest.Store(t, func(*testing.T) kv.Store { return kvtest.NewFaults(memkv.New(), nil) })
}

func TestFaults(t *testing.T) {
	k := kv.Key{P: "p", S: "s"}
	broken := errors.New("broken")
	f := kvtest.NewFaults(memkv.New(), kvtest.Nth(2, kvtest.Fault{Err: broken}))
	ops := func(d string) []kv.Op { return []kv.Op{{Key: k, D: []byte(d)}} }
	holds := func(want string) {
		t.Helper()
		if rows, err := f.Get(t.Context(), k); err != nil || string(rows[0].D) != want {
			t.Errorf("got %q, %v; want %q", rows[0].D, err, want)
		}
	}
	if err := f.Commit(t.Context(), ops("1")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(t.Context(), ops("2")); err != broken {
		t.Errorf("second call: got %v, want the fault", err)
	}
	holds("1")

	f.Script(kvtest.Nth(1, kvtest.Fault{After: true}))
	if err := f.Commit(t.Context(), ops("3")); err != kvtest.ErrFault {
		t.Errorf("got %v, want the fault", err)
	}
	holds("3")
	if f.Calls() != 2 {
		t.Errorf("got %d calls, want 2", f.Calls())
	}

	f.Script(func(c kvtest.Call) kvtest.Fault {
		return kvtest.Fault{Fail: c.Method == "Commit" && c.Ops[0].Key == k}
	})
	if err := f.Commit(t.Context(), ops("4")); err != kvtest.ErrFault {
		t.Errorf("got %v, want the fault", err)
	}
	holds("3")
}
