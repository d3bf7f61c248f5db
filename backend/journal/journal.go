// Package journal makes the index a function of the bucket. Each user has a log:
// segments in the bucket, densely numbered, each created only if its number is
// free. That one conditional PUT is commit point, order and fence at once: two
// writers can not both have number 42 (DESIGN §4).
//
// A Log is the one writer of its user's rows. It appends what plans want changed,
// many plans to a segment while one is in flight, and then applies the segment to
// the index in one transaction. Snapshots bound what a rebuild has to replay.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// ErrFenced says that another writer has appended to the log meanwhile. The plans of
// the batch were not done; the log reloads before its next one.
var ErrFenced = errors.New("another writer has taken over this log")

// ErrIndex says that the rows of the index are not those that were committed: the
// store lost some, or is older than the log reaches back. The index has to be rebuilt.
var ErrIndex = errors.New("the index has lost rows")

// ErrHistory says that what is left of the log does not reach back to Options.Until.
var ErrHistory = errors.New("the log does not reach back that far")

// errLater is of segments and snapshots that were written after Options.Until.
var errLater = errors.New("written later")

// Options adjusts a Log. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger     // nil means slog.DiscardHandler
	Now    func() time.Time // nil means time.Now
	// Prefixes of the partitions that hold this user's logged rows; snapshots are made
	// of them.
	Prefixes []string
	// Logged, if not nil, begins a snapshot. What it returns is asked of each row of
	// Prefixes, in their order, and says whether it is in the log; others are of this index
	// only, and left out.
	Logged func() func(kv.Row) bool
	// Replayed is shown every row that comes back from the bucket, and may add rows of
	// this index only (jobs).
	Replayed func(k kv.Key, d []byte) []kv.Op
	// AppendTimeout bounds how long an append with an unknown outcome is retried; 0
	// means 30 s.
	AppendTimeout time.Duration
	// ReadAhead is how many segments are asked for at once while the log is replayed; 0
	// means 16, and 1 is one after the other, all by the goroutine that asks.
	ReadAhead int
	// Writer is told in segments, for people; "" means host and process id.
	Writer string
	// SnapshotEvery is the number of operations, and SnapshotAge the time, after which
	// WantsSnapshot says so; 0 means 5,000 and 24 h.
	SnapshotEvery int
	SnapshotAge   time.Duration
	// KeepSegments is how far back the log can be opened with Until; 0 means 35 days.
	KeepSegments time.Duration
	// Until, if not zero, opens the log as it was then, into a store that must be empty:
	// segments written later are left out. Such a Log is of the past: it takes no Update.
	Until time.Time
	// Progress, if not nil, is told now and then how far Open has come, and at its end.
	Progress func(Progress)
}

// Progress is how far Open has come with one log.
type Progress struct {
	UID      string
	Rows     int64  // of the snapshot, loaded so far
	Segments int64  // replayed so far
	Seq      uint64 // the newest segment that is in the index
}

// A Log is the ordered history of one user, or of the system. Its methods may be
// called at once from several goroutines.
type Log struct {
	b   object.Bucket
	x   kv.Store
	uid string
	opt Options

	mu      sync.Mutex
	queue   []*update // waiting, in order
	leading bool      // some goroutine is running batches

	// Below, only the leader.
	head   head
	loaded bool      // only during Open: the index was empty, so nothing newer is to be had
	stale  bool      // the bucket may have segments that the index has not
	unsure bool      // a commit of the index failed, and may have been made all the same
	known  time.Time // when the head was last known to be the end of the log

	done Progress // of Open

	snapMu sync.Mutex // one snapshot at a time
	sinceN int        // operations since the last snapshot; under mu
	sinceT time.Time
}

// head is the row that tells how far the index is: h#<uid>, in the same transaction as
// the rows of its segment.
type head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // of segment Seq as stored
	Base uint64 `json:"base"` // first segment that left a marker
	Snap uint64 `json:"snap"` // newest snapshot known
}

// markers are rows hb#<uid>/<seq>, one a segment, the newest markersKept of them. The
// engine cuts a damaged write-ahead log file without a word, which can leave a hole with
// newer writes after it (notes: Badger); a missing marker tells.
const markersKept = 1000

func headKey(uid string) kv.Key { return kv.Key{P: "h#" + uid, S: "-"} }
func markerKey(uid string, seq uint64) kv.Key {
	return kv.Key{P: "hb#" + uid, S: fmt.Sprintf("%016x", seq)}
}

