// Package membucket is a bucket in memory, with the whole contract and nothing
// durable: for tests and trials.
package membucket

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// Bucket is a bucket in memory. The zero value is not usable; see New. Its
// methods may be called at once from several goroutines.
type Bucket struct {
	mu      sync.RWMutex
	objects map[string]*stored
	uploads map[string]*upload
	last    int // number of the newest upload
}

// stored is immutable once it is in the map, so readers need no lock.
type stored struct {
	info object.Info
	data []byte
}

var (
	_ object.Bucket      = (*Bucket)(nil)
	_ object.Multiparter = (*Bucket)(nil)
	_ object.Local       = (*Bucket)(nil)
)

// New returns an empty bucket.
func New() *Bucket {
	return &Bucket{objects: make(map[string]*stored), uploads: make(map[string]*upload)}
}

// Local reports true: reading an object again costs nothing.
func (b *Bucket) Local() bool { return true }

// Put implements object.Bucket.
func (b *Bucket) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	if err := check(ctx, name, opt); err != nil {
		return object.Info{}, err
	}
	data, err := io.ReadAll(object.NewBody(ctx, body, size))
	if err != nil {
		return object.Info{}, fmt.Errorf("put object: %w", err)
	}
	meta, err := opt.Final()
	if err != nil {
		return object.Info{}, fmt.Errorf("put object: %w", err)
	}
	s := &stored{data: data, info: object.Info{Meta: meta, ETag: etag(data)}}
	if opt != nil {
		s.info.Type = opt.Type
	}
	return b.store(ctx, name, s, opt != nil && opt.CreateOnly)
}

// store gives s its name, if ctx still lasts.
func (b *Bucket) store(ctx context.Context, name string, s *stored, createOnly bool) (object.Info, error) {
	s.info.Name, s.info.Size = name, int64(len(s.data))
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return object.Info{}, fmt.Errorf("put object: %w", err)
	}
	if createOnly && b.objects[name] != nil {
		return object.Info{}, fmt.Errorf("put object: %w", object.ErrExist)
	}
	s.info.ModTime = time.Now().UTC()
	b.objects[name] = s
	return s.describe(), nil
}

// Get implements object.Bucket.
func (b *Bucket) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	s, err := b.find(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	data := s.data[min(max(off, 0), int64(len(s.data))):]
	if n >= 0 && n < int64(len(data)) {
		data = data[:n]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Head implements object.Bucket.
func (b *Bucket) Head(ctx context.Context, name string) (object.Info, error) {
	s, err := b.find(ctx, name)
	if err != nil {
		return object.Info{}, fmt.Errorf("head object: %w", err)
	}
	return s.describe(), nil
}

// Delete implements object.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name, nil); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, name)
	return nil
}

// List implements object.Bucket. It yields the bucket as it was when the loop
// began; the bucket may be changed meanwhile.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		b.mu.RLock()
		var all []*stored
		for name, s := range b.objects {
			if strings.HasPrefix(name, prefix) && name > after {
				all = append(all, s)
			}
		}
		b.mu.RUnlock()
		slices.SortFunc(all, func(x, y *stored) int { return strings.Compare(x.info.Name, y.info.Name) })
		for _, s := range all {
			if err := ctx.Err(); err != nil {
				yield(object.Info{}, fmt.Errorf("list objects: %w", err))
				return
			}
			i := s.info
			i.Type, i.Meta = "", nil
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (b *Bucket) find(ctx context.Context, name string) (*stored, error) {
	if err := check(ctx, name, nil); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.objects[name]
	if s == nil {
		return nil, object.ErrNotExist
	}
	return s, nil
}

// describe returns an Info whose map is the caller's own.
func (s *stored) describe() object.Info {
	i := s.info
	i.Meta = maps.Clone(i.Meta)
	return i
}

func check(ctx context.Context, name string, opt *object.PutOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := object.CheckName(name); err != nil {
		return err
	}
	return opt.Check()
}

func etag(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}
