package diskbucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"crypto/rand"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// uploadFile is what tmp/uploads/<id>/upload says.
type uploadFile struct {
	V    int               `json:"v"`
	Name string            `json:"name"`
	Type string            `json:"type,omitempty"`
	Meta map[string]string `json:"meta,omitempty"`
}

const uploadName = "upload"

// CreateMultipart implements object.Multiparter.
func (b *Bucket) CreateMultipart(ctx context.Context, name string, opt *object.PutOptions) (string, error) {
	if err := b.check(ctx, name, opt); err != nil {
		return "", fmt.Errorf("create upload: %w", err)
	}
	u := uploadFile{V: attrsVersion, Name: name}
	if opt != nil {
		u.Type, u.Meta = opt.Type, opt.Meta
	}
	p, err := json.Marshal(u)
	if err != nil {
		return "", fmt.Errorf("create upload: %w", err)
	}
	id := rand.Text()
	dir := filepath.Join(b.uploads, id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", b.fail("create upload", err)
	}
	err = b.putFile(filepath.Join(dir, uploadName), p)
	if err == nil {
		err = syncDir(b.uploads)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", b.fail("create upload", err)
	}
	return id, nil
}

// putFile stores a small file of an upload, durable and all at once.
func (b *Bucket) putFile(path string, p []byte) error {
	t, err := b.newTemp()
	if err != nil {
		return err
	}
	defer t.discard()
	if _, err := t.f.Write(p); err != nil {
		return err
	}
	return t.replace(path)
}

// replace makes the temporary file durable under a path whose directory exists.
func (t *temp) replace(path string) error {
	if err := t.durable(); err != nil {
		return err
	}
	if err := os.Rename(t.path, path); err != nil {
		return err
	}
	t.moved = true
	return syncDir(filepath.Dir(path))
}

// PutPart implements object.Multiparter.
func (b *Bucket) PutPart(ctx context.Context, name, uploadID string, number int, body io.Reader, size int64) (object.Part, error) {
	if err := object.CheckPartNumber(number); err != nil {
		return object.Part{}, fmt.Errorf("put part: %w", err)
	}
	_, dir, err := b.upload(ctx, name, uploadID)
	if err != nil {
		return object.Part{}, b.fail("put part", err)
	}
	t, err := b.newTemp()
	if err != nil {
		return object.Part{}, b.fail("put part", err)
	}
	defer t.discard()
	n, err := t.fill(object.NewBody(ctx, body, size))
	if err != nil {
		return object.Part{}, b.fail("put part", err)
	}
	at := b.now()
	if err := t.setTime(at); err != nil {
		return object.Part{}, b.fail("put part", err)
	}
	fi, err := t.f.Stat() // the filesystem may keep the time less exactly
	if err != nil {
		return object.Part{}, b.fail("put part", err)
	}
	if err := ctx.Err(); err != nil {
		return object.Part{}, b.fail("put part", err)
	}
	if err := t.replace(filepath.Join(dir, strconv.Itoa(number))); err != nil {
		return object.Part{}, b.fail("put part", b.missing(err)) // it may have ended meanwhile
	}
	return object.Part{Number: number, ETag: etag(fi.ModTime(), n), Size: n}, nil
}

