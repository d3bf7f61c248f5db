package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// A Wrapper seals master keys with a key that never leaves a service, such as AWS KMS
// (package awskms). Its methods return soon after ctx ends, and may be called at once
// from several goroutines.
type Wrapper interface {
	// Generate makes a new master key of KeySize bytes, and what it is wrapped in.
	Generate(ctx context.Context, number uint32) (key, wrapped []byte, err error)
	// Wrap wraps a master key that exists.
	Wrap(ctx context.Context, number uint32, key []byte) (wrapped []byte, err error)
	// Unwrap is the reverse of both, for the same number only.
	Unwrap(ctx context.Context, number uint32, wrapped []byte) (key []byte, err error)
}

// A WrappedStore keeps master keys that a Wrapper has wrapped in two places: in the
// bucket, so that the bucket and the service together restore everything, and in a file
// beside the index, should the bucket's copy be lost. Its methods must not be called at
// once from several goroutines.
type WrappedStore struct {
	Wrapper Wrapper
	Bucket  object.Bucket
	Path    string // of the file
}

// WrappedName is the object with the wrapped master keys. Object and file are the same:
//
//	{"v": 1, "keys": {"1": "base64 of what the service answered", …}}
const WrappedName = "v1/master-keys.json"

type wrappedKeys struct {
	V    int               `json:"v"`
	Keys map[uint32][]byte `json:"keys"`
}

// ErrNoKeys says that a WrappedStore has no keys yet: Create makes the first.
var ErrNoKeys = errors.New("there are no wrapped master keys")

// Load unwraps the keys. If one of the two copies is missing, or knows less, it is
// written anew. Errors: ErrNoKeys.
func (s *WrappedStore) Load(ctx context.Context) (*Keys, error) {
	all, missing, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, ErrNoKeys
	}
	master := make(map[uint32][]byte)
	for _, n := range slices.Sorted(maps.Keys(all)) {
		if master[n], err = s.Wrapper.Unwrap(ctx, n, all[n]); err != nil {
			return nil, fmt.Errorf("unwrap master key %d: %w", n, err)
		}
	}
	k, err := NewKeys(master)
	if err != nil {
		return nil, err
	}
	if missing {
		err = s.write(ctx, all, false)
	}
	return k, err
}

// Create makes the store's first key or, if from is not nil, wraps those. Of two that
// do it at once, both get the keys of the first. replace has it forget the keys that it
// has: they must be lost, or be from's.
func (s *WrappedStore) Create(ctx context.Context, from *Keys, replace bool) (*Keys, error) {
	all := make(map[uint32][]byte)
	if from == nil {
		key, wrapped, err := s.Wrapper.Generate(ctx, 1)
		if err != nil {
			return nil, fmt.Errorf("make a master key: %w", err)
		}
		if from, err = NewKeys(map[uint32][]byte{1: key}); err != nil {
			return nil, err
		}
		all[1] = wrapped
	} else if err := s.wrapAll(ctx, from, all); err != nil {
		return nil, err
	}
	err := s.write(ctx, all, !replace)
	if errors.Is(err, object.ErrExist) {
		return s.Load(ctx)
	}
	return from, err
}

// Covered says whether k has all keys of the store, by their numbers. It asks nobody to
// unwrap them.
func (s *WrappedStore) Covered(ctx context.Context, k *Keys) (bool, error) {
	all, _, err := s.read(ctx)
	for n := range all {
		if k.set.Load().of[n] == nil {
			return false, err
		}
	}
	return err == nil, err
}

// Rotate adds a new key, which seals from now on. The older ones are wrapped anew, so
// that all are wrapped alike also after the service's key was replaced by another. On
// error k is as it was.
func (s *WrappedStore) Rotate(ctx context.Context, k *Keys) (number uint32, err error) {
	all := make(map[uint32][]byte)
	if err := s.wrapAll(ctx, k, all); err != nil {
		return 0, err
	}
	number = k.Current() + 1
	key, wrapped, err := s.Wrapper.Generate(ctx, number)
	if err != nil {
		return 0, fmt.Errorf("make a master key: %w", err)
	}
	all[number] = wrapped
	master := map[uint32][]byte{number: key}
	for n, d := range k.set.Load().of {
		master[n] = d.master
	}
	next, err := NewKeys(master)
	if err != nil {
		return 0, err
	}
	if err := s.write(ctx, all, false); err != nil {
		return 0, err
	}
	k.set.Store(next.set.Load())
	return number, nil
}

func (s *WrappedStore) wrapAll(ctx context.Context, k *Keys, all map[uint32][]byte) (err error) {
	for n, d := range k.set.Load().of {
		if all[n], err = s.Wrapper.Wrap(ctx, n, d.master); err != nil {
			return fmt.Errorf("wrap master key %d: %w", n, err)
		}
	}
	return nil
}

// read is what both copies have together. The bucket's word counts. missing says that one
// of them has not all of it.
func (s *WrappedStore) read(ctx context.Context) (all map[uint32][]byte, missing bool, err error) {
	there, err := s.readObject(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("read the wrapped master keys in the bucket: %w", err)
	}
	here, err := s.readFile()
	if err != nil {
		return nil, false, fmt.Errorf("read the wrapped master keys in %s: %w", s.Path, err)
	}
	all = maps.Clone(here)
	maps.Copy(all, there)
	same := func(m map[uint32][]byte) bool { return maps.EqualFunc(m, all, bytes.Equal) }
	return all, !same(there) || !same(here), nil
}

func (s *WrappedStore) readObject(ctx context.Context) (map[uint32][]byte, error) {
	r, err := s.Bucket.Get(ctx, WrappedName, 0, -1)
	if errors.Is(err, object.ErrNotExist) {
		return map[uint32][]byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxWrapped))
	if err != nil {
		return nil, err
	}
	return parseWrapped(text)
}

func (s *WrappedStore) readFile() (map[uint32][]byte, error) {
	text, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[uint32][]byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseWrapped(text)
}

// maxWrapped bounds what is read of a copy, in bytes.
const maxWrapped = 1 << 20

func parseWrapped(text []byte) (map[uint32][]byte, error) {
	var w wrappedKeys
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, fmt.Errorf("it is not what Shoebox writes there: %w", err)
	}
	if w.V != 1 || len(w.Keys) == 0 {
		return nil, errors.New("it is not what this version of Shoebox writes there")
	}
	return w.Keys, nil
}

// write writes both copies, the bucket's first: what is there, others may have read. The
// error wraps object.ErrExist, and nothing is written, if first is set and the bucket has
// keys.
func (s *WrappedStore) write(ctx context.Context, all map[uint32][]byte, first bool) error {
	text, err := json.MarshalIndent(wrappedKeys{1, all}, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	opt := &object.PutOptions{CreateOnly: first, Type: "application/json"}
	if _, err := s.Bucket.Put(ctx, WrappedName, bytes.NewReader(text), int64(len(text)), opt); err != nil {
		return fmt.Errorf("write the wrapped master keys to the bucket: %w", err)
	}
	if err := replaceFile(s.Path, text); err != nil {
		return fmt.Errorf("write the wrapped master keys: %w", err)
	}
	return nil
}

// replaceFile writes a file whole or not at all, readable by nobody else.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".master-key-*") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		syncDir(filepath.Dir(path))
	}
	return err
}
