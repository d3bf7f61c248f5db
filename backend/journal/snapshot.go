package journal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// A snapshot, version 1, is a zstd stream of JSON lines:
//
//	{"v":1,"uid":"…","seq":5000,"hash":"<of segment 5000>","t":<ms>}
//	{"p":"d#…","s":"IMG_1.JPG","b":"<base64>"}      every logged row, in order
//	{"rows":123,"sha256":"<of all lines before this one>"}
const snapshotVersion = 1

type snapHeader struct {
	V    int    `json:"v"`
	UID  string `json:"uid"`
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
	T    int64  `json:"t"`
}

type snapTrailer struct {
	Rows   int    `json:"rows"`
	SHA256 string `json:"sha256"`
}

// snapshotsKept is how many of the newest snapshots are kept in any case: if the newest
// is damaged, the one before it and the segments since then still tell everything.
const snapshotsKept = 2

// Of the older ones, one is kept for every snapshotSpacing-th part of KeepSegments, back
// to the newest that is older than KeepSegments: from it and the segments since then any
// moment of that time can be opened (Options.Until).
const snapshotSpacing = 5

// WantsSnapshot says whether enough has happened since the last snapshot.
func (l *Log) WantsSnapshot() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sinceN >= l.opt.SnapshotEvery || l.sinceN > 0 && l.opt.Now().Sub(l.sinceT) >= l.opt.SnapshotAge
}

// readSnapped learns from the index what has happened since the last snapshot. A segment
// counts as one operation.
func (l *Log) readSnapped(ctx context.Context) error {
	rows, err := l.x.Get(ctx, snappedKey(l.uid))
	if err != nil {
		return fmt.Errorf("read what snapshot there is: %w", err)
	}
	var s snapped
	if rows[0].V != 0 {
		if err := json.Unmarshal(rows[0].D, &s); err != nil {
			return fmt.Errorf("%w: the row of the last snapshot of log %s cannot be read", ErrIndex, l.uid)
		}
		l.sinceT = time.UnixMilli(s.T)
	}
	l.sinceN = int(l.head.Seq - min(l.head.Seq, s.Seq))
	return nil
}

func (s snapped) op(uid string) (kv.Op, error) {
	d, err := json.Marshal(s)
	return kv.Op{Key: snappedKey(uid), D: d}, err
}

// Snapshot writes the user's rows, as of one moment, to the bucket, and then removes
// snapshots and segments that nothing needs any more. It goes on beside updates.
func (l *Log) Snapshot(ctx context.Context) error {
	l.snapMu.Lock()
	defer l.snapMu.Unlock()
	dumper, ok := l.x.(kv.Dumper)
	if !ok {
		return errors.New("snapshot: this store cannot enumerate its rows")
	}
	l.mu.Lock()
	n := l.sinceN
	l.mu.Unlock()

	pr, pw := io.Pipe()
	var seq uint64
	ready := make(chan error, 1) // the sequence number is known, or nothing is to be written
	go func() {
		err := l.writeSnapshot(pw, dumper.Dump(ctx, append([]string{"h#" + l.uid}, l.opt.Prefixes...)...), func(s uint64) { seq = s; ready <- nil })
		select {
		case ready <- err:
		default:
		}
		pw.CloseWithError(err)
	}()
	if err := <-ready; err != nil {
		pr.Close()
		return fmt.Errorf("snapshot: %w", err)
	}
	if seq == 0 {
		pr.Close()
		return nil
	}
	_, err := l.b.Put(ctx, object.SnapshotName(l.uid, seq), pr, -1, &object.PutOptions{Type: "application/zstd"})
	pr.CloseWithError(err)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	now := l.opt.Now()
	l.mu.Lock()
	l.sinceN -= n
	l.sinceT = now
	l.mu.Unlock()
	fail.Point("snapshot.written")
	op, err := snapped{seq, now.UnixMilli()}.op(l.uid)
	if err == nil {
		err = l.x.Commit(ctx, []kv.Op{op})
	}
	if err != nil {
		return fmt.Errorf("note snapshot: %w", err)
	}
	l.opt.Logger.Info("snapshot written", "uid", l.uid, "seq", seq)
	return l.expire(ctx)
}

