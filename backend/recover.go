package backend

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// UIDs are the users of whom the bucket has originals, a log or a snapshot, in byte order.
// It costs two or three lists for each.
func (b *Backend) UIDs(ctx context.Context) ([]string, error) {
	found := make(map[string]bool)
	for _, class := range [...]string{"v1/l/", "v1/o/", "v1/s/"} {
		for after, more := "", true; more; {
			more = false
			for info, err := range b.bucket.List(ctx, class, after) {
				if err != nil {
					return nil, fault(fmt.Errorf("list users: %w", err))
				}
				uid, _, ok := strings.Cut(strings.TrimPrefix(info.Name, class), "/")
				if ok && len(uid) == uidLen && strings.Trim(uid, "abcdefghijklmnopqrstuvwxyz234567") == "" {
					found[uid] = true
				}
				after, more = class+uid+"0", true // beyond all that begins with uid/
				break
			}
		}
	}
	uids := make([]string, 0, len(found))
	for uid := range found {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	return uids, nil
}

// uidLen is the length of a user's id.
const uidLen = 13

// Recovered is what RecoverOriginals did.
type Recovered struct {
	Listed  int64 // originals in the bucket
	Known   int64 // of them, those that rows tell of, or that wait for the collector
	Files   int64 // those that have come into the library RecoveredLibrary
	Bytes   int64
	Unnamed int64 // of these files, those whose object bears no name that can be used
}

// RecoverOriginals makes a file, in the library RecoveredLibrary, of every original of a
// user that no row tells of: under the name it was uploaded as, with the times and
// checksums that the object bears. When log and snapshots are lost that is all of them.
// Of several that were uploaded under one name the newest has it; those before it are
// "name (2)" and so on. An interrupted run is continued by calling it again.
//
// Only the caller may be using the user's tree.
func (b *Backend) RecoverOriginals(ctx context.Context, uid string, progress func(Recovered)) (*Recovered, error) {
	l, err := b.Library(ctx, uid, Access{})
	if err != nil {
		return nil, err
	}
	c := &collection{b: b, t: l.t, Collected: new(Collected)}
	known, err := c.known(ctx)
	if err != nil {
		return nil, fault(err)
	}
	r := &recovery{l: l, dirs: make(map[Key]*Entry), numbers: make(map[Key]int), now: b.opt.Now()}
	var names []string
	for info, err := range b.bucket.List(ctx, object.OriginalPrefix(uid), "") {
		if err != nil {
			return nil, fault(fmt.Errorf("list originals: %w", err))
		}
		id, ok := originalID(uid, info.Name)
		if !ok || object.IsChunk(info.Name) {
			continue
		}
		if r.Listed++; known[id] != 0 {
			r.Known++
			continue
		}
		names = append(names, info.Name)
	}
	if len(names) == 0 {
		return &r.Recovered, nil
	}
	if _, err := l.mkdir(ctx, RecoveredLibrary, &MkdirOptions{Existing: true}); err != nil {
		return nil, err
	}
	slices.Reverse(names) // the newest first
	for part := range slices.Chunk(names, recoverAtOnce) {
		if err := r.recover(ctx, part); err != nil {
			return &r.Recovered, fault(err)
		}
		if progress != nil {
			progress(r.Recovered)
		}
	}
	return &r.Recovered, nil
}

// recoverAtOnce is how many files one segment of the log brings.
const recoverAtOnce = 2000

type recovery struct {
	Recovered
	l       *Library
	dirs    map[Key]*Entry // collections, by the key they were wanted under
	numbers map[Key]int    // of the last " (n)" of a key
	now     time.Time

	ops   []kv.Op         // of this segment
	taken map[kv.Key]bool // entry rows among them
}

// recover makes entries of some originals.
func (r *recovery) recover(ctx context.Context, names []string) error {
	found := make([]*Entry, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i, name := range names {
		g.Go(func() (err error) {
			found[i], err = r.l.b.describe(gctx, name)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	usage, err := r.l.t.readUsage(r.l.live(ctx))
	if err != nil {
		return err
	}
	r.ops, r.taken = nil, make(map[kv.Key]bool)
	var made []*Entry
	for i, e := range found {
		if e == nil { // deleted meanwhile
			continue
		}
		key, ok := recoveredKey(e.Key, names[i])
		if !ok {
			r.Unnamed++
		}
		dirKey, name := key.Split()
		dir, err := r.dir(ctx, dirKey)
		if err != nil {
			return err
		}
		if e.Name, err = r.free(ctx, dir, name, false); err != nil {
			return err
		}
		e.Ino, e.Changed, e.Key = newIno(), r.now, dir.Key.Join(e.Name)
		if err := r.add(dir, e); err != nil {
			return err
		}
		usage.Bytes, usage.Files = usage.Bytes+e.Size, usage.Files+1
		r.Files++
		r.Bytes += e.Size
		made = append(made, e)
	}
	d, err := marshal(usage)
	if err != nil {
		return err
	}
	r.ops = append(r.ops, kv.Op{Key: usageKey(r.l.t.uid), D: d})
	if err := r.l.t.log.Bulk(ctx, "recover", r.ops); err != nil {
		return err
	}
	return r.l.b.queueAll(ctx, r.l.t.uid, made)
}

// queueAll queues the jobs of new images.
func (b *Backend) queueAll(ctx context.Context, uid string, entries []*Entry) error {
	if b.opt.Queue == nil {
		return nil
	}
	var ops []kv.Op
	for _, e := range entries {
		if !showable(e) {
			continue
		}
		for _, op := range b.jobOps(uid, e) { // of which one may be that of another, too
			if !slices.ContainsFunc(ops, func(other kv.Op) bool { return other.Key == op.Key }) {
				ops = append(ops, op)
			}
		}
		if len(ops)+8 > kv.MaxOps {
			if err := b.x.Commit(ctx, ops); err != nil {
				return err
			}
			ops = nil
		}
	}
	defer b.opt.Queue.Ring()
	return b.x.Commit(ctx, ops)
}

// dir is the collection for files that belong at key, which is made where it is missing.
func (r *recovery) dir(ctx context.Context, key Key) (*Entry, error) {
	if e := r.dirs[key]; e != nil {
		return e, nil
	}
	if key == "" {
		return root(), nil
	}
	aboveKey, name := key.Split()
	above, err := r.dir(ctx, aboveKey)
	if err != nil {
		return nil, err
	}
	e, err := r.l.t.lookup(r.l.live(ctx), above, name)
	if err != nil {
		return nil, err
	}
	if e == nil || !e.Dir {
		e = &Entry{Ino: newIno(), Dir: true, Modified: r.now, Created: r.now, Changed: r.now}
		if e.Name, err = r.free(ctx, above, name, true); err != nil {
			return nil, err
		}
		e.Key = above.Key.Join(e.Name)
		if err := r.add(above, e); err != nil {
			return nil, err
		}
	}
	r.dirs[key] = e
	return e, nil
}

// free is name, or the first of "name (2)", "name (3)", … that no member of dir has.
func (r *recovery) free(ctx context.Context, dir *Entry, name string, isDir bool) (string, error) {
	ext := path.Ext(name)
	if isDir {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	key := dir.Key.Join(nfc(name))
	for try := name; ; {
		there, err := r.l.t.lookup(r.l.live(ctx), dir, try)
		if err != nil {
			return "", err
		}
		uid := r.l.t.uid
		if there == nil && !r.taken[entryKey(uid, dir.Ino, sortName(try, true))] && !r.taken[entryKey(uid, dir.Ino, sortName(try, false))] {
			return try, nil
		}
		r.numbers[key] = max(r.numbers[key], 1) + 1
		number := " (" + strconv.Itoa(r.numbers[key]) + ")"
		try = stem[:min(len(stem), MaxName-len(number)-len(ext))] + number + ext
		try = strings.ToValidUTF8(try, "")
	}
}

// add puts the rows of a new entry into the segment.
func (r *recovery) add(dir, e *Entry) error {
	uid := r.l.t.uid
	s := sortName(e.Name, e.Dir)
	d, err := encodeEntry(e)
	if err != nil {
		return err
	}
	p, err := marshal(pointer{dir.Ino, s})
	if err != nil {
		return err
	}
	k := entryKey(uid, dir.Ino, s)
	r.taken[k] = true
	r.ops = append(r.ops, kv.Op{Key: k, D: d}, kv.Op{Key: pointerKey(uid, e.Ino), D: p})
	if e.Object != "" {
		r.ops = append(r.ops, kv.Op{Key: kv.Key{P: refPartition(uid, object.ULIDOf(e.Object)), S: string(e.Ino)}, D: []byte(e.Object)})
	}
	if showable(e) {
		at, _ := e.CaptureTime()
		r.ops = append(r.ops, kv.Op{Key: timelineKey(uid, at, e.Ino), D: []byte{1}})
	}
	return nil
}

// describe tells what an original says of itself; Key is the one it was uploaded as, as
// far as it bears it. nil if it is gone.
func (b *Backend) describe(ctx context.Context, name string) (*Entry, error) {
	info, err := b.bucket.Head(ctx, name)
	if errors.Is(err, object.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata of an original: %w", err)
	}
	e := &Entry{Object: name, Size: info.Size, MD5: hexOf(info.Meta["sb-md5"], 16), SHA256: hexOf(info.Meta["sb-sha256"], 32)}
	e.Key = Key(unescapeMeta(info.Meta["sb-name"]))
	e.Created = info.ModTime
	if id, ok := originalID(uidOf(name), name); ok {
		e.Created = id.Timestamp()
	}
	e.Modified = e.Created
	if ms, err := strconv.ParseInt(info.Meta["sb-mtime"], 10, 64); err == nil {
		e.Modified = time.UnixMilli(ms).UTC()
	}
	switch e.ETag = e.MD5; {
	case e.ETag != "":
	case partsETag.MatchString(info.ETag): // it came in parts
		e.ETag = info.ETag
	default: // it was long and of unknown size: nobody remembers its MD5
		e.ETag = fmt.Sprintf("%x-1", md5.Sum([]byte(name)))
	}
	e.Type = typeBySuffix[strings.ToLower(path.Ext(name))]
	if e.Type == "" && e.Size > 0 {
		r, err := b.bucket.Get(ctx, name, 0, 4096)
		if err != nil {
			return nil, fmt.Errorf("read the head of an original: %w", err)
		}
		head, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("read the head of an original: %w", err)
		}
		e.Type = b.typeOf(head, path.Base(name), "")
	}
	return e, nil
}

var partsETag = regexp.MustCompile(`^[0-9a-f]{32}-[1-9][0-9]{0,4}$`)

// uidOf is the user whose original has that name.
func uidOf(name string) string {
	uid, _, _ := strings.Cut(strings.TrimPrefix(name, "v1/o/"), "/")
	return uid
}

// typeBySuffix saves a read for the files that most are; processing goes by content.
var typeBySuffix = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp",
	".heic": "image/heic", ".heif": "image/heif", ".avif": "image/avif", ".tif": "image/tiff", ".tiff": "image/tiff",
	".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".txt": "text/plain",
}

func hexOf(base64Sum string, n int) string {
	raw, err := base64.StdEncoding.DecodeString(base64Sum)
	if err != nil || len(raw) != n {
		return ""
	}
	return hex.EncodeToString(raw)
}

// maxNameMeta is the longest name in bytes that an original bears: see escapeMeta.
const maxNameMeta = 1200

// unescapeMeta reads what escapeMeta made; of a name that was cut, what is whole.
func unescapeMeta(s string) string {
	if len(s) >= maxNameMeta {
		_, s, _ = strings.Cut(s, "/")
	}
	name, err := url.PathUnescape(s)
	if err != nil {
		return ""
	}
	return name
}

// recoveredKey is where an original goes that was uploaded as key; ok is false if that can
// not be used.
func recoveredKey(key Key, name string) (_ Key, ok bool) {
	lib := Key(RecoveredLibrary)
	if key != "" {
		if k, err := ParseKey(string(lib.Join(string(key)))); err == nil {
			return k, true
		}
	}
	month, base := path.Split(strings.TrimPrefix(name, object.OriginalPrefix(uidOf(name))))
	_, slug, _ := strings.Cut(base, "-")
	if slug == "" {
		slug = "file"
	}
	return lib.Join("unnamed").Join(strings.TrimSuffix(month, "/")).Join(slug), false
}

// SetAsideLog moves the log and the snapshots of a user, which are damaged, to names under
// which nobody looks for them ("v1/x/<uid>/<time>/…"), so that RecoverOriginals can begin
// a new log. It returns what their names begin with. A log that is not damaged is refused.
func (b *Backend) SetAsideLog(ctx context.Context, uid string) (aside string, err error) {
	if _, err := b.tree(ctx, uid); !errors.Is(err, journal.ErrDamaged) {
		return "", errors.Join(err, fmt.Errorf("the log of %s is not damaged: it stays", uid))
	}
	aside, err = journal.SetAside(ctx, b.bucket, uid, b.opt.Now())
	return aside, fault(err)
}
