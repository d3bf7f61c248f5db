package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// underWay counts what a user's uploads under way have brought, so that no quota is
// passed by what is not a file yet. It is in memory: rows tell all of it when it is asked
// first. Its methods may be called at once from several goroutines.
type underWay struct {
	mu      sync.Mutex
	loaded  bool
	bytes   map[string]int64 // of the parts that are noted, by upload
	total   int64            // sum of bytes
	arrives int64            // bytes of parts that are being received
}

// load reads the rows of uploads and parts. The caller holds mu.
func (w *underWay) load(r rows, uid string) error {
	if w.loaded {
		return nil
	}
	w.bytes, w.total = make(map[string]int64), 0
	for from, more := "", true; more; {
		rows, m, err := r.Scan("m#"+uid, from, "", false, scanPage)
		if err != nil {
			return err
		}
		more = m
		for _, row := range rows {
			from = row.S + "\x00"
			var u uploadRow
			if err := json.Unmarshal(row.D, &u); err != nil {
				return fmt.Errorf("upload row: %w", err)
			}
			if u.Done != "" {
				continue
			}
			n, err := partBytes(r, uid, row.S)
			if err != nil {
				return err
			}
			w.bytes[row.S] = n
			w.total += n
		}
	}
	w.loaded = true
	return nil
}

// partBytes is how long the parts of an upload are together.
func partBytes(r rows, uid, id string) (sum int64, err error) {
	for from, more := "0", true; more; { // what is before it is not a part
		rows, m, err := r.Scan(partKey(uid, id, 0).P, from, "", false, scanPage)
		if err != nil {
			return 0, err
		}
		more = m
		for _, row := range rows {
			from = row.S + "\x00"
			var p partRow
			if err := json.Unmarshal(row.D, &p); err != nil {
				return 0, fmt.Errorf("part row: %w", err)
			}
			sum += p.Size
		}
	}
	return sum, nil
}

// begin counts an upload, if there may be one more.
func (w *underWay) begin(r rows, uid, id string, most int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.load(r, uid); err != nil {
		return err
	}
	if _, ok := w.bytes[id]; !ok && len(w.bytes) >= most {
		return fmt.Errorf("%w: %d of %d", ErrUploads, len(w.bytes), most)
	}
	w.bytes[id] += 0
	return nil
}

// grow counts n bytes more of an upload.
func (w *underWay) grow(id string, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.bytes[id]; ok { // else it is not loaded, or has ended
		w.bytes[id] += n
		w.total += n
	}
}

// end forgets an upload.
func (w *underWay) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total -= w.bytes[id]
	delete(w.bytes, id)
}

// recount has the rows asked anew: an upload may have ended, or begun, without its caller
// being told.
func (w *underWay) recount() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loaded = false
}

// roomFor checks the quota: whether there is room for so many more bytes and files. What
// uploads under way have brought counts too, and each of them as a file; but for upload,
// which is what asks, or "".
func (l *Library) roomFor(r rows, size, files int64, upload string) error {
	if l.acc.Quota <= 0 && l.acc.QuotaFiles <= 0 || size == 0 && files == 0 {
		return nil
	}
	w := &l.t.uploads
	w.mu.Lock()
	defer w.mu.Unlock()
	return l.room(r, size, files, upload)
}

// room is roomFor with the lock held.
func (l *Library) room(r rows, size, files int64, upload string) error {
	u, err := l.t.readUsage(r)
	if err != nil {
		return err
	}
	w := &l.t.uploads
	if err := w.load(r, l.t.uid); err != nil {
		return err
	}
	open := int64(len(w.bytes))
	if _, ok := w.bytes[upload]; ok {
		open--
	}
	if l.acc.QuotaFiles > 0 && files > 0 && u.Files+open+files > l.acc.QuotaFiles {
		return fmt.Errorf("%w: there are %d of %d files, and %d uploads under way", ErrQuota, u.Files, l.acc.QuotaFiles, open)
	}
	coming := w.total + w.arrives - w.bytes[upload]
	if l.acc.Quota > 0 && size > 0 && u.Bytes+coming+size > l.acc.Quota {
		return fmt.Errorf("%w: %d of %d bytes are taken, %d by uploads under way", ErrQuota, u.Bytes+coming, l.acc.Quota, coming)
	}
	return nil
}

// roomForPart keeps room for a part of size bytes (< 0 unknown), which may replace one of
// before bytes, until done is called.
func (l *Library) roomForPart(r rows, size, before int64) (done func(), err error) {
	size -= before
	if l.acc.Quota <= 0 || size <= 0 {
		return func() {}, nil
	}
	w := &l.t.uploads
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := l.room(r, size, 0, ""); err != nil {
		return nil, err
	}
	w.arrives += size
	return func() {
		w.mu.Lock()
		w.arrives -= size
		w.mu.Unlock()
	}, nil
}

// sizeNoted is the size of a part that is noted in row k already; 0 if none is.
func (l *Library) sizeNoted(ctx context.Context, k kv.Key) (int64, error) {
	row, err := l.live(ctx).Get(k)
	if err != nil || row.V == 0 {
		return 0, err
	}
	var p partRow
	if err := json.Unmarshal(row.D, &p); err != nil {
		return 0, fmt.Errorf("part row: %w", err)
	}
	return p.Size, nil
}
