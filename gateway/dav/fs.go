package dav

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"time"

	"golang.org/x/net/webdav"

	"github.com/shoebox-photos/shoebox/backend"
)

// fileSystem is the webdav.FileSystem of one request. It is asked only what the
// package's handlers for GET, HEAD, PUT, MKCOL, DELETE, COPY and MOVE ask, and
// does it by way of the request's record.
type fileSystem struct{ *request }

// The package asks os.IsNotExist, which does not unwrap.
var errNotExist = &fs.PathError{Op: "open", Path: "entry", Err: fs.ErrNotExist}

// gone gives err the form that the package reads, and notes all but the absence
// of a name.
func (f fileSystem) gone(err error) error {
	if missing(err) {
		return errNotExist
	}
	f.note(err)
	return err
}

// isSource says whether name is the request's own path; else it is Destination's.
func (f fileSystem) isSource(name string) bool { return name == "/"+string(f.key) }

// Stat implements webdav.FileSystem.
func (f fileSystem) Stat(ctx context.Context, name string) (os.FileInfo, error) {
	if f.isSource(name) {
		e, err := f.lookup()
		if err != nil {
			return nil, f.gone(err)
		}
		return info{e: e}, nil
	}
	// Whether there is something at the destination is settled by the commit.
	return nil, errNotExist
}

// OpenFile implements webdav.FileSystem. Opening to read asks nothing of the
// bucket; opening to write stores nothing before the body has been read.
func (f fileSystem) OpenFile(ctx context.Context, name string, flag int, perm os.FileMode) (webdav.File, error) {
	if flag&os.O_CREATE != 0 {
		return &writeFile{q: f.request}, nil
	}
	e, err := f.lookup()
	if err != nil {
		return nil, f.gone(err)
	}
	if e.Dir {
		return &readFile{q: f.request, e: e}, nil
	}
	c, err := f.lib.Open(f.ctx, e)
	if err != nil {
		return nil, f.gone(err)
	}
	return &readFile{q: f.request, e: e, content: c}, nil
}

// Mkdir implements webdav.FileSystem. In a COPY it is the destination collection
// that is made, and all members come along at once.
func (f fileSystem) Mkdir(ctx context.Context, name string, perm os.FileMode) (err error) {
	if f.r.Method == "COPY" {
		return f.copy()
	}
	f.created = true
	f.entry, err = f.lib.Mkdir(f.ctx, f.key, &backend.MkdirOptions{Conditions: f.confirm(f.cond), Modified: f.modified})
	if err != nil {
		f.note(err)
	}
	return err
}

// RemoveAll implements webdav.FileSystem. The package would remove the destination
// of a COPY or MOVE first, and then fail; here it is replaced in the same commit.
func (f fileSystem) RemoveAll(ctx context.Context, name string) error {
	if f.r.Method != "DELETE" {
		return nil
	}
	err := f.lib.Delete(f.ctx, f.key, &backend.DeleteOptions{Conditions: f.confirm(f.cond)})
	if err != nil {
		f.note(err)
	}
	return err
}

// Rename implements webdav.FileSystem.
func (f fileSystem) Rename(ctx context.Context, oldName, newName string) (err error) {
	f.entry, f.created, err = f.lib.Move(f.ctx, f.key, f.dst, f.moveOptions())
	if err != nil {
		f.note(err)
	}
	return err
}

func (q *request) moveOptions() *backend.MoveOptions {
	return &backend.MoveOptions{
		Conditions: q.confirm(backend.Conditions{}),
		Source:     q.cond,
		Overwrite:  q.overwrite,
		Modified:   q.modified,
		Shallow:    q.shallow,
	}
}

// copy is the whole of a COPY.
func (q *request) copy() (err error) {
	q.entry, q.created, err = q.lib.Copy(q.ctx, q.key, q.dst, q.moveOptions())
	if err != nil {
		q.note(err)
	}
	return err
}

// info is an os.FileInfo with an ETag. For a file being written it tells what the
// commit made.
type info struct {
	e *backend.Entry
	w *writeFile
}

func (i info) entry() *backend.Entry {
	if i.w != nil && i.w.q.entry != nil {
		return i.w.q.entry
	}
	if i.e == nil {
		return &backend.Entry{}
	}
	return i.e
}

