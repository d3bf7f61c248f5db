package backend

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// maxFindings bounds how many findings a Report tells; it counts all.
const maxFindings = 100

// A Report is what Check found about one user's tree.
type Report struct {
	Entries int64 // collections and files, with those in the trash
	Objects int64 // originals that rows refer to
	// Unused are originals in the bucket that no row refers to: uploads under way, or
	// broken off, and what waits for the collector. They harm nobody. From level 3 on.
	Unused int64

	// NoVariants are smaller images that are not in the bucket. They can be made again:
	// Repair queues the jobs. From level 3 on.
	NoVariants int64

	Asked     int64 // originals whose metadata was read, at level 4
	Unsummed  int64 // of them, those that bear no checksum: they came in parts, or were long
	Read      int64 // originals that were read, at level 5
	ReadBytes int64
	SizeOnly  int64 // of them, those of which nothing is known but the size: they came in parts, to a Shoebox of before

	Wrong int64 // everything that is not as it should be
	// Findings tell the first of what is wrong, a sentence each. They name entries by
	// their ino: keys are private.
	Findings []string

	// Repairs tell what was repaired, or with DryRun would be. Wrong and Findings are of
	// what is wrong after that.
	Repairs []string
}

func (r *Report) wrong(format string, args ...any) {
	if r.Wrong++; len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// ErrBusy says that a tree changed too often for Check to compare it with its log.
var ErrBusy = errors.New("the library is changing too fast to be compared with its log: try again")

// CheckOptions says how thorough a check is.
type CheckOptions struct {
	Level   int      // 1 to 5, see Check
	Scratch kv.Store // an empty kv.Dumper, for level 2 and more
	// Sample is the part of all originals, in percent, that level 5 reads, another one each
	// time; 0 means all.
	Sample float64
	// Repair makes good what can be: see CheckWith.
	Repair bool
	DryRun bool // with Repair: only say what would be repaired
	// Progress is told now and then how far a level is; total is 0 if that is not known.
	// It may be nil.
	Progress func(level int, done, total int64)
}

// Check examines one user's tree. It changes nothing, and requests go on meanwhile.
//
//	level 1  the index's rows agree with each other
//	level 2  and with what the bucket's log says, which is replayed into scratch, an empty store
//	level 3  and every original they refer to is in the bucket, in its size, and every variant
//	level 4  and bears the checksums that the rows tell
//	level 5  and has the content that the checksums are of: it is read
//
// An error says that it could not be found out; what is wrong is in the Report. The
// index must be a kv.Dumper, and so must scratch, which level 1 does not need.
func (b *Backend) Check(ctx context.Context, uid string, level int, scratch kv.Store) (*Report, error) {
	return b.CheckWith(ctx, uid, CheckOptions{Level: level, Scratch: scratch})
}

// CheckWith is Check with options. With Repair,
//
//   - rows of the index that are not as the log tells are made so (level 2),
//   - rows that can be derived from others, such as those of the timeline, are (level 1),
//     through the log, and entries that hang on nothing get into the trash,
//   - jobs that are missing are queued, also to make variants that are missing (level 3).
//
// An original that is missing or damaged can not be repaired: nobody else has it.
func (b *Backend) CheckWith(ctx context.Context, uid string, opt CheckOptions) (*Report, error) {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return nil, err
	}
	if !opt.Repair {
		c := &check{Report: new(Report), t: t, opt: opt}
		return c.Report, c.run(ctx, b, 1, opt.Level)
	}
	return b.repair(ctx, t, opt)
}

// run does the levels from…to.
func (c *check) run(ctx context.Context, b *Backend, from, to int) error {
	levels := [...]func() error{
		1: func() error {
			if err := c.readRows(ctx, b.x); err != nil {
				return fmt.Errorf("read index: %w", err)
			}
			c.compareRows()
			return nil
		},
		2: func() error { return c.compareLog(ctx, b) },
		3: func() error { return c.compareBucket(ctx, b.bucket) },
		4: func() error { return c.compareSums(ctx, b.bucket) },
		5: func() error { return c.readData(ctx, b.bucket) },
	}
	for level := from; level <= min(to, 5); level++ {
		if err := levels[level](); err != nil {
			return fault(err)
		}
	}
	return nil
}

func (c *check) progress(level int, done, total int64) {
	if c.opt.Progress != nil && (done%1000 == 0 || done == total) {
		c.opt.Progress(level, done, total)
	}
}

