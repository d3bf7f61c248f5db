package diskbucket

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
)

// temp is a file in tmp that is being written.
type temp struct {
	b     *Bucket
	f     *os.File
	path  string
	moved bool // there is nothing left under path
	named bool // the object has its name
}

func (b *Bucket) newTemp() (*temp, error) {
	path := filepath.Join(b.tmp, rand.Text())
	b.writing.Store(path, nil)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		b.writing.Delete(path)
		return nil, err
	}
	return &temp{b: b, f: f, path: path}, nil
}

const bufferSize = 256 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// fill writes the body, and tells the body's errors from the file's.
func (t *temp) fill(body io.Reader) (int64, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	var size int64
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, err := t.f.Write(buf[:n]); err != nil {
				return size, err
			}
			size += int64(n)
		}
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, bodyError{err}
		}
	}
}

// setTime gives the file the modification time by which it is known.
func (t *temp) setTime(at time.Time) error { return os.Chtimes(t.path, at, at) }

// durable flushes contents, metadata and extended attributes.
func (t *temp) durable() error {
	if fail.Skip("fsync") {
		return t.f.Close()
	}
	if err := t.f.Sync(); err != nil {
		return err
	}
	// Close may be the first to tell of a write that failed (NFS).
	return t.f.Close()
}

// discard removes what is left in tmp; a file that has got its name stays.
func (t *temp) discard() {
	_ = t.f.Close() // closed already, if all went well
	if !t.moved {
		if err := os.Remove(t.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.b.log.Warn("temporary file stays until it is swept", "err", pathless(err))
		}
	}
	t.b.writing.Delete(t.path)
}
