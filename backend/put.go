package backend

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// maxInline is the largest junk file in bytes that is kept in the index.
const maxInline = 48 << 10

// put is the way of a PUT (DESIGN §4): W0 checks, W1–W3 the object, W4–W6 the commit.
func (l *Library) put(ctx context.Context, key Key, body io.Reader, size int64, opt *PutOptions) (*Entry, bool, error) {
	if opt == nil {
		opt = new(PutOptions)
	}
	// W0: what can be refused before a byte of the body is read.
	if err := l.admit(ctx, key, size, opt); err != nil {
		return nil, false, err
	}
	if body == nil {
		body = strings.NewReader("")
	}
	var also []string
	if opt.NeedSHA1 {
		also = append(also, "sha1")
	}
	sums, err := newSummer(body, size, l.b.opt.MaxSize, opt.Expect, also...)
	if err != nil {
		return nil, false, err
	}
	defer sums.close()

	_, name := key.Split()
	e := &Entry{Name: name, Header: opt.Header, ByLock: opt.ByLock}
	now := l.b.opt.Now()
	if err := l.store(ctx, e, key, sums, now, opt); err != nil {
		return nil, false, err
	}
	e.Size, e.MD5, e.SHA256, e.SHA1, e.CRC32C = sums.n, sums.hex("md5"), sums.hex("sha256"), sums.hex("sha1"), sums.hex("crc32c")
	e.ETag = e.MD5
	if opt.FinalHeader != nil {
		e.Header = merged(e.Header, opt.FinalHeader())
	}

	with := *opt
	with.there = l.contentThere(ctx, key, e)
	e, created, err := l.commitPut(ctx, key, e, now, &with)
	return e, created, err
}

// merged are a and, before it, b.
func merged(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	m := maps.Clone(a)
	if m == nil {
		m = make(map[string]string, len(b))
	}
	maps.Copy(m, b)
	return m
}

// admit does the checks of W0.
func (l *Library) admit(ctx context.Context, key Key, size int64, opt *PutOptions) error {
	r := l.live(ctx)
	if err := l.allow(r, mayCreate, key); err != nil {
		return err
	}
	if size > l.b.opt.MaxSize {
		return fmt.Errorf("%w: %d bytes, at most %d are taken", ErrTooLarge, size, l.b.opt.MaxSize)
	}
	if err := l.ensureParents(ctx, key, opt.MakeParents); err != nil {
		return err
	}
	p, err := l.t.locate(r, key)
	if err == ErrParent && opt.MakeParents {
		library, _ := key.Library() // is never made on the way
		if _, err = l.t.resolve(r, Key(library)); err == ErrNotExist {
			err = fmt.Errorf("%w: library %q", ErrParent, library)
		}
	}
	if err != nil {
		return err
	}
	if err := l.mayPut(r, key, p, opt); err != nil {
		return err
	}
	if err := l.roomFor(r, max(size, 0), boolInt(p.e == nil), opt.upload); err != nil {
		return err
	}
	return l.b.spaceFor(max(size, 0))
}

// mayPut is what W0 and W4 ask of the place of a PUT.
func (l *Library) mayPut(r rows, key Key, p place, opt *PutOptions) error {
	if err := l.allow(r, mayCreate, key); err != nil {
		return err
	}
	library, below := key.Library()
	if below == "" {
		return fmt.Errorf("%w: %q would be a file there", ErrTopLevel, library)
	}
	if p.e != nil {
		if p.e.Dir {
			return ErrIsCollection
		}
		if l.acc.Mode == UploadOnly {
			return fmt.Errorf("%w: it may only create new files, and there is one of that name", ErrForbidden)
		}
	}
	return opt.check(p.e)
}

// spaceFor checks that the bucket can take size bytes more.
func (b *Backend) spaceFor(size int64) error {
	if b.opt.Free == nil {
		return nil
	}
	free, err := b.opt.Free()
	if err != nil {
		b.log.Warn("free space is not known", "err", err)
		return nil
	}
	if free < b.opt.MinFree+uint64(size) {
		return fmt.Errorf("%w: %d bytes are free, %d are kept in reserve", ErrNoSpace, free, b.opt.MinFree)
	}
	return nil
}