// check is one user's rows as of one moment, as far as they must agree.
type check struct {
	*Report
	t   *tree
	opt CheckOptions

	entries  map[Ino]checkEntry
	pointers map[Ino]pointer
	refs     map[kv.Key]string // reference rows → object
	wanted   map[kv.Key]string // those that there should be
	objects  map[string]original
	versions map[Ino]bool      // that have versions or properties
	timeline map[string]bool   // S of timeline rows
	trash    map[Ino]string    // S of their trash rows
	listed   map[Ino]trashed   // and what these say, if they can be read
	deleted  map[kv.Key]bool   // rows that find them by key
	graves   map[string]string // ULID → S, from the rows g#<uid>
	buried   map[string]string // and from the rows g#<uid>#<ulid>
	usage    usageRow          // as it should be
	told     usageRow          // as its row says
	variants map[variantID]Ino // that there should be

	mends  []mend   // what Repair would do about what is wrong
	differ []kv.Key // rows that differ from the log's
}

// original is what the rows tell of an object.
type original struct {
	size   int64
	sha256 string // hex, "" if unknown
	md5    string
	crc32c string
}

type checkEntry struct {
	at       pointer
	dir      bool
	junk     bool   // of this index only
	timeline string // S of its timeline row, "" if it has none
	pending  bool   // nobody has looked at its content yet
}

