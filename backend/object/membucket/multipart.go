package membucket

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"strconv"

	"github.com/shoebox-photos/shoebox/backend/object"
)

type upload struct {
	name  string
	typ   string
	meta  map[string]string
	parts map[int][]byte // guarded by Bucket.mu
}

// CreateMultipart implements object.Multiparter.
func (b *Bucket) CreateMultipart(ctx context.Context, name string, opt *object.PutOptions) (string, error) {
	if err := check(ctx, name, opt); err != nil {
		return "", err
	}
	u := &upload{name: name, parts: make(map[int][]byte)}
	if opt != nil {
		u.typ, u.meta = opt.Type, maps.Clone(opt.Meta)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	id := "upload-" + strconv.Itoa(b.last)
	b.uploads[id] = u
	return id, nil
}

// PutPart implements object.Multiparter.
func (b *Bucket) PutPart(ctx context.Context, name, uploadID string, number int, body io.Reader, size int64) (object.Part, error) {
	if err := object.CheckPartNumber(number); err != nil {
		return object.Part{}, fmt.Errorf("put part: %w", err)
	}
	if _, err := b.upload(ctx, name, uploadID); err != nil {
		return object.Part{}, fmt.Errorf("put part: %w", err)
	}
	data, err := io.ReadAll(object.NewBody(ctx, body, size))
	if err != nil {
		return object.Part{}, fmt.Errorf("put part: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[uploadID] // it may have ended while the body came
	if u == nil {
		return object.Part{}, fmt.Errorf("put part: %w", object.ErrNotExist)
	}
	u.parts[number] = data
	return object.Part{Number: number, ETag: etag(data), Size: int64(len(data))}, nil
}

// CompleteMultipart implements object.Multiparter.
func (b *Bucket) CompleteMultipart(ctx context.Context, name, uploadID string, parts []object.Part) (object.Info, error) {
	if err := object.CheckParts(parts); err != nil {
		return object.Info{}, fmt.Errorf("complete upload: %w", err)
	}
	u, err := b.upload(ctx, name, uploadID)
	if err != nil {
		return object.Info{}, fmt.Errorf("complete upload: %w", err)
	}
	data, err := b.join(u, uploadID, parts)
	if err != nil {
		return object.Info{}, fmt.Errorf("complete upload: %w", err)
	}
	s := &stored{data: data, info: object.Info{
		ETag: etag(data) + "-" + strconv.Itoa(len(parts)),
		Type: u.typ,
		Meta: u.meta,
	}}
	return b.store(context.WithoutCancel(ctx), name, s, false)
}

// join ends the upload and returns its object, or leaves it as it is.
func (b *Bucket) join(u *upload, uploadID string, parts []object.Part) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.uploads[uploadID] != u {
		return nil, object.ErrNotExist // another call completed it
	}
	var all [][]byte
	for i, p := range parts {
		data, ok := u.parts[p.Number]
		if !ok || etag(data) != p.ETag {
			return nil, fmt.Errorf("%w: number %d", object.ErrPart, p.Number)
		}
		if i < len(parts)-1 && len(data) < object.MinPart {
			return nil, fmt.Errorf("%w: number %d has %d bytes, at least %d", object.ErrPart, p.Number, len(data), object.MinPart)
		}
		all = append(all, data)
	}
	delete(b.uploads, uploadID)
	return bytes.Join(all, nil), nil
}

// AbortMultipart implements object.Multiparter.
func (b *Bucket) AbortMultipart(ctx context.Context, name, uploadID string) error {
	if err := check(ctx, name, nil); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if u := b.uploads[uploadID]; u != nil && u.name == name {
		delete(b.uploads, uploadID)
	}
	return nil
}

func (b *Bucket) upload(ctx context.Context, name, uploadID string) (*upload, error) {
	if err := check(ctx, name, nil); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	u := b.uploads[uploadID]
	if u == nil || u.name != name {
		return nil, object.ErrNotExist
	}
	return u, nil
}