func (i info) Name() string       { return path.Base("/" + i.entry().Name) }
func (i info) Size() int64        { return i.entry().Size }
func (i info) ModTime() time.Time { return i.entry().Modified }
func (i info) IsDir() bool        { return i.entry().Dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() os.FileMode {
	if i.IsDir() {
		return os.ModeDir | 0o700
	}
	return 0o600
}

// ETag implements webdav.ETager.
func (i info) ETag(context.Context) (string, error) { return quote(i.entry().ETag), nil }

// ContentType implements webdav.ContentTyper.
func (i info) ContentType(context.Context) (string, error) { return shownType(i.entry()), nil }

// readFile is an entry that is read. It has no WriteTo, so that io.Copy lets the
// destination of a COPY see it.
type readFile struct {
	q       *request
	e       *backend.Entry
	content *backend.Content // nil for a collection
	off     int64            // where the next Read begins, if begun is false
	begun   bool
}

// wholeAtMost is the longest answer, in bytes, that the bucket is asked for at once.
// A client that goes away in the middle of a longer one costs less than that.
const wholeAtMost = 64 << 20

var errIsCollection = errors.New("dav: internal error: a collection is read as a file")

func (f *readFile) Read(p []byte) (int, error) {
	if f.content == nil {
		return 0, errIsCollection
	}
	if !f.begun {
		f.begun = true
		// http.ServeContent has announced how many bytes it is about to read.
		n, err := strconv.ParseInt(f.q.w.Header().Get("Content-Length"), 10, 64)
		if err == nil && n <= wholeAtMost {
			f.content.Expect(f.off, n)
		}
	}
	n, err := f.content.Read(p)
	if err != nil && err != io.EOF {
		f.q.note(err)
	}
	return n, err
}

func (f *readFile) Seek(off int64, whence int) (int64, error) {
	if f.content == nil {
		return 0, errIsCollection
	}
	n, err := f.content.Seek(off, whence)
	f.off = n
	return n, err
}

func (f *readFile) Close() error {
	if f.content == nil {
		return nil
	}
	return f.content.Close()
}

func (f *readFile) Stat() (os.FileInfo, error) { return info{e: f.e}, nil }
func (f *readFile) Write([]byte) (int, error)  { return 0, fs.ErrPermission }

// Readdir says that there are no members: only COPY asks, and they came along.
func (f *readFile) Readdir(int) ([]os.FileInfo, error) { return nil, nil }

// writeFile is the destination of a PUT or of the COPY of a file.
//
// The package calls Close after a body that was cut as after a whole one. ReadFrom
// is how we see the difference: io.Copy prefers it, and what it returns decides.
type writeFile struct {
	q    *request
	done bool // stored, or failed
}

// ReadFrom implements io.ReaderFrom: it stores the whole, or nothing.
func (f *writeFile) ReadFrom(r io.Reader) (int64, error) {
	if f.done {
		return 0, fs.ErrClosed
	}
	f.done = true
	if _, ok := r.(*readFile); ok && f.q.r.Method == "COPY" {
		return 0, f.q.copy()
	}
	err := f.q.store(r)
	if err != nil {
		return 0, err
	}
	return f.q.entry.Size, nil
}

var errWritten = errors.New("dav: internal error: the body came by Write, which cannot tell a cut one from a whole one")

// Write fails. A body that comes this way would be stored whether whole or not.
func (f *writeFile) Write([]byte) (int, error) {
	f.done = true
	f.q.note(errWritten)
	return 0, errWritten
}

// Close stores an empty file, if there was nothing to read: io.Copy does not call
// ReadFrom for http.NoBody.
func (f *writeFile) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	if f.q.r.Method != "PUT" || f.q.r.ContentLength != 0 {
		f.q.note(errWritten)
		return errWritten
	}
	return f.q.store(eof{})
}

func (f *writeFile) Stat() (os.FileInfo, error)         { return info{w: f}, nil }
func (f *writeFile) Read([]byte) (int, error)           { return 0, fs.ErrPermission }
func (f *writeFile) Seek(int64, int) (int64, error)     { return 0, fs.ErrPermission }
func (f *writeFile) Readdir(int) ([]os.FileInfo, error) { return nil, fs.ErrInvalid }

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// lockSystem is the webdav.LockSystem of one request. The package takes temporary
// locks to keep writers apart; commits do that for us, so they are none. Locks
// that matter have been looked at by the guard.
type lockSystem struct{ *request }

// Confirm implements webdav.LockSystem.
func (lockSystem) Confirm(time.Time, string, string, ...webdav.Condition) (func(), error) {
	return func() {}, nil
}

// Create implements webdav.LockSystem.
func (lockSystem) Create(time.Time, webdav.LockDetails) (string, error) { return "", nil }

// Refresh implements webdav.LockSystem.
func (lockSystem) Refresh(time.Time, string, time.Duration) (webdav.LockDetails, error) {
	return webdav.LockDetails{}, webdav.ErrNoSuchLock
}

// Unlock implements webdav.LockSystem: for UNLOCK, bound to the request's path and
// user. Else it is the end of a temporary lock.
func (s lockSystem) Unlock(_ time.Time, token string) error {
	if s.r.Method != "UNLOCK" {
		return nil
	}
	if err := s.lib.Unlock(s.ctx, s.key, token); err != nil {
		s.note(err)
		return err
	}
	return nil
}
