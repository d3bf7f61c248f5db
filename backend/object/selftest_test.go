package object_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// careless ignores create-only, as some stores do.
type careless struct{ *membucket.Bucket }

func (b careless) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	o := *opt
	o.CreateOnly = false
	return b.Bucket.Put(ctx, name, body, size, &o)
}

// forgetful gives back other bytes.
type forgetful struct{ *membucket.Bucket }

func (b forgetful) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("something else")), nil
}

func TestSelfTest(t *testing.T) {
	mem := membucket.New()
	for name, test := range map[string]func(context.Context, object.Bucket, string) error{"SelfTest": object.SelfTest, "SelfTestRace": object.SelfTestRace} {
		if err := test(t.Context(), mem, "v1/"); err != nil {
			t.Errorf("%s of a good bucket: %v", name, err)
		}
		if err := test(t.Context(), careless{mem}, "v1/"); !errors.Is(err, object.ErrUnfit) {
			t.Errorf("%s of a careless bucket: %v, want ErrUnfit", name, err)
		}
		if err := test(t.Context(), forgetful{mem}, ""); !errors.Is(err, object.ErrUnfit) {
			t.Errorf("%s of a forgetful bucket: %v, want ErrUnfit", name, err)
		}
	}
	for _, method := range []string{objecttest.Put, objecttest.Get, objecttest.List, objecttest.Delete} {
		f := objecttest.NewFaults(mem)
		f.Fail(objecttest.Fault{Method: method})
		if err := object.SelfTest(t.Context(), f, ""); !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrUnfit) {
			t.Errorf("when %s fails: %v, want ErrUnavailable", method, err)
		}
	}
	for info := range mem.List(t.Context(), "", "") {
		t.Errorf("%s is left", info.Name)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "v1/o/u/2024-01/01J-é.jpg": true, "...": true, " ": true, strings.Repeat("x", 255): true,
		"": false, "/a": false, "a/": false, "a//b": false, ".": false, "a/..": false, "a\x00": false, "a\x7f": false, "\xff": false,
		strings.Repeat("x", 256): false, strings.Repeat("x/", 512) + "x": false,
	} {
		if err := object.CheckName(name); (err == nil) != ok || err != nil && !errors.Is(err, object.ErrName) {
			t.Errorf("CheckName(%q): %v", name, err)
		}
	}
}

// What is legal is so for all of its directories, and joined again is the same.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a/b", "..", "a//b", "é/ü", "\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if object.CheckName(name) != nil {
			return
		}
		for i := range len(name) {
			if name[i] == '/' && object.CheckName(name[:i]) != nil {
				t.Errorf("%q is legal, its directory %q is not", name, name[:i])
			}
		}
		if strings.Contains("/"+name+"/", "/../") || strings.ContainsRune(name, 0) {
			t.Errorf("%q is legal", name)
		}
	})
}

func TestBody(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		body io.Reader
		size int64
		want error
	}{
		{"whole", strings.NewReader("hello"), 5, nil},
		{"unknown", strings.NewReader("hello"), -1, nil},
		{"nil", nil, 0, nil},
		{"short", strings.NewReader("hell"), 5, object.ErrIncomplete},
		{"long", strings.NewReader("hello!"), 5, object.ErrIncomplete},
		{"cut", io.MultiReader(strings.NewReader("he"), failing{io.ErrUnexpectedEOF}), 5, object.ErrIncomplete},
		{"cut, unknown", io.MultiReader(strings.NewReader("he"), failing{io.ErrUnexpectedEOF}), -1, io.ErrUnexpectedEOF},
		{"fails at the end", io.MultiReader(strings.NewReader("hello"), failing{broken}), 5, broken},
		{"stuck at the end", io.MultiReader(strings.NewReader("hello"), failing{nil}), 5, io.ErrNoProgress},
	} {
		got, err := io.ReadAll(object.NewBody(t.Context(), c.body, c.size))
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == nil && c.body != nil && string(got) != "hello" {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	b := object.NewBody(ctx, bytes.NewReader(make([]byte, 100)), -1)
	if n, err := b.Read(make([]byte, 10)); n != 10 || err != nil || b.Len() != 10 {
		t.Errorf("%d, %v, Len %d", n, err, b.Len())
	}
	cancel()
	if _, err := b.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
