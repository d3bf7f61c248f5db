package diskbucket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// attrs is the stored form of what describes an object:
//
//	{"v":1,"type":"image/jpeg","meta":{"sb-v":"1"},"etag":"18a2…-5b8d80"}
type attrs struct {
	V    int               `json:"v"`
	Type string            `json:"type,omitempty"`
	Meta map[string]string `json:"meta,omitempty"`
	ETag string            `json:"etag,omitempty"`
}

const (
	attrsVersion = 1
	maxAttrs     = 64 << 10 // bytes; the kernel's limit of an extended attribute
	// blockXattr is what an extended attribute may have everywhere; ext4 refuses
	// one that does not fit a block, with ENOSPC.
	blockXattr = 3 << 10
)

func (a attrs) encode() ([]byte, error) {
	a.V = attrsVersion
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // would make six bytes of one
	if err := e.Encode(a); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func decodeAttrs(p []byte) (attrs, error) {
	var a attrs
	if err := json.Unmarshal(p, &a); err != nil {
		return attrs{}, fmt.Errorf("metadata is damaged: %w", err)
	}
	if a.V > attrsVersion {
		return attrs{}, fmt.Errorf("metadata is of version %d, this program knows %d", a.V, attrsVersion)
	}
	return a, nil
}

// writeAttrs puts the attributes to the temporary file, or into a sidecar whose
// path it returns. It also sets the time by which the sidecar is found.
func (b *Bucket) writeAttrs(name string, t *temp, at time.Time, a attrs) (sidecar string, err error) {
	p, err := a.encode()
	if err != nil {
		return "", err
	}
	if err := t.setTime(at); err != nil {
		return "", err
	}
	if b.xattr {
		err := setXattr(t.f, p)
		if err == nil {
			return "", nil
		}
		if len(p) <= blockXattr && !isNoXattr(err) {
			return "", err
		}
	}
	path := b.sidecar(name, at)
	if err := b.writeFile(path, p); err != nil {
		return "", err
	}
	return path, nil
}

// readAttrs finds the attributes of an object, of which fi and what getXattr
// returned were read.
func (b *Bucket) readAttrs(name string, fi fs.FileInfo, p []byte, err error) (attrs, error) {
	if err == nil {
		return decodeAttrs(p)
	}
	if !isNoXattr(err) {
		return attrs{}, err
	}
	p, err = readFile(b.sidecar(name, fi.ModTime()))
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return attrs{}, nil // put there by another tool, or replaced this instant
	}
	if err != nil {
		return attrs{}, err
	}
	return decodeAttrs(p)
}

// sidecar is where the attributes are of the object that has this time. The
// object's time is in the name so that one that loses a race, or crashes, before
// it has got its name can not spoil the attributes of the one that has it.
func (b *Bucket) sidecar(name string, at time.Time) string {
	return filepath.Join(b.meta, filepath.FromSlash(name), fmt.Sprintf("%016x", at.UnixNano()))
}

// dropSidecars removes the sidecars of name but keep. The caller holds the lock
// of the name, so none belongs to a write on its way.
func (b *Bucket) dropSidecars(name, keep string) {
	dir := filepath.Join(b.meta, filepath.FromSlash(name))
	list, err := os.ReadDir(dir)
	if err != nil {
		return // there are none, as a rule
	}
	for _, e := range list {
		if path := filepath.Join(dir, e.Name()); path != keep && !e.IsDir() {
			_ = os.Remove(path)
		}
	}
	if keep == "" {
		b.dirs.prune(dir, b.meta)
	}
}

// writeFile stores a small file, durable and all at once.
func (b *Bucket) writeFile(path string, p []byte) error {
	t, err := b.newTemp()
	if err != nil {
		return err
	}
	defer t.discard()
	if _, err := t.f.Write(p); err != nil {
		return err
	}
	if err := t.durable(); err != nil {
		return err
	}
	b.dirs.mu.RLock()
	defer b.dirs.mu.RUnlock()
	if err := b.move(t, path, false); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxAttrs))
}