// writeSnapshot tells begin the sequence number once it knows it; 0 if the log is empty.
func (l *Log) writeSnapshot(w io.Writer, rows iter.Seq2[kv.Row, error], begin func(uint64)) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(z, sum), 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	count, started := 0, false
	logged := func(kv.Row) bool { return true }
	if l.opt.Logged != nil {
		logged = l.opt.Logged()
	}
	var line bytes.Buffer
	for r, err := range rows {
		if err != nil {
			return err
		}
		if !started {
			if r.Key != headKey(l.uid) {
				break
			}
			var h head
			if err := json.Unmarshal(r.D, &h); err != nil {
				return fmt.Errorf("%w: head of %s", ErrIndex, l.uid)
			}
			started = true
			begin(h.Seq)
			if err := enc.Encode(snapHeader{snapshotVersion, l.uid, h.Seq, h.Hash, l.opt.Now().UnixMilli()}); err != nil {
				return err
			}
			continue
		}
		if !logged(r) {
			continue
		}
		line.Reset()
		if err := appendRow(&line, r.Key, r.D); err != nil {
			return err
		}
		if _, err := out.Write(line.Bytes()); err != nil {
			return err
		}
		fail.Point("snapshot.row")
		count++
	}
	if !started {
		begin(0)
		return nil
	}
	if err := out.Flush(); err != nil {
		return err
	}
	t, err := json.Marshal(snapTrailer{count, hex.EncodeToString(sum.Sum(nil))})
	if err != nil {
		return err
	}
	if _, err := z.Write(append(t, '\n')); err != nil {
		return err
	}
	return z.Close()
}

// expire removes snapshots that are not needed any more, and segments that are older than
// KeepSegments and that the oldest snapshot left covers, if that is as old too.
func (l *Log) expire(ctx context.Context) error {
	snaps, err := l.snapshots(ctx)
	if err != nil {
		return err
	}
	if len(snaps) < snapshotsKept {
		return nil
	}
	limit := l.opt.Now().Add(-l.opt.KeepSegments)
	kept := neededSnapshots(snaps, limit, l.opt.KeepSegments/snapshotSpacing)
	for _, s := range snaps {
		if slices.Contains(kept, s) {
			continue
		}
		if err := l.b.Delete(ctx, object.SnapshotName(l.uid, s.seq)); err != nil {
			return fmt.Errorf("expire snapshot: %w", err)
		}
		fail.Point("expire.snapshot")
	}
	oldest := kept[0]
	if oldest.t.After(limit) {
		return nil
	}
	for info, err := range l.b.List(ctx, object.LogPrefix(l.uid), "") {
		if err != nil {
			return fmt.Errorf("expire log: %w", err)
		}
		// In order: a gap must never lie before a segment that is kept.
		if seq, ok := object.SeqOf(info.Name); !ok || seq > oldest.seq || info.ModTime.After(limit) {
			break
		}
		if err := l.b.Delete(ctx, info.Name); err != nil {
			return fmt.Errorf("expire log: %w", err)
		}
		fail.Point("expire.segment")
	}
	return nil
}

// neededSnapshots are those of snaps, oldest first, that are still needed.
func neededSnapshots(snaps []snapshot, limit time.Time, spacing time.Duration) (kept []snapshot) {
	newest := len(snaps) - snapshotsKept
	base := 0 // the newest that is older than limit
	for i, s := range snaps {
		if !s.t.After(limit) {
			base = i
		}
	}
	for i, s := range snaps {
		if i >= newest || i == base || i > base && s.t.Sub(kept[len(kept)-1].t) >= spacing {
			kept = append(kept, s)
		}
	}
	return kept
}

// A snapshot is one there is in the bucket.
type snapshot struct {
	seq uint64
	t   time.Time // when the bucket stored it
}

// snapshots lists those there are, oldest first.
func (l *Log) snapshots(ctx context.Context) ([]snapshot, error) {
	var snaps []snapshot
	for info, err := range l.b.List(ctx, object.SnapshotPrefix(l.uid), "") {
		if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		if seq, ok := object.SeqOf(info.Name); ok {
			snaps = append(snaps, snapshot{seq, info.ModTime})
		}
	}
	return snaps, nil
}

// clear removes rows that are there without a head: those of a snapshot whose loading was
// broken off. The next one to be loaded may be another, which does not overwrite them all.
func (l *Log) clear(ctx context.Context) error {
	d, ok := l.x.(kv.Dumper)
	if !ok || len(l.opt.Prefixes) == 0 {
		return nil
	}
	var ops []kv.Op
	n := 0
	flush := func() error {
		err := l.x.Commit(ctx, ops)
		n, ops = n+len(ops), ops[:0]
		return err
	}
	for row, err := range d.Dump(ctx, l.opt.Prefixes...) {
		if err != nil {
			return fmt.Errorf("clear index: %w", err)
		}
		if ops = append(ops, kv.Op{Key: row.Key, Kind: kv.Del}); len(ops) == kv.MaxOps {
			if err := flush(); err != nil {
				return fmt.Errorf("clear index: %w", err)
			}
		}
	}
	if len(ops) > 0 {
		if err := flush(); err != nil {
			return fmt.Errorf("clear index: %w", err)
		}
	}
	if n > 0 {
		l.opt.Logger.Info("cleared what a broken-off load had left", "uid", l.uid, "rows", n)
	}
	return nil
}

