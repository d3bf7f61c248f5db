package backend

import (
	"container/list"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// A Spool keeps the newest uploads on local disk, up to a bound that holds for those under
// way too, so that processing
// need not read them back from the bucket. It is a convenience: what is not in it is
// read from the bucket. A nil *Spool keeps nothing.
type Spool struct {
	dir string
	max int64

	mu    sync.Mutex
	used  int64
	order *list.List // of spooled, oldest first
	files map[string]*list.Element
}

type spooled struct {
	name string
	size int64
}

// OpenSpool empties dir and spools at most max bytes in it.
func OpenSpool(dir string, max int64) (*Spool, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Spool{dir: dir, max: max, order: list.New(), files: make(map[string]*list.Element)}, nil
}

func (s *Spool) path(name string) string {
	name, part, _ := strings.Cut(name, "#")
	return filepath.Join(s.dir, object.ULIDOf(name)+part)
}

// partName is the name by which a part of an object is spooled until join.
func partName(obj string, number int) string { return fmt.Sprintf("%s#-%d", obj, number) }

// beginPart spools a part of an upload; nil if it is not wanted, as when the whole would be
// too large.
func (s *Spool) beginPart(obj string, number int, size int64) *spoolWriter {
	name := partName(obj, number)
	s.drop(name) // it comes again, and may not be what it was
	if s == nil || size < 0 || number < 1 || size > s.max/4/int64(number) {
		return nil
	}
	return s.begin(name, size)
}

// join makes of spooled parts the spooled object, if that is wanted and all of them are
// there. No part is any more, afterwards.
func (s *Spool) join(obj string, parts []object.Part, wanted bool) {
	if s == nil {
		return
	}
	defer s.dropParts(obj)
	var size int64
	for _, p := range parts {
		size += p.Size
	}
	if !wanted {
		return
	}
	w := s.begin(obj, size)
	if w == nil {
		return
	}
	for _, p := range parts {
		f, n, ok := s.open(partName(obj, p.Number))
		if !ok {
			w.end(false)
			return
		}
		got, err := io.Copy(w, f)
		f.Close()
		if err != nil || got != n || n != p.Size {
			w.end(false)
			return
		}
	}
	w.end(true)
}

// A spoolWriter takes what passes by. A write that fails makes it useless, not the
// upload.
type spoolWriter struct {
	s        *Spool
	name     string
	f        *os.File
	n        int64 // bytes written
	reserved int64 // bytes of the spool that are its own
	bad      bool
}

// begin spools an upload of size bytes (< 0 unknown); nil if it is not wanted, or the
// uploads under way have all the space.
func (s *Spool) begin(name string, size int64) *spoolWriter {
	if s == nil || size > s.max/4 {
		return nil
	}
	w := &spoolWriter{s: s, name: name}
	if !w.reserve(max(size, 0)) {
		return nil
	}
	// Never over one that is there: it may be being read.
	f, err := os.OpenFile(s.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		w.release()
		return nil
	}
	w.f = f
	return w
}

// reserve makes n bytes more the writer's own; what was spooled earliest makes room.
func (w *spoolWriter) reserve(n int64) bool {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used+n > s.max {
		oldest := s.order.Front()
		if oldest == nil {
			return false
		}
		s.remove(oldest)
	}
	s.used += n
	w.reserved += n
	return true
}

// release gives back what was reserved.
func (w *spoolWriter) release() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.used -= w.reserved
	w.reserved = 0
}

// spoolStep is what an upload of unknown size reserves at a time.
const spoolStep = 1 << 20

func (w *spoolWriter) Write(p []byte) (int, error) {
	n := w.n + int64(len(p))
	switch {
	case w.bad:
	case n > w.s.max/4, n > w.reserved && !w.reserve(max(n-w.reserved, min(spoolStep, w.s.max/4-w.reserved))):
		w.spoil()
	default:
		if _, err := w.f.Write(p); err != nil {
			w.spoil()
		}
	}
	w.n = n
	return len(p), nil
}

// spoil gives up, and the space back.
func (w *spoolWriter) spoil() {
	w.bad = true
	w.f.Truncate(0)
	w.release()
}

// end keeps the file, if it is whole.
func (w *spoolWriter) end(keep bool) {
	if w == nil {
		return
	}
	if err := w.f.Close(); err != nil || w.bad || !keep {
		os.Remove(w.f.Name())
		w.release()
		return
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.files[w.name] = w.s.order.PushBack(spooled{w.name, w.n})
	w.s.used += w.n - w.reserved
}

// remove is called with mu held.
func (s *Spool) remove(at *list.Element) {
	f := s.order.Remove(at).(spooled)
	delete(s.files, f.name)
	s.used -= f.size
	os.Remove(s.path(f.name))
}

// open reads a spooled upload.
func (s *Spool) open(name string) (io.ReadCloser, int64, bool) {
	if s == nil {
		return nil, 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.files[name]
	if at == nil {
		return nil, 0, false
	}
	f, err := os.Open(s.path(name))
	if err != nil {
		return nil, 0, false
	}
	return f, at.Value.(spooled).size, true
}

// drop forgets an upload that was not wanted, or has been processed.
func (s *Spool) drop(name string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.files[name]; at != nil {
		s.remove(at)
	}
}

// dropParts forgets the parts of an upload that has ended.
func (s *Spool) dropParts(obj string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, at := range s.files {
		if strings.HasPrefix(name, obj+"#") {
			s.remove(at)
		}
	}
}