// store does W1–W3: the object is in the bucket, whole and checked, when it returns nil,
// and e says its name and what it is.
// Junk stays in memory for its row; an empty body makes no object.
func (l *Library) store(ctx context.Context, e *Entry, key Key, sums *summer, now time.Time, opt *PutOptions) error {
	// Read ahead as far as junk may go, or as tells what it is.
	ahead := headSize
	junk := Junk(e.Name)
	if junk {
		ahead = maxInline + 1
	}
	first := make([]byte, ahead)
	n, err := io.ReadFull(sums, first)
	first = first[:n]
	e.Type = l.b.typeOf(sums.head, e.Name, opt.Type)
	switch {
	case err == io.EOF: // empty, and that was right
		return nil
	case err == io.ErrUnexpectedEOF && junk && sums.end == io.EOF:
		e.Inline = first
		return nil
	case err != nil && !(err == io.ErrUnexpectedEOF && sums.end == io.EOF):
		return bodyFault(sums, err)
	}
	e.Object = object.OriginalName(l.t.uid, now, ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String(), e.Name)
	body := io.Reader(io.MultiReader(strings.NewReader(string(first)), sums))
	var spooled *spoolWriter
	if isMedia(e.Type) { // or it is never processed
		if spooled = l.b.opt.Spool.begin(e.Object, sums.size); spooled != nil {
			body = io.TeeReader(body, spooled)
		}
	}
	info, err := l.b.bucket.Put(ctx, e.Object, body, sums.size, &object.PutOptions{
		CreateOnly: true,
		Type:       "application/octet-stream",
		Meta:       l.objectMeta(key, opt.Modified),
		FinalMeta: func() map[string]string {
			return map[string]string{"sb-sha256": base64Of(sums.hex("sha256")), "sb-md5": base64Of(sums.hex("md5"))}
		},
		FinalSHA256: func() []byte { return sums.sum("sha256") },
	})
	spooled.end(err == nil && info.Size == sums.n)
	fail.Point("W3.stored")
	if err != nil {
		return bodyFault(sums, fmt.Errorf("store original: %w", err))
	}
	if info.Size != sums.n {
		l.b.discard(ctx, e.Object)
		return fmt.Errorf("store original: %w: the bucket says it has %d bytes of %d", ErrUnavailable, info.Size, sums.n)
	}
	return nil
}

// bodyFault prefers what was wrong with the body over what the bucket made of it.
func bodyFault(sums *summer, err error) error {
	if sums.end != nil && sums.end != io.EOF {
		return sums.end
	}
	return fault(err)
}

// objectMeta is what an original bears, for recovery without index and log (DESIGN §3).
func (l *Library) objectMeta(key Key, modified time.Time) map[string]string {
	name := escapeMeta(string(key))
	m := map[string]string{"sb-v": "1", "sb-uid": l.t.uid, "sb-name": name}
	if !modified.IsZero() {
		m["sb-mtime"] = strconv.FormatInt(modified.UnixMilli(), 10)
	}
	return m
}

// escapeMeta percent-encodes what HTTP headers can not carry, and keeps the last 1,200
// bytes at most.
func escapeMeta(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	out := b.String()
	if len(out) > maxNameMeta {
		out = out[len(out)-maxNameMeta:]
	}
	return out
}

