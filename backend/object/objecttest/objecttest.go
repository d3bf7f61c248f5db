// Package objecttest is the contract of object.Bucket as tests, and a Bucket
// that fails when it is told to.
package objecttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// An Option adjusts Bucket.
type Option func(*suite)

// Reopen tells how to open again the store behind a bucket, as after a restart.
// Without it the cases about restarts are skipped.
func Reopen(f func(t *testing.T, b object.Bucket) object.Bucket) Option {
	return func(s *suite) { s.reopen = f }
}

// Skip leaves out one case, for a server that is known not to keep it. The
// reason is shown.
func Skip(name, reason string) Option {
	return func(s *suite) { s.skip[name] = reason }
}

type suite struct {
	open   func(*testing.T) object.Bucket
	reopen func(*testing.T, object.Bucket) object.Bucket
	skip   map[string]string
}

type testCase struct {
	name string
	run  func(*testing.T, object.Bucket)
}

// Bucket runs the contract of object.Bucket, and of object.Multiparter where
// the bucket is one. Each case gets an empty bucket of its own from open.
func Bucket(t *testing.T, open func(*testing.T) object.Bucket, opt ...Option) {
	s := &suite{open: open, skip: make(map[string]string)}
	for _, o := range opt {
		o(s)
	}
	skips := maps.Clone(s.skip)
	for _, cases := range [][]testCase{putCases, readCases, listCases, multipartCases, restartCases(s)} {
		for _, c := range cases {
			delete(skips, c.name)
			t.Run(c.name, func(t *testing.T) {
				if why := s.skip[c.name]; why != "" {
					t.Skip(why)
				}
				c.run(t, s.open(t))
			})
		}
	}
	for name := range skips {
		t.Errorf("objecttest: no case %q to skip", name)
	}
}

// Bytes returns n bytes, the same for the same seed. No two pieces of 64 KiB in
// it, or of another seed, are alike.
func Bytes(seed uint64, n int) []byte {
	const piece = 64 << 10
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(p[:min(n, piece)]) // never fails
	for i := piece; i < n; i += piece {
		if copy(p[i:], p[:piece]) >= 8 {
			binary.LittleEndian.PutUint64(p[i:], uint64(i))
		}
	}
	return p
}

func write(t *testing.T, b object.Bucket, name string, data []byte) object.Info {
	t.Helper()
	info, err := b.Put(t.Context(), name, bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		t.Fatalf("Put(%q): %v", name, err)
	}
	return info
}

func create(ctx context.Context, b object.Bucket, name string, data []byte) error {
	_, err := b.Put(ctx, name, bytes.NewReader(data), int64(len(data)), &object.PutOptions{CreateOnly: true})
	return err
}

func read(t *testing.T, b object.Bucket, name string, off, n int64) []byte {
	t.Helper()
	r, err := b.Get(t.Context(), name, off, n)
	if err != nil {
		t.Fatalf("Get(%q, %d, %d): %v", name, off, n, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("Get(%q, %d, %d): read: %v", name, off, n, err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Get(%q, %d, %d): close: %v", name, off, n, err)
	}
	return data
}

// has fails the test unless the object has exactly these bytes.
func has(t *testing.T, b object.Bucket, name string, want []byte) {
	t.Helper()
	if got := read(t, b, name, 0, -1); !bytes.Equal(got, want) {
		t.Errorf("%q has %d bytes that differ from the %d written", name, len(got), len(want))
	}
}

// gone fails the test unless Get and Head say ErrNotExist and List is silent.
func gone(t *testing.T, b object.Bucket, name string) {
	t.Helper()
	if r, err := b.Get(t.Context(), name, 0, -1); err == nil {
		_ = r.Close()
		t.Errorf("Get(%q) found an object, want none", name)
	} else {
		is(t, err, object.ErrNotExist)
	}
	_, err := b.Head(t.Context(), name)
	is(t, err, object.ErrNotExist)
	for _, n := range list(t, b, name, "") {
		if n == name {
			t.Errorf("List yields %q, want nothing", name)
		}
	}
}

func list(t *testing.T, b object.Bucket, prefix, after string) []string {
	t.Helper()
	var names []string
	for info, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, after, err)
		}
		names = append(names, info.Name)
	}
	return names
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that wraps %q", err, want)
	}
}

// errBroken is what a body fails with.
var errBroken = errors.New("the client hung up")

// broken yields n bytes, then errBroken.
func broken(n int) io.Reader {
	return io.MultiReader(bytes.NewReader(Bytes(1, n)), errReader{errBroken})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// onlyReader hides everything of a reader but Read.
type onlyReader struct{ io.Reader }

func long(n int) string { return strings.Repeat("n", n) }