func dump(ctx context.Context, x kv.Store, prefixes []string, each func(kv.Row) error) error {
	d, ok := x.(kv.Dumper)
	if !ok {
		return errors.New("backend: this store cannot be dumped")
	}
	for row, err := range d.Dump(ctx, prefixes...) {
		if err != nil {
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) readRows(ctx context.Context, x kv.Store) error {
	uid := c.t.uid
	c.entries, c.pointers = map[Ino]checkEntry{}, map[Ino]pointer{}
	c.refs, c.wanted, c.objects = map[kv.Key]string{}, map[kv.Key]string{}, map[string]original{}
	c.versions, c.timeline, c.trash = map[Ino]bool{}, map[string]bool{}, map[Ino]string{}
	c.listed, c.deleted = map[Ino]trashed{}, map[kv.Key]bool{}
	c.graves, c.buried, c.variants = map[string]string{}, map[string]string{}, map[variantID]Ino{}
	n := int64(0)
	return dump(ctx, x, loggedPrefixes(uid), func(row kv.Row) error {
		n++
		c.progress(1, n, 0)
		last := row.P[strings.LastIndexByte(row.P, '#')+1:]
		switch row.P[0] {
		case 'd':
			e, err := decodeEntry("", row.S, row.D)
			if err != nil {
				c.wrong("a row of collection %s can not be read: %v", last, err)
				return nil
			}
			c.readEntry(pointer{Ino(last), row.S}, e)
		case 'i':
			var p pointer
			if err := json.Unmarshal(row.D, &p); err != nil {
				c.wrong("the back pointer of %s can not be read: %v", last, err)
				return nil
			}
			c.pointers[Ino(last)] = p
		case 'b':
			c.refs[row.Key] = string(row.D)
		case 'w':
			e, err := decodeEntry("", last, row.D)
			if err != nil {
				c.wrong("a version of %s can not be read: %v", last, err)
				return nil
			}
			c.versions[Ino(last)] = true
			c.usage.Bytes += e.Size
			c.want(e, last+"@"+row.S)
		case 'p':
			c.versions[Ino(last)] = true
		case 't':
			c.timeline[row.S] = true
		case 'r':
			if row.P != "r#"+uid {
				c.deleted[row.Key] = true
				return nil
			}
			if _, ino, ok := strings.Cut(row.S, "#"); ok {
				c.trash[Ino(ino)] = row.S
				var was trashed
				if err := json.Unmarshal(row.D, &was); err != nil {
					c.wrong("the trash row of %s can not be read: %v", ino, err)
					return nil
				}
				c.listed[Ino(ino)] = was
			}
		case 'q':
			if err := json.Unmarshal(row.D, &c.told); err != nil {
				c.wrong("the row of the usage can not be read: %v", err)
			}
		case 'g':
			if row.P == "g#"+uid {
				_, id, _ := strings.Cut(row.S, "#")
				c.graves[id] = row.S
			} else {
				c.buried[last] = string(row.D)
			}
		}
		return nil
	})
}

func (c *check) readEntry(at pointer, e *Entry) {
	if e.Dir != strings.HasSuffix(at.S, "/") {
		c.wrong("entry %s stands in a row of the other kind", e.Ino)
	}
	if _, ok := c.entries[e.Ino]; ok {
		c.wrong("entry %s is in two places", e.Ino)
	}
	ce := checkEntry{at: at, dir: e.Dir, junk: junkRow(e)}
	if showable(e) {
		taken, _ := e.CaptureTime()
		ce.timeline = timelineKey(c.t.uid, taken, e.Ino).S
		ce.pending = !e.Media.Processed
	}
	c.entries[e.Ino] = ce
	if !e.Dir && !junkRow(e) {
		c.usage.Bytes += e.Size
		c.usage.Files++
	}
	c.want(e, string(e.Ino))
	if c.opt.Level >= 3 {
		for _, v := range e.Media.Variants {
			c.variants[variantOf(object.ULIDOf(e.Object), v)] = e.Ino
		}
	}
}

// want notes that by refers to the object of e.
func (c *check) want(e *Entry, by string) {
	if e.Object == "" {
		return
	}
	c.wanted[kv.Key{P: refPartition(c.t.uid, object.ULIDOf(e.Object)), S: by}] = e.Object
	o := original{size: e.Size}
	if c.opt.Level >= 4 {
		o.sha256, o.md5, o.crc32c = e.SHA256, e.MD5, e.CRC32C
	}
	c.objects[e.Object] = o
}

// compareRows is level 1.
func (c *check) compareRows() {
	c.Entries, c.Objects = int64(len(c.entries)), int64(len(c.objects))
	trashed := c.trashed()
	for ino, e := range c.entries {
		if p, ok := c.pointers[ino]; !ok || p != e.at {
			c.mend(mendEntry(ino, e.at), "entry %s is not where its back pointer says", ino)
		}
		if dir := e.at.Dir; e.junk && dir != RootIno && !c.entries[dir].dir {
			// Another gateway purged the collection, and could not know of it.
		} else if dir != RootIno && dir != TrashIno && !c.entries[dir].dir {
			c.mend(rescue(ino, e.at), "entry %s is in a collection that does not exist", ino)
		} else if _, reached := trashed(ino); !reached {
			c.wrong("entry %s cannot be reached from the root", ino)
		}
		if e.timeline != "" && e.at.Dir != TrashIno && !c.timeline[e.timeline] {
			c.mend(mendEntry(ino, e.at), "entry %s is missing from the timeline", ino)
		}
		if e.at.Dir == TrashIno != (c.trash[ino] != "") {
			c.mend(mendTrash(ino, c.trash[ino]), "entry %s is in the trash and not, at once", ino)
		}
	}
	for ino, p := range c.pointers {
		if _, ok := c.entries[ino]; !ok {
			c.mend(mendPointer(ino, p), "a back pointer leads to %s, which does not exist", ino)
		}
	}
	for ino := range c.versions {
		if _, ok := c.entries[ino]; !ok {
			c.mend(mendLeftovers(ino), "there are versions or properties of %s, which does not exist", ino)
		}
	}
	for k, obj := range c.wanted {
		if c.refs[k] != obj {
			c.mend(mendReference(k, obj), "the original of %s is not counted as in use", k.S)
		}
	}
	for k, obj := range c.refs {
		if c.wanted[k] != obj {
			c.mend(mendReference(k, obj), "an original is counted as in use by %s, which does not use it", k.S)
		}
		if id := object.ULIDOf(obj); c.graves[id] != "" {
			c.mend(mendGrave(obj), "an original in use by %s has a tombstone", k.S)
		}
	}
	for s := range c.timeline {
		_, ino, _ := strings.Cut(s, "#")
		if e, ok := c.entries[Ino(ino)]; !ok || e.timeline != s {
			if below, _ := trashed(Ino(ino)); !below { // rows of a trashed collection stay
				c.mend(mendTimeline(s), "the timeline has %s at a time at which it is not", ino)
			}
		}
	}
	for ino, s := range c.trash {
		if _, ok := c.entries[ino]; !ok { // those that are elsewhere are told of above
			c.mend(mendTrash(ino, s), "the trash lists %s, which is not in it", ino)
		}
	}
	found := make(map[kv.Key]bool, len(c.listed))
	for ino, was := range c.listed {
		e, ok := c.entries[ino]
		if !ok || e.at.Dir != TrashIno || was.Purge {
			continue
		}
		k := deletedKey(c.t.uid, was, c.trash[ino])
		if found[k] = true; !c.deleted[k] || was.Collection != e.dir {
			c.mend(mendDeleted(ino, c.trash[ino]), "entry %s is in the trash and can not be found there by its key", ino)
		}
	}
	for k := range c.deleted {
		if !found[k] {
			c.mend(mendLost(k), "the trash finds %s by a key, where it is not", k.S[strings.LastIndexByte(k.S, '#')+1:])
		}
	}
	for id, s := range c.graves {
		if c.buried[id] != s {
			c.mend(mendTombstone(id, s), "the tombstone of original %s has no row of the object", id)
		}
	}
	for id, s := range c.buried {
		if c.graves[id] != s {
			c.mend(mendTombstone(id, s), "the tombstone of original %s is missing", id)
		}
	}
	if c.usage != c.told {
		c.mend(mendUsage(c.usage.Bytes-c.told.Bytes, c.usage.Files-c.told.Files), "the usage is %d bytes in %d files, and told as %d in %d",
			c.usage.Bytes, c.usage.Files, c.told.Bytes, c.told.Files)
	}
}

// trashed returns a function that says whether an entry is in or below the trash, and
// whether it hangs on the root or the trash at all.
func (c *check) trashed() func(Ino) (trashed, reached bool) {
	memo := map[Ino][2]bool{RootIno: {false, true}, TrashIno: {true, true}}
	return func(ino Ino) (bool, bool) {
		var way []Ino
		at := ino
		for len(way) <= 10*MaxDepth {
			if found, ok := memo[at]; ok {
				for _, i := range way {
					if c.entries[i].dir {
						memo[i] = found
					}
				}
				return found[0], found[1]
			}
			way = append(way, at)
			e, ok := c.entries[at]
			if !ok {
				return false, false
			}
			at = e.at.Dir
		}
		return false, false // a ring
	}
}

// replay replays the log into scratch, or what has come to it since, and says up to which
// segment.
func (c *check) replay(ctx context.Context, b *Backend) (seq uint64, err error) {
	opt := b.opt
	opt.Queue, opt.Spool, opt.Logger, opt.Journal.Logger = nil, nil, nil, nil
	opt.Journal.Progress = func(p journal.Progress) { c.progress(2, p.Rows+p.Segments, 0) }
	// A new Backend each time, so that it reads the rest of the log.
	t, err := New(b.bucket, c.opt.Scratch, &opt).tree(ctx, c.t.uid)
	if err != nil {
		return 0, fmt.Errorf("replay the log: %w", err)
	}
	seq, err = t.log.Seq(ctx)
	return seq, fault(err)
}

// compareLog is level 2. The log is replayed first and the index read then, so that the
// index is as new or newer; if it is newer the rest is replayed and all is read anew.
func (c *check) compareLog(ctx context.Context, b *Backend) error {
	for range 5 {
		theirs, err := c.replay(ctx, b)
		if err != nil {
			return err
		}
		before, err := c.t.log.Seq(ctx)
		if err != nil {
			return fault(err)
		}
		if before != theirs {
			continue
		}
		again := new(Report)
		c.differ = nil
		if err := c.compareDumps(ctx, b.x, again); err != nil {
			return fault(err)
		}
		after, err := c.t.log.Seq(ctx)
		if err != nil {
			return fault(err)
		}
		if after != theirs {
			continue
		}
		for _, f := range again.Findings {
			c.wrong("%s", f)
		}
		c.Wrong += again.Wrong - int64(len(again.Findings))
		return nil
	}
	return ErrBusy
}

// compareDumps compares the index with scratch, row by row: both come in one order.
func (c *check) compareDumps(ctx context.Context, x kv.Store, rep *Report) error {
	var failed error
	rows := func(x kv.Store) iter.Seq[kv.Row] {
		return func(yield func(kv.Row) bool) {
			logged := loggedRows()
			err := dump(ctx, x, loggedPrefixes(c.t.uid), func(row kv.Row) error {
				if logged(row) && !yield(row) {
					return errStop
				}
				return nil
			})
			if err != nil && err != errStop {
				failed = errors.Join(failed, err)
			}
		}
	}
	order := make(map[string]int)
	for i, p := range loggedPrefixes(c.t.uid) {
		order[p[:1]] = i
	}
	less := func(a, b kv.Key) int {
		return cmp.Or(cmp.Compare(order[a.P[:1]], order[b.P[:1]]), cmp.Compare(a.P, b.P), cmp.Compare(a.S, b.S))
	}
	next, stop := iter.Pull(rows(c.opt.Scratch))
	defer stop()
	want, more := next()
	differ := func(k kv.Key, format string, args ...any) {
		rep.wrong(format, args...)
		if c.opt.Repair {
			c.differ = append(c.differ, k)
		}
	}
	lacks := func() {
		differ(want.Key, "the index lacks a row of kind %q that the log has", want.P[:1])
		want, more = next()
	}
	n := int64(0)
	for have := range rows(x) {
		n++
		c.progress(2, n, 0)
		for more && less(want.Key, have.Key) < 0 {
			lacks()
		}
		switch {
		case !more || want.Key != have.Key:
			differ(have.Key, "the index has a row of kind %q that the log has not", have.P[:1])
			continue
		case !bytes.Equal(want.D, have.D):
			differ(have.Key, "a row of kind %q differs from the log's", have.P[:1])
		}
		want, more = next()
	}
	for more {
		lacks()
	}
	return failed
}

var errStop = errors.New("stopped")