func base64Of(hexSum string) string {
	raw, err := hex.DecodeString(hexSum)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// typeOf tells the media type: by content where that says anything, else what the
// client said.
func (b *Backend) typeOf(head []byte, name, told string) string {
	if len(head) == 0 {
		if told != "" {
			return told
		}
		return "application/octet-stream"
	}
	byContent, _, _ := strings.Cut(b.opt.Sniff(head), ";")
	if byContent == "application/octet-stream" || strings.HasPrefix(byContent, "text/plain") || byContent == "" {
		if told != "" && !strings.HasPrefix(told, "image/") && !strings.HasPrefix(told, "video/") {
			return told
		}
	}
	return byContent
}

// showable says whether the entry stands on the timeline.
func showable(e *Entry) bool {
	return !e.Dir && e.Object != "" && e.Size > 0 && isMedia(e.Type)
}

func isMedia(mediaType string) bool {
	return strings.HasPrefix(mediaType, "image/") || strings.HasPrefix(mediaType, "video/")
}

// commitPut does W4–W6: in the user's committer, against the state of then, it makes e
// the content of key. It also decides what becomes of an object that is not wanted.
func (l *Library) commitPut(ctx context.Context, key Key, e *Entry, now time.Time, opt *PutOptions) (*Entry, bool, error) {
	var (
		made    *Entry
		created bool
		same    bool // the content was there already
		planErr error
	)
	op := "put"
	err := l.t.log.Update(ctx, op, func(tx *journal.Tx) error {
		made, created, same, planErr = l.planPut(tx, key, *e, now, opt)
		return planErr
	})
	switch {
	case err == nil && !same:
		if e.Object != "" && showable(made) && l.b.opt.Queue != nil {
			l.b.opt.Queue.Ring()
		}
	case err == nil, planErr != nil && err == planErr, errors.Is(err, context.Canceled):
		// Certain that no row refers to the object. In any other case a segment may
		// yet come to light that does: then it is left to the collector.
		l.b.discard(ctx, e.Object)
	}
	if err != nil {
		return nil, false, fault(err)
	}
	return made, created, nil
}

// contentThere is the object of the file at key, if that has the content of e already and
// the bucket has it indeed: else the bytes that came just now must not be thrown away.
func (l *Library) contentThere(ctx context.Context, key Key, e *Entry) string {
	if e.Object == "" {
		return ""
	}
	p, err := l.t.locate(l.live(ctx), key)
	if err != nil || p.e == nil || p.e.Object == "" || p.e.SHA256 != e.SHA256 || p.e.Size != e.Size {
		return ""
	}
	info, err := l.b.bucket.Head(ctx, p.e.Object)
	if _, damaged := l.b.damaged.Load(p.e.Object); err != nil || info.Size != e.Size || damaged {
		l.b.log.Warn("an original that came again is not in the bucket as it should be: the new one takes its place", "uid", l.t.uid, "original", object.ULIDOf(p.e.Object), "err", err)
		return ""
	}
	return p.e.Object
}

// discard removes an object that nothing refers to.
func (b *Backend) discard(ctx context.Context, name string) {
	if name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	b.opt.Spool.drop(name)
	if err := b.bucket.Delete(ctx, name); err != nil {
		b.log.Info("unused object stays for the collector", "err", err)
	}
}

// planPut is the plan of a PUT: new holds the content; identity, times and what was
// there before come from the rows of now.
func (l *Library) planPut(tx *journal.Tx, key Key, new Entry, now time.Time, opt *PutOptions) (made *Entry, created, same bool, err error) {
	if opt.MakeParents {
		if err := l.makeParents(tx, key, now); err != nil {
			return nil, false, false, err
		}
	}
	p, err := l.t.locate(tx, key)
	if err != nil {
		return nil, false, false, err
	}
	if err := l.mayPut(tx, key, p, opt); err != nil {
		return nil, false, false, err
	}
	old := p.e
	e := &new
	e.Key, e.Changed, e.Created, e.Modified = key, now, now, opt.Modified
	if e.Modified.IsZero() {
		e.Modified = now
	}
	if old == nil {
		e.Ino = newIno()
	} else {
		// What is in the log stays there, or a rebuild would bring the old content back.
		e.logged = replacesLogged(old)
		e.Ino, e.Created, e.Name, e.Props = old.Ino, old.Created, old.Name, old.Props
		if !e.Changed.After(old.Changed) {
			e.Changed = old.Changed.Add(time.Millisecond) // versions are keyed by it
		}
		if same = old.Object != "" && old.Object == opt.there && old.SHA256 != "" && old.SHA256 == e.SHA256 && old.Size == e.Size; same {
			e.Object, e.Media = old.Object, old.Media
		}
	}
	grown := grownBy(e)
	switch {
	case same:
		grown = 0
	case old != nil && old.Object == "": // its content is kept nowhere
		grown -= grownBy(old)
	}
	if !opt.Created.IsZero() {
		e.Created = opt.Created
	}
	if err := l.roomFor(tx, max(grown, 0), boolInt(old == nil && !junkRow(e)), opt.upload); err != nil {
		return nil, false, false, err
	}
	w := l.writer(tx)
	if old != nil {
		w.forget(old)
		switch {
		case same:
			w.unref(old.Object, string(old.Ino))
		case old.Object != "":
			w.keepVersion(old, e.Changed)
		}
	}
	w.put(p.dir, e)
	w.grow(grown, boolInt((old == nil || junkRow(old)) && !junkRow(e)))
	if showable(e) && !e.Media.Processed && !same {
		for _, op := range l.b.jobOps(l.t.uid, e) {
			tx.Local(op)
		}
	}
	return e, old == nil, same, w.err
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// junkRow says whether an entry is kept in the index alone.
func junkRow(e *Entry) bool { return !e.Dir && Junk(e.Name) && e.Object == "" && !e.logged }

// writer puts an entry's rows into a plan; the first error sticks.
type writer struct {
	t    *tree
	tx   *journal.Tx
	by   string // who does it: Access.By
	logs bool   // the plan changes more than junk
	err  error
}

func (t *tree) writer(tx *journal.Tx) *writer { return &writer{t: t, tx: tx} }

func (l *Library) writer(tx *journal.Tx) *writer { return &writer{t: l.t, tx: tx, by: l.acc.by()} }

// put writes the rows of e as a member of dir.
func (w *writer) put(dir *Entry, e *Entry) {
	s := sortName(e.Name, e.Dir)
	d, err := encodeEntry(e)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.row(e, entryKey(w.t.uid, dir.Ino, s), d)
	w.json(e, pointerKey(w.t.uid, e.Ino), pointer{dir.Ino, s})
	if e.Object != "" {
		w.ref(e.Object, string(e.Ino))
	}
	if showable(e) && dir.Ino != TrashIno {
		at, _ := e.CaptureTime()
		w.tx.Put(timelineKey(w.t.uid, at, e.Ino), []byte{1})
	}
	if e.Dir {
		e.ETag = collectionTag(e)
	}
}

// row puts a row that belongs to e: junk is not worth a place in the log.
func (w *writer) row(e *Entry, k kv.Key, d []byte) {
	if len(d) > kv.MaxData {
		w.err = errors.Join(w.err, fmt.Errorf("%w: its metadata", ErrTooLarge))
		return
	}
	if junkRow(e) {
		w.tx.Local(kv.Op{Key: k, D: d})
		return
	}
	w.tx.Put(k, d)
}

func (w *writer) json(e *Entry, k kv.Key, v any) {
	d, err := marshal(v)
	w.err = errors.Join(w.err, err)
	w.row(e, k, d)
}

// remove takes the entry's own rows away from its place in dir.
func (w *writer) remove(dir *Entry, e *Entry) {
	w.del(e, entryKey(w.t.uid, dir.Ino, sortName(e.Name, e.Dir)))
	w.forget(e)
}

// forget takes an entry off the timeline.
func (w *writer) forget(e *Entry) {
	if showable(e) {
		at, _ := e.CaptureTime()
		w.tx.Del(timelineKey(w.t.uid, at, e.Ino))
	}
}

func (w *writer) ref(obj, by string) {
	w.tx.Put(kv.Key{P: refPartition(w.t.uid, object.ULIDOf(obj)), S: by}, []byte(obj))
}

func (w *writer) unref(obj, by string) {
	w.tx.Del(kv.Key{P: refPartition(w.t.uid, object.ULIDOf(obj)), S: by})
}

// keepVersion makes what an entry was until now an earlier version of it.
func (w *writer) keepVersion(old *Entry, replaced time.Time) {
	d, err := encodeEntry(old)
	w.err = errors.Join(w.err, err)
	at := inv(w.freeVersion(old.Ino, replaced))
	w.tx.Put(kv.Key{P: versionPartition(w.t.uid, old.Ino), S: at}, d)
	w.unref(old.Object, string(old.Ino))
	w.ref(old.Object, string(old.Ino)+"@"+at)
}

// freeVersion is replaced, or the moment after the newest version of ino was, if that is
// later: clocks are set back, and two may come within a millisecond.
func (w *writer) freeVersion(ino Ino, replaced time.Time) time.Time {
	newest, _, err := w.tx.Scan(versionPartition(w.t.uid, ino), "", "", false, 1)
	if err == nil && len(newest) > 0 {
		var at time.Time
		if at, err = fromInv(newest[0].S); err == nil && replaced.UnixMilli() <= at.UnixMilli() {
			replaced = at.Add(time.Millisecond)
		}
	}
	w.err = errors.Join(w.err, err)
	return replaced
}

// grow changes the usage row.
func (w *writer) grow(bytes, files int64) {
	if bytes == 0 && files == 0 {
		return
	}
	u, err := w.t.readUsage(w.tx)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	u.Bytes, u.Files = u.Bytes+bytes, u.Files+files
	d, err := marshal(u)
	w.err = errors.Join(w.err, err)
	w.tx.Put(usageKey(w.t.uid), d)
}