// snapped is the row hs#<uid>, of this index only: the newest snapshot that was written,
// or loaded, so that a start knows what has happened since.
type snapped struct {
	Seq uint64 `json:"seq"`
	T   int64  `json:"t"` // ms
}

func snappedKey(uid string) kv.Key { return kv.Key{P: "hs#" + uid, S: "-"} }

func orDefault(opt *Options) Options {
	var o Options
	if opt != nil {
		o = *opt
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ReadAhead <= 0 {
		o.ReadAhead = readAhead
	}
	if o.AppendTimeout == 0 {
		o.AppendTimeout = fail.Duration("journal.append", 30*time.Second)
	}
	if o.SnapshotEvery == 0 {
		o.SnapshotEvery = 5000
	}
	if o.SnapshotAge == 0 {
		o.SnapshotAge = 24 * time.Hour
	}
	if o.KeepSegments == 0 {
		o.KeepSegments = 35 * 24 * time.Hour
	}
	o.KeepSegments = fail.Duration("journal.keep", o.KeepSegments)
	if o.Writer == "" {
		host, _ := os.Hostname()
		o.Writer = fmt.Sprintf("%s/%d/%06x", host, os.Getpid(), rand.N(1<<24))
	}
	return o
}

// Open brings the index up to what the bucket's log says, and returns the Log. An
// empty index is loaded from the newest good snapshot first. ErrIndex says that the
// store has lost rows, ErrDamaged that the bucket has.
func Open(ctx context.Context, b object.Bucket, x kv.Store, uid string, opt *Options) (*Log, error) {
	l := &Log{b: b, x: x, uid: uid, opt: orDefault(opt)}
	l.sinceT = l.opt.Now()
	l.done.UID = uid
	if err := l.readHead(ctx); err != nil {
		return nil, err
	}
	if !l.opt.Until.IsZero() && l.head.Seq != 0 {
		return nil, errors.New("journal: internal error: the past can be opened in an empty store only")
	}
	if l.head.Seq == 0 {
		if err := l.clear(ctx); err != nil {
			return nil, err
		}
		if err := l.loadSnapshot(ctx); err != nil {
			return nil, err
		}
		l.loaded = true
	} else if err := l.readSnapped(ctx); err != nil {
		return nil, err
	}
	if err := l.sync(ctx); err != nil {
		return nil, err
	}
	l.loaded = false
	l.report(0)
	return l, nil
}

// report tells Progress, if n is a multiple of what is worth telling.
func (l *Log) report(n int64) {
	if l.opt.Progress != nil && n%10_000 == 0 {
		l.done.Seq = l.head.Seq
		l.opt.Progress(l.done)
	}
}

// Seq is the number of the newest segment that is applied.
func (l *Log) Seq(ctx context.Context) (uint64, error) {
	rows, err := l.x.Get(ctx, headKey(l.uid))
	if err != nil || rows[0].V == 0 {
		return 0, err
	}
	var h head
	err = json.Unmarshal(rows[0].D, &h)
	return h.Seq, err
}

// readHead reads how far the index is and checks that it has every marker it should. A
// commit of a log that was given up may land between head and markers: then both are
// read again.
func (l *Log) readHead(ctx context.Context) error {
	for {
		rows, err := l.x.Get(ctx, headKey(l.uid))
		if err != nil {
			return fmt.Errorf("read log head: %w", err)
		}
		marks, _, err := l.x.Scan(ctx, "hb#"+l.uid, "", "", true, markersKept)
		if err != nil {
			return fmt.Errorf("read log markers: %w", err)
		}
		lost := l.takeHead(rows[0], marks)
		if lost == nil {
			return nil
		}
		again, err := l.x.Get(ctx, headKey(l.uid))
		if err != nil {
			return fmt.Errorf("read log head: %w", err)
		}
		if again[0].V == rows[0].V {
			return lost
		}
	}
}

// takeHead makes row the head, or is ErrIndex if it and the newest markers do not fit.
func (l *Log) takeHead(row kv.Row, marks []kv.Row) error {
	if row.V == 0 {
		if len(marks) > 0 {
			return fmt.Errorf("%w: the head of log %s is gone", ErrIndex, l.uid)
		}
		return nil
	}
	l.head = head{}
	if err := json.Unmarshal(row.D, &l.head); err != nil {
		return fmt.Errorf("%w: the head of log %s cannot be read", ErrIndex, l.uid)
	}
	want := l.head.Seq
	for _, m := range marks {
		if m.S != markerKey(l.uid, want).S {
			return fmt.Errorf("%w: segment %d of log %s was applied and is gone", ErrIndex, want, l.uid)
		}
		want--
	}
	if want >= l.head.Base && len(marks) < markersKept {
		return fmt.Errorf("%w: segment %d of log %s was applied and is gone", ErrIndex, want, l.uid)
	}
	return nil
}

// sync applies every segment the bucket has beyond the head.
func (l *Log) sync(ctx context.Context) error {
	began := l.opt.Now()
	if err := l.takeUnsure(ctx); err != nil {
		return err
	}
	r := &replay{l: l, rows: newStage(), at: l.head}
	err := l.readOn(ctx, r)
	// Also before an error: what comes before the damage is whole.
	if err := errors.Join(err, r.flush(ctx)); err != nil {
		return err
	}
	if r.all > 0 {
		l.opt.Logger.Info("replayed log", "uid", l.uid, "segments", r.all, "seq", l.head.Seq)
	}
	l.stale, l.known = false, began
	return nil
}

// takeUnsure goes on from the head of a commit that was made although it failed. To apply
// its segments again would put the head back for a while, behind markers that are there; and
// an index that is left like that by a crash is taken for one that lost rows.
func (l *Log) takeUnsure(ctx context.Context) error {
	if !l.unsure {
		return nil
	}
	rows, err := l.x.Get(ctx, headKey(l.uid))
	if err != nil {
		return fmt.Errorf("read log head: %w", err)
	}
	var h head
	if rows[0].V != 0 {
		if err := json.Unmarshal(rows[0].D, &h); err != nil {
			return fmt.Errorf("%w: the head of log %s cannot be read", ErrIndex, l.uid)
		}
	}
	if h.Seq > l.head.Seq {
		l.head = h
	}
	l.unsure = false
	return nil
}

// isOld says whether what another writer has appended after the head may have expired by
// now. Then its numbers are free again, and the bucket would take ours under one of
// them: the fence holds only for as long as segments are kept. Half of that is left for
// the append itself, and for clocks that differ.
func (l *Log) isOld() bool {
	d := l.opt.Now().Sub(l.known)
	return d < 0 || d > l.opt.KeepSegments/2
}

// readOn gives r the segments there are beyond the head.
func (l *Log) readOn(ctx context.Context, r *replay) error {
	for f, err := range l.segmentsAfter(ctx, l.head.Seq) {
		if err != nil {
			return err
		}
		if f.seq != r.at.Seq+1 {
			if r.at.Seq == 0 && !l.opt.Until.IsZero() {
				return fmt.Errorf("%w: the first segment there is of %s is %d", ErrHistory, l.uid, f.seq)
			}
			return l.gap(ctx, r.at.Seq, f.seq)
		}
		if err := r.add(ctx, f.seq, f.stored); err == errLater {
			return nil
		} else if err != nil {
			return err
		}
		if l.done.Segments++; l.done.Segments%100 == 0 {
			l.report(0)
		}
	}
	return nil
}

// gap says what it means that the first segment after at is seq. An index that was
// away for longer than segments are kept finds a snapshot newer than itself: then it is
// the index that has to go, and the bucket is whole.
func (l *Log) gap(ctx context.Context, at, seq uint64) error {
	if !l.loaded {
		snaps, err := l.snapshots(ctx)
		if err != nil {
			return err
		}
		if n := len(snaps); n > 0 && snaps[n-1].seq > at {
			return fmt.Errorf("%w: log %s is at segment %d there, and is kept from %d on", ErrIndex, l.uid, at, seq)
		}
	}
	return fmt.Errorf("%w: segment %d of %s is missing, the next there is %d", ErrDamaged, at+1, l.uid, seq)
}

func readAll(ctx context.Context, b object.Bucket, name string) ([]byte, error) {
	r, err := b.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, err := io.ReadAll(io.LimitReader(r, maxSegment+1))
	if err == nil && len(d) > maxSegment {
		err = fmt.Errorf("%w: %d bytes and more", ErrDamaged, maxSegment)
	}
	return d, err
}

// A replay gathers what segments read from the bucket change: a commit of the index costs
// a sync of its disk, so small ones share one.
type replay struct {
	l     *Log
	rows  *stage
	bytes int
	n     int  // segments in rows
	ops   int  // operations in rows
	at    head // after them
	all   int  // segments
}

// add checks that a segment follows, and takes its rows.
func (r *replay) add(ctx context.Context, seq uint64, stored []byte) error {
	l := r.l
	s, err := decodeSegment(stored)
	if err != nil {
		return fmt.Errorf("segment %d of %s: %w", seq, l.uid, err)
	}
	if s.UID != l.uid || s.Seq != seq || s.Prev != r.at.Hash {
		return fmt.Errorf("%w: segment %d of %s does not follow the one before it", ErrDamaged, seq, l.uid)
	}
	if !l.opt.Until.IsZero() && s.T > l.opt.Until.UnixMilli() {
		return errLater
	}
	rows, size := newStage(), 0
	set := func(op kv.Op) {
		rows.set(op)
		size += len(op.P) + len(op.S) + len(op.D)
	}
	for _, op := range s.ops {
		for _, x := range op.X {
			set(kv.Op{Key: x.key(), Kind: kv.Del})
		}
		for _, w := range op.W {
			set(kv.Op{Key: w.key(), D: w.data()})
			if l.opt.Replayed != nil {
				for _, local := range l.opt.Replayed(w.key(), w.data()) {
					set(local)
				}
			}
		}
	}
	if r.n > 0 && (len(r.rows.ops)+len(rows.ops) > roomFor(r.n+1) || r.bytes+size > maxBatchBytes) {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	for _, op := range rows.ops {
		r.rows.set(op)
	}
	r.bytes += size
	r.n++
	r.ops += len(s.ops)
	r.at = head{Seq: seq, Hash: hashOf(stored), Base: r.at.Base, Snap: r.at.Snap}
	return nil
}

// flush applies what was taken.
func (r *replay) flush(ctx context.Context) error {
	if r.n == 0 {
		return nil
	}
	l := r.l
	if err := l.apply(ctx, r.rows, r.n, r.at); err != nil {
		return fmt.Errorf("apply segment %d of %s: %w", r.at.Seq, l.uid, err)
	}
	fail.Point("replay.segment")
	l.mu.Lock()
	l.sinceN += r.ops
	l.mu.Unlock()
	r.all += r.n
	r.at = l.head
	r.rows, r.bytes, r.n, r.ops = newStage(), 0, 0, 0
	return nil
}

// roomFor is how many rows one commit takes beside head and markers of n segments.
func roomFor(n int) int { return kv.MaxOps - 1 - 2*n }

// apply commits the rows of the last n segments up to next, the head and their markers.
// What is replayed may need more than one commit on account of jobs; the head comes with
// the last.
func (l *Log) apply(ctx context.Context, rows *stage, n int, next head) error {
	if next.Base == 0 {
		next.Base = next.Seq - uint64(n) + 1
	}
	d, err := json.Marshal(next)
	if err != nil {
		return err
	}
	ops := rows.ops
	const most = kv.MaxCommit - 64<<10 // less the head and the markers
	for len(ops) > roomFor(n) || sizeOf(ops) > most {
		c := min(len(ops), kv.MaxOps)
		for c > 1 && sizeOf(ops[:c]) > most {
			c /= 2
		}
		if err := l.x.Commit(ctx, ops[:c]); err != nil {
			return err
		}
		ops = ops[c:]
	}
	last := append(make([]kv.Op, 0, len(ops)+1+2*n), ops...)
	last = append(last, kv.Op{Key: headKey(l.uid), D: d})
	for seq := next.Seq - uint64(n) + 1; seq <= next.Seq; seq++ {
		last = append(last, kv.Op{Key: markerKey(l.uid, seq), D: []byte{1}})
		if seq > markersKept {
			last = append(last, kv.Op{Key: markerKey(l.uid, seq-markersKept), Kind: kv.Del})
		}
	}
	if err := l.x.Commit(ctx, last); err != nil {
		l.unsure = true
		return err
	}
	l.head = next
	return nil
}

// sizeOf is how many bytes operations take of a commit's.
func sizeOf(ops []kv.Op) (n int) {
	for _, op := range ops {
		n += len(op.P) + len(op.S) + len(op.D)
	}
	return n
}

// maxRows is how many rows one segment may change: what one commit takes, less head
// and markers.
const maxRows = kv.MaxOps - 3

// stage gathers the rows of a commit, the last word on each key.
type stage struct {
	ops []kv.Op
	at  map[kv.Key]int
}

func newStage() *stage { return &stage{at: make(map[kv.Key]int)} }

func (s *stage) set(op kv.Op) {
	op.Cond, op.V = kv.Any, 0
	if i, ok := s.at[op.Key]; ok {
		s.ops[i] = op
		return
	}
	s.at[op.Key] = len(s.ops)
	s.ops = append(s.ops, op)
}
