package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// maxFindings bounds how many findings a Report tells; it counts all.
const maxFindings = 100

// A Report is what Check found about one user's tree.
type Report struct {
	Entries int64 `json:"entries"` // collections and files, with those in the trash
	Objects int64 `json:"objects"` // originals that rows refer to
	// Unused are originals in the bucket that no row refers to: uploads under way, or
	// broken off. They harm nobody. Only level 3 counts them.
	Unused int64 `json:"unused"`
	Wrong  int64 `json:"wrong"` // everything that is not as it should be
	// Findings tell the first of what is wrong, a sentence each. They name entries by
	// their ino: keys are private.
	Findings []string `json:"findings,omitempty"`
}

func (r *Report) wrong(format string, args ...any) {
	if r.Wrong++; len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// ErrBusy says that a tree changed too often for Check to compare it with its log.
var ErrBusy = errors.New("the library is changing too fast to be compared with its log: try again")

// Check examines one user's tree. It changes nothing, and requests go on meanwhile.
//
//	level 1  the index's rows agree with each other
//	level 2  and with what the bucket's log says, which is replayed into scratch, an empty store
//	level 3  and every original they refer to is in the bucket, in its size
//
// An error says that it could not be found out; what is wrong is in the Report. The
// index must be a kv.Dumper, and so must scratch, which level 1 does not need.
func (b *Backend) Check(ctx context.Context, uid string, level int, scratch kv.Store) (*Report, error) {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return nil, err
	}
	rep := new(Report)
	c := &check{Report: rep, t: t}
	if err := c.readRows(ctx, b.x); err != nil {
		return nil, fault(fmt.Errorf("read index: %w", err))
	}
	c.compareRows()
	if level >= 2 {
		if err := c.compareLog(ctx, b, scratch); err != nil {
			return nil, err
		}
	}
	if level >= 3 {
		if err := c.compareBucket(ctx, b.bucket); err != nil {
			return nil, fault(fmt.Errorf("list originals: %w", err))
		}
	}
	return rep, nil
}

// check is one user's rows as of one moment, as far as they must agree.
type check struct {
	*Report
	t        *tree
	entries  map[Ino]checkEntry
	pointers map[Ino]pointer
	refs     map[kv.Key]string // reference rows → object
	wanted   map[kv.Key]string // those that there should be
	sizes    map[string]int64  // object → size
	timeline map[string]bool   // S of timeline rows
	trash    map[Ino]bool
}

type checkEntry struct {
	at       pointer
	dir      bool
	timeline string // S of its timeline row, "" if it has none
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
	c.refs, c.wanted, c.sizes = map[kv.Key]string{}, map[kv.Key]string{}, map[string]int64{}
	c.timeline, c.trash = map[string]bool{}, map[Ino]bool{}
	want := func(e *Entry, by string) {
		c.wanted[kv.Key{P: "b#" + uid + "#" + object.ULIDOf(e.Object), S: by}] = e.Object
		c.sizes[e.Object] = e.Size
	}
	return dump(ctx, x, loggedPrefixes(uid), func(row kv.Row) error {
		last := row.P[strings.LastIndexByte(row.P, '#')+1:]
		switch row.P[0] {
		case 'd':
			e, err := decodeEntry("", row.S, row.D)
			if err != nil {
				c.wrong("a row of collection %s can not be read: %v", last, err)
				return nil
			}
			if e.Dir != strings.HasSuffix(row.S, "/") {
				c.wrong("entry %s stands in a row of the other kind", e.Ino)
			}
			if _, ok := c.entries[e.Ino]; ok {
				c.wrong("entry %s is in two places", e.Ino)
			}
			ce := checkEntry{at: pointer{Ino(last), row.S}, dir: e.Dir}
			if showable(e) {
				at, _ := e.CaptureTime()
				ce.timeline = timelineKey(uid, at, e.Ino).S
			}
			c.entries[e.Ino] = ce
			if e.Object != "" {
				want(e, string(e.Ino))
			}
		case 'i':
			var p pointer
			if err := json.Unmarshal(row.D, &p); err != nil {
				c.wrong("the back pointer of %s can not be read: %v", last, err)
				return nil
			}
			c.pointers[Ino(last)] = p
		case 'b':
			c.refs[kv.Key{P: row.P, S: row.S}] = string(row.D)
		case 'w':
			e, err := decodeEntry("", last, row.D)
			if err != nil {
				c.wrong("a version of %s can not be read: %v", last, err)
				return nil
			}
			want(e, last+"@"+row.S)
		case 't':
			c.timeline[row.S] = true
		case 'r':
			if _, ino, ok := strings.Cut(row.S, "#"); ok {
				c.trash[Ino(ino)] = true
			}
		}
		return nil
	})
}