// CompleteMultipart implements object.Multiparter. It copies the parts to one
// file (the kernel does, where it can share blocks without reading them) and
// needs as much space again until it is done. A crash before the object has its
// name leaves the upload as it was.
func (b *Bucket) CompleteMultipart(ctx context.Context, name, uploadID string, parts []object.Part) (object.Info, error) {
	if err := object.CheckParts(parts); err != nil {
		return object.Info{}, fmt.Errorf("complete upload: %w", err)
	}
	unlock, err := b.locks.lock(ctx, "//"+uploadID) // no object's name
	if err != nil {
		return object.Info{}, b.fail("complete upload", err)
	}
	defer unlock()
	u, dir, err := b.upload(ctx, name, uploadID)
	if err != nil {
		return object.Info{}, b.fail("complete upload", err)
	}
	if err := b.checkParts(dir, parts); err != nil {
		return object.Info{}, b.fail("complete upload", err)
	}
	t, err := b.newTemp()
	if err != nil {
		return object.Info{}, b.fail("complete upload", err)
	}
	defer t.discard()
	var size int64
	for _, p := range parts {
		n, err := t.appendPart(ctx, dir, p)
		if err != nil {
			return object.Info{}, b.fail("complete upload", b.missing(err))
		}
		size += n
	}
	info, err := b.publish(ctx, name, t, size, attrs{Type: u.Type, Meta: u.Meta}, false)
	if err != nil {
		return object.Info{}, err
	}
	if err := b.endUpload(dir); err != nil {
		// The object is there; a repeated call would only make it again.
		b.log.Warn("upload stays until it is swept", "err", pathless(err))
	}
	return info, nil
}

// checkParts looks before anything is copied. Parts may still be replaced, which
// appendPart finds.
func (b *Bucket) checkParts(dir string, parts []object.Part) error {
	for i, p := range parts {
		fi, err := os.Lstat(filepath.Join(dir, strconv.Itoa(p.Number)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || etag(fi.ModTime(), fi.Size()) != p.ETag {
			return fmt.Errorf("%w: number %d", object.ErrPart, p.Number)
		}
		if i < len(parts)-1 && fi.Size() < object.MinPart {
			return fmt.Errorf("%w: number %d has %d bytes, at least %d", object.ErrPart, p.Number, fi.Size(), object.MinPart)
		}
	}
	return nil
}

// appendPart copies in steps, so that ctx can end it.
func (t *temp) appendPart(ctx context.Context, dir string, p object.Part) (int64, error) {
	f, fi, err := openFile(filepath.Join(dir, strconv.Itoa(p.Number)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if etag(fi.ModTime(), fi.Size()) != p.ETag {
		return 0, fmt.Errorf("%w: number %d was replaced", object.ErrPart, p.Number)
	}
	const step = 64 << 20
	for left := fi.Size(); left > 0; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := io.CopyN(t.f, f, min(left, step))
		if err != nil {
			return 0, err
		}
		left -= n
	}
	return fi.Size(), nil
}

// AbortMultipart implements object.Multiparter.
func (b *Bucket) AbortMultipart(ctx context.Context, name, uploadID string) error {
	_, dir, err := b.upload(ctx, name, uploadID)
	if errors.Is(err, object.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = b.endUpload(dir)
	}
	if err != nil {
		return b.fail("abort upload", err)
	}
	return nil
}

// endUpload forgets an upload at once, then removes its parts.
func (b *Bucket) endUpload(dir string) error {
	gone := filepath.Join(b.tmp, rand.Text())
	if err := os.Rename(dir, gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := syncDir(b.uploads); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// upload finds an upload of name.
func (b *Bucket) upload(ctx context.Context, name, id string) (uploadFile, string, error) {
	if err := b.check(ctx, name, nil); err != nil {
		return uploadFile{}, "", err
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; !('A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return uploadFile{}, "", object.ErrNotExist // no path, whatever it says
		}
	}
	if id == "" {
		return uploadFile{}, "", object.ErrNotExist
	}
	dir := filepath.Join(b.uploads, id)
	p, err := readFile(filepath.Join(dir, uploadName))
	if err != nil {
		return uploadFile{}, "", b.missing(err)
	}
	var u uploadFile
	if err := json.Unmarshal(p, &u); err != nil || u.V > attrsVersion {
		return uploadFile{}, "", fmt.Errorf("upload is damaged or of a newer version: %w", errors.Join(err))
	}
	if u.Name != name {
		return uploadFile{}, "", object.ErrNotExist
	}
	return u, dir, nil
}
