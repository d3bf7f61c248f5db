package objecttest_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

func TestFaults(t *testing.T) {
	f := objecttest.NewFaults(membucket.New())
	put := func(name string) error {
		_, err := f.Put(t.Context(), name, strings.NewReader("hello"), 5, &object.PutOptions{CreateOnly: true})
		return err
	}
	there := func(name string) bool {
		_, err := f.Unwrap().Head(t.Context(), name)
		return err == nil
	}
	f.Fail(objecttest.Fault{Method: objecttest.Put, N: 2}, objecttest.Fault{Method: objecttest.Put, N: 3, After: true, Err: object.ErrNoSpace})
	if err := put("1"); err != nil {
		t.Error(err)
	}
	if err := put("2"); !errors.Is(err, objecttest.ErrFault) || !errors.Is(err, object.ErrUnavailable) || there("2") {
		t.Errorf("before the effect: %v", err)
	}
	if err := put("3"); !errors.Is(err, object.ErrNoSpace) || !there("3") {
		t.Errorf("after the effect: %v", err)
	}
	if err := put("4"); err != nil {
		t.Error(err)
	}
	if n := f.Count(objecttest.Put); n != 4 || f.Count() != 4 {
		t.Errorf("%d puts, %d calls; want 4 and 4", n, f.Count())
	}
	f.Reset()
	if n := f.Count(); n != 0 {
		t.Errorf("%d calls after Reset", n)
	}

	f.Fail(objecttest.Fault{Method: objecttest.Get, After: true})
	r, err := f.Get(t.Context(), "1", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "he" || !errors.Is(err, objecttest.ErrFault) {
		t.Errorf("a reader that breaks: %q, %v", got, err)
	}

	f.Fail(objecttest.Fault{Name: func(n string) bool { return n == "4" }, Every: true})
	for range 2 {
		if _, err := f.Head(t.Context(), "4"); !errors.Is(err, objecttest.ErrFault) {
			t.Errorf("%v, want ErrFault", err)
		}
	}
	if _, err := f.Head(t.Context(), "1"); err != nil {
		t.Error(err)
	}
	f.Heal()
	if _, err := f.Head(t.Context(), "4"); err != nil {
		t.Error(err)
	}

	called := false
	f.Fail(objecttest.Fault{Method: objecttest.Delete, Do: func(context.Context) error { called = true; return nil }})
	if err := f.Delete(t.Context(), "4"); err != nil || !called || there("4") {
		t.Errorf("Do that lets pass: %v, called %v", err, called)
	}

	f.Fail(objecttest.Fault{Method: objecttest.List, After: true})
	n, last := 0, error(nil)
	for _, err := range f.List(t.Context(), "", "") {
		n, last = n+1, err
	}
	if n != 3 || !errors.Is(last, objecttest.ErrFault) {
		t.Errorf("a list that breaks: %d rounds, %v", n, last)
	}
	if !f.Local() {
		t.Error("a Local is no more")
	}
}

// A bucket without the capability has it not through Faults either.
func TestFaultsOfNoMultiparter(t *testing.T) {
	f := objecttest.NewFaults(struct{ object.Bucket }{membucket.New()})
	if _, err := f.CreateMultipart(t.Context(), "a", nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	if f.Local() {
		t.Error("is Local")
	}
}