// loadSnapshot fills an empty index from the newest snapshot that is whole. None is no
// error: the log then starts at its first segment.
func (l *Log) loadSnapshot(ctx context.Context) error {
	snaps, err := l.snapshots(ctx)
	if err != nil {
		return err
	}
	for _, s := range slices.Backward(snaps) {
		seq := s.seq
		err := l.loadOne(ctx, seq)
		if err == nil {
			return nil
		}
		if err == errLater {
			continue
		}
		if !errors.Is(err, ErrDamaged) {
			return fmt.Errorf("snapshot %d of %s: %w", seq, l.uid, err)
		}
		l.opt.Logger.Warn("snapshot is damaged, trying the one before it", "uid", l.uid, "seq", seq, "err", err)
	}
	return nil
}

// loadOne loads a snapshot in two passes over a temporary copy: nothing enters the index
// before all of it has been checked.
func (l *Log) loadOne(ctx context.Context, seq uint64) error {
	r, err := l.b.Get(ctx, object.SnapshotName(l.uid, seq), 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	tmp, err := os.CreateTemp("", "shoebox-snapshot-")
	if err != nil {
		return err
	}
	os.Remove(tmp.Name())       // an open file needs no name, and after a kill nothing is left
	defer os.Remove(tmp.Name()) // where that is not so
	defer tmp.Close()
	if !l.opt.Until.IsZero() {
		// Most of them are later: do not fetch more than it takes to know.
		h, err := readSnapshotHeader(io.TeeReader(r, tmp))
		if err != nil {
			return err
		}
		if h.T > l.opt.Until.UnixMilli() {
			return errLater
		}
	}
	if _, err := io.Copy(tmp, r); err != nil {
		return err
	}
	if size, err := tmp.Seek(0, io.SeekEnd); err != nil {
		return err
	} else if size >= thriftyFrom {
		defer saveMemory()()
	}

	var h snapHeader
	check := func(each func(rowImage) error) error {
		if _, err := tmp.Seek(0, io.SeekStart); err != nil {
			return err
		}
		var err error
		h, err = readSnapshot(tmp, each)
		return err
	}
	if err := check(nil); err != nil {
		return err
	}
	if h.UID != l.uid || h.Seq != seq {
		return fmt.Errorf("%w: it is snapshot %d of %s", ErrDamaged, h.Seq, h.UID)
	}
	if err := l.load(ctx, check); err != nil {
		return err
	}
	fail.Point("load.snapshot")
	l.head, l.sinceT = head{}, time.UnixMilli(h.T)
	op, err := snapped{h.Seq, h.T}.op(l.uid)
	if err != nil {
		return err
	}
	noted := newStage()
	noted.set(op)
	return l.apply(ctx, noted, 1, head{Seq: h.Seq, Hash: h.Hash, Base: h.Seq, Snap: h.Seq})
}

// load puts the rows of a snapshot into the store: in bulk where it can, else commit by
// commit. The head row is not written yet, so an interrupted load begins anew.
func (l *Log) load(ctx context.Context, each func(func(rowImage) error) error) error {
	local := func(r rowImage) []kv.Op {
		if l.done.Rows++; l.done.Rows%10_000 == 0 {
			l.report(0)
		}
		if l.opt.Replayed == nil {
			return nil
		}
		return l.opt.Replayed(r.key(), r.data())
	}
	var err error
	if loader, ok := l.x.(kv.Loader); ok {
		var walk error
		err = loader.Load(ctx, func(yield func(kv.Row) bool) {
			walk = each(func(r rowImage) error {
				ok := yield(kv.Row{Key: r.key(), D: r.data()})
				for _, op := range local(r) {
					ok = ok && (op.Kind != kv.Put || yield(kv.Row{Key: op.Key, D: op.D}))
				}
				if !ok {
					return errStop
				}
				return nil
			})
		})
		if err == nil && walk != nil && walk != errStop {
			err = walk
		}
	} else {
		rows := newStage()
		flush := func() error {
			for c := range slices.Chunk(rows.ops, kv.MaxOps) {
				if err := l.x.Commit(ctx, c); err != nil {
					return err
				}
			}
			rows = newStage()
			return nil
		}
		err = each(func(r rowImage) error {
			rows.set(kv.Op{Key: r.key(), D: bytes.Clone(r.data())})
			for _, op := range local(r) {
				rows.set(op)
			}
			if len(rows.ops) < kv.MaxOps/2 {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
	}
	return err
}

var errStop = errors.New("stopped")

// openSnapshot reads the header of a snapshot; the rows follow in what it returns.
// With more than one worker, r may be read on a little beyond what is asked for.
func openSnapshot(r io.Reader, workers int) (h snapHeader, line []byte, in *bufio.Reader, done func(), err error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return h, nil, nil, nil, err
	}
	in = bufio.NewReaderSize(z, 256<<10)
	if line, err = readLine(in); err == nil {
		switch err = json.Unmarshal(line, &h); {
		case err != nil:
			err = fmt.Errorf("%w: header: %v", ErrDamaged, err)
		case h.V != snapshotVersion:
			err = fmt.Errorf("snapshot of version %d: this program knows version %d; run a newer one", h.V, snapshotVersion)
		}
	}
	if err != nil {
		z.Close()
		return h, nil, nil, nil, err
	}
	return h, line, in, z.Close, nil
}

func readSnapshotHeader(r io.Reader) (snapHeader, error) {
	h, _, _, done, err := openSnapshot(r, 1)
	if err == nil {
		done()
	}
	return h, err
}

// readSnapshot reads a snapshot and checks its trailer. If each is nil the rows are not
// looked at.
func readSnapshot(r io.Reader, each func(rowImage) error) (snapHeader, error) {
	h, line, in, done, err := openSnapshot(r, 2)
	if err != nil {
		return h, err
	}
	defer done()
	sum := sha256.New()
	sum.Write(line)
	for n := 0; ; n++ {
		if line, err = readLine(in); err != nil {
			return h, err
		}
		if bytes.HasPrefix(line, []byte(`{"rows":`)) {
			var t snapTrailer
			if err := json.Unmarshal(line, &t); err != nil || t.Rows != n || t.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
				return h, fmt.Errorf("%w: its trailer does not match its %d rows", ErrDamaged, n)
			}
			return h, nil
		}
		if each == nil {
			sum.Write(line)
			continue
		}
		sum.Write(line)
		row, ok := plainRow(line)
		if !ok {
			row = rowImage{}
			if err := json.Unmarshal(line, &row); err != nil {
				return h, fmt.Errorf("%w: row %d: %v", ErrDamaged, n, err)
			}
		}
		if err := each(row); err != nil {
			return h, err
		}
	}
}

// appendRow writes the line of a row: what encoding/json makes of its image.
func appendRow(b *bytes.Buffer, k kv.Key, d []byte) error {
	if len(d) == 0 || d[0] == '{' || !plainText(k.P) || !plainText(k.S) {
		return appendLine(b, imageOf(k, d))
	}
	b.WriteString(`{"p":"`)
	b.WriteString(k.P)
	b.WriteString(`","s":"`)
	b.WriteString(k.S)
	b.WriteString(`","b":"`)
	b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), d))
	b.WriteString("\"}\n")
	return nil
}