// compareRows is level 1.
func (c *check) compareRows() {
	c.Entries, c.Objects = int64(len(c.entries)), int64(len(c.sizes))
	trashed := c.trashed()
	for ino, e := range c.entries {
		if p, ok := c.pointers[ino]; !ok || p != e.at {
			c.wrong("entry %s is not where its back pointer says", ino)
		}
		if dir := e.at.Dir; dir != RootIno && dir != TrashIno && !c.entries[dir].dir {
			c.wrong("entry %s is in a collection that does not exist", ino)
		}
		if _, reached := trashed(ino); !reached {
			c.wrong("entry %s cannot be reached from the root", ino)
		}
		if e.timeline != "" && e.at.Dir != TrashIno && !c.timeline[e.timeline] {
			c.wrong("entry %s is missing from the timeline", ino)
		}
		if e.at.Dir == TrashIno != c.trash[ino] {
			c.wrong("entry %s is in the trash and not, at once", ino)
		}
	}
	for ino := range c.pointers {
		if _, ok := c.entries[ino]; !ok {
			c.wrong("a back pointer leads to %s, which does not exist", ino)
		}
	}
	for k, obj := range c.wanted {
		if c.refs[k] != obj {
			c.wrong("the original of %s is not counted as in use", k.S)
		}
	}
	for k, obj := range c.refs {
		if c.wanted[k] != obj {
			c.wrong("an original is counted as in use by %s, which does not use it", k.S)
		}
	}
	for s := range c.timeline {
		_, ino, _ := strings.Cut(s, "#")
		if e, ok := c.entries[Ino(ino)]; !ok || e.timeline != s {
			if below, _ := trashed(Ino(ino)); !below { // rows of a trashed collection stay
				c.wrong("the timeline has %s at a time at which it is not", ino)
			}
		}
	}
	for ino := range c.trash {
		if e, ok := c.entries[ino]; !ok || e.at.Dir != TrashIno {
			c.wrong("the trash lists %s, which is not in it", ino)
		}
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

// compareLog is level 2. The log is replayed first and the index read then, so that the
// index is as new or newer; if it is newer the rest is replayed and all is read anew.
func (c *check) compareLog(ctx context.Context, b *Backend, scratch kv.Store) error {
	opt := b.opt
	opt.Queue, opt.Spool, opt.Logger, opt.Journal.Logger = nil, nil, nil, nil
	for range 5 {
		// A new Backend each time, so that it reads the rest of the log.
		t, err := New(b.bucket, scratch, &opt).tree(ctx, c.t.uid)
		if err != nil {
			return fmt.Errorf("replay the log: %w", err)
		}
		theirs, err := t.log.Seq(ctx)
		if err != nil {
			return fault(err)
		}
		want := make(map[kv.Key][]byte)
		logged := c.logged()
		if err := dump(ctx, scratch, loggedPrefixes(c.t.uid), func(row kv.Row) error {
			if logged(row) {
				want[row.Key] = bytes.Clone(row.D)
			}
			return nil
		}); err != nil {
			return fault(err)
		}
		before, err := c.t.log.Seq(ctx)
		if err != nil {
			return fault(err)
		}
		if before != theirs {
			continue
		}
		again := new(Report)
		if err := c.compareDump(ctx, b.x, want, again); err != nil {
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

// logged returns a function that says of each row of a dump whether it is in the log.
// Those of junk and of parts are not, though snapshots may have them.
func (c *check) logged() func(kv.Row) bool {
	local := map[Ino]bool{} // junk
	return func(row kv.Row) bool {
		switch row.P[0] {
		case 'd':
			if e, err := decodeEntry("", row.S, row.D); err == nil && junkRow(e) {
				local[e.Ino] = true
				return false
			}
		case 'i': // comes after "d"
			return !local[Ino(row.P[strings.LastIndexByte(row.P, '#')+1:])]
		case 'm':
			return row.P == "m#"+c.t.uid
		}
		return true
	}
}

// compareDump compares the index with want, which it uses up.
func (c *check) compareDump(ctx context.Context, x kv.Store, want map[kv.Key][]byte, rep *Report) error {
	logged := c.logged()
	err := dump(ctx, x, loggedPrefixes(c.t.uid), func(row kv.Row) error {
		if !logged(row) {
			return nil
		}
		if d, ok := want[row.Key]; !ok {
			rep.wrong("the index has a row of kind %q that the log has not", row.P[:1])
		} else if !bytes.Equal(d, row.D) {
			rep.wrong("a row of kind %q differs from the log's", row.P[:1])
		}
		delete(want, row.Key)
		return nil
	})
	for k := range want {
		rep.wrong("the index lacks a row of kind %q that the log has", k.P[:1])
	}
	return err
}

// compareBucket is level 3.
func (c *check) compareBucket(ctx context.Context, bucket object.Bucket) error {
	missing := make(map[string]int64, len(c.sizes))
	for obj, size := range c.sizes {
		missing[obj] = size
	}
	for info, err := range bucket.List(ctx, object.OriginalPrefix(c.t.uid), "") {
		if err != nil {
			return err
		}
		size, ok := missing[info.Name]
		switch {
		case !ok:
			c.Unused++
		case size != info.Size:
			c.wrong("original %s has %d bytes, not %d", object.ULIDOf(info.Name), info.Size, size)
		}
		delete(missing, info.Name)
	}
	for obj := range missing {
		// What was deleted while we listed is no loss.
		if _, err := bucket.Head(ctx, obj); errors.Is(err, object.ErrNotExist) {
			c.wrong("original %s is not in the bucket", object.ULIDOf(obj))
		} else if err != nil {
			return err
		}
	}
	return nil
}