// plainText says whether s stands in JSON as it is.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// plainRow reads a line that is just as we write rows, without escapes in its strings,
// as nearly all are: in a tenth of the time that encoding/json takes. Its result is valid
// until the line is.
func plainRow(line []byte) (r rowImage, ok bool) {
	text := func(before string) (string, bool) {
		rest, ok := bytes.CutPrefix(line, []byte(before))
		if !ok {
			return "", false
		}
		i := bytes.IndexByte(rest, '"')
		if i < 0 || bytes.IndexByte(rest[:i], '\\') >= 0 {
			return "", false
		}
		line = rest[i+1:]
		return string(rest[:i]), true
	}
	if r.P, ok = text(`{"p":"`); !ok {
		return r, false
	}
	if r.S, ok = text(`,"s":"`); !ok {
		return r, false
	}
	if rest, isJSON := bytes.CutPrefix(line, []byte(`,"j":`)); isJSON {
		r.J, ok = bytes.CutSuffix(rest, []byte("}\n"))
		return r, ok
	}
	rest, isBytes := bytes.CutPrefix(line, []byte(`,"b":"`))
	if rest, ok = bytes.CutSuffix(rest, []byte("\"}\n")); !ok || !isBytes {
		return r, false
	}
	r.B = make([]byte, base64.StdEncoding.DecodedLen(len(rest)))
	n, err := base64.StdEncoding.Decode(r.B, rest)
	r.B = r.B[:n]
	return r, err == nil
}

// readLine returns a line with its end, valid until the next.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if err == bufio.ErrBufferFull { // longer than any row ought to be
		var rest []byte
		line = bytes.Clone(line)
		rest, err = in.ReadBytes('\n')
		line = append(line, rest...)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it ends early: %v", ErrDamaged, err)
	}
	return line, nil
}
