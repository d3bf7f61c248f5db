package backend

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// maxParts is how many parts an upload may have (Amazon S3 User Guide, "Multipart
// upload limits").
const maxParts = 10_000

// uploadRow is the data of an upload's row. After completion it stays for a day with
// Done set, so that a client that lost the answer may ask again.
type uploadRow struct {
	Key      string            `json:"k"`
	Object   string            `json:"o"`
	Bucket   string            `json:"b"` // the bucket's upload id
	Created  int64             `json:"c"`
	Modified int64             `json:"m,omitempty"`
	Type     string            `json:"t,omitempty"`
	Header   map[string]string `json:"h,omitempty"`
	Parents  bool              `json:"p,omitempty"`
	By       string            `json:"by,omitempty"`
	Done     Ino               `json:"d,omitempty"`
	ETag     string            `json:"e,omitempty"`
	DoneAt   int64             `json:"dt,omitempty"`
}

// partRow is the data of a part's row.
type partRow struct {
	Size   int64             `json:"n"`
	MD5    string            `json:"m"`
	Bucket string            `json:"b"` // the bucket's ETag of the part
	T      int64             `json:"t"`
	CRC32C string            `json:"k,omitempty"` // hex
	Sums   map[string]string `json:"s,omitempty"` // of the client
	Type   string            `json:"y,omitempty"` // media type by content; part 1 only counts
	Name   string            `json:"c,omitempty"` // what the client of a chunked upload calls it
	Own    string            `json:"w,omitempty"` // the object it is, if it is not the bucket's part
	Number int               `json:"p,omitempty"` // of the bucket's part, for a chunk that is one; other parts have it in their key
}

func (u *uploadRow) public(id string) *Upload {
	return &Upload{ID: id, Key: Key(u.Key), Created: time.UnixMilli(u.Created).UTC(), Type: u.Type, Header: u.Header, Modified: fromMS(u.Modified)}
}

func (l *Library) createUpload(ctx context.Context, key Key, opt *PutOptions) (*Upload, error) {
	if l.b.multi == nil {
		return nil, errors.New("backend: this bucket takes no multipart uploads")
	}
	if opt == nil {
		opt = new(PutOptions)
	}
	if err := l.admit(ctx, key, -1, opt); err != nil {
		return nil, err
	}
	var random [20]byte
	rand.Read(random[:])
	return l.newUpload(ctx, inoAlphabet.EncodeToString(random[:]), key, opt, false)
}

// newUpload is createUpload without its checks.
func (l *Library) newUpload(ctx context.Context, id string, key Key, opt *PutOptions, chunked bool) (*Upload, error) {
	if l.b.multi == nil {
		return nil, errors.New("backend: this bucket takes no multipart uploads")
	}
	if err := l.t.uploads.begin(l.live(ctx), l.t.uid, id, l.b.opt.MaxUploads); err != nil {
		return nil, err
	}
	now := l.b.opt.Now()
	_, name := key.Split()
	obj := object.OriginalName(l.t.uid, now, ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String(), name)
	bucketID, err := l.b.multi.CreateMultipart(ctx, obj, &object.PutOptions{Type: "application/octet-stream", Meta: l.objectMeta(key, opt.Modified)})
	if err != nil {
		l.t.uploads.end(id)
		return nil, fault(fmt.Errorf("create upload: %w", err))
	}
	u := uploadRow{Key: string(key), Object: obj, Bucket: bucketID, Created: now.UnixMilli(), Modified: ms(opt.Modified), Type: opt.Type, Header: opt.Header, Parents: opt.MakeParents, By: l.acc.by()}
	plan := func(tx *journal.Tx) error {
		if chunked {
			// Of two that open it at once the second is told; what is done may be begun anew.
			_, err := l.t.readUpload(tx, id, false)
			if err == nil {
				err = l.t.begun(tx, id) // unless it has just come from the log
			}
			if err == nil {
				return ErrExist
			}
			if err != ErrNoUpload {
				return err
			}
			tx.Local(kv.Op{Key: begunKey(l.t.uid, id), D: []byte("{}")})
		}
		return l.t.putUpload(tx, id, &u)
	}
	var planErr error
	err = l.t.log.Update(ctx, "upload", func(tx *journal.Tx) error {
		planErr = plan(tx)
		return planErr
	})
	switch {
	case err == nil:
		return u.public(id), nil
	case err == ErrExist: // it is another's
		l.b.abort(ctx, &u)
	case planErr != nil && err == planErr, errors.Is(err, context.Canceled):
		l.t.uploads.end(id)
		l.b.abort(ctx, &u)
	default:
		// It may come to light, and its client, who has chosen the id, go on with it. If it
		// does not, what the bucket has begun is left to its lifecycle.
		l.t.uploads.recount()
	}
	return nil, fault(err)
}

func (t *tree) putUpload(tx *journal.Tx, id string, u *uploadRow) error {
	d, err := marshal(u)
	if err == nil && len(d) > kv.MaxData {
		err = fmt.Errorf("%w: its metadata", ErrTooLarge)
	}
	tx.Put(uploadKey(t.uid, id), d)
	return err
}

func (b *Backend) abort(ctx context.Context, u *uploadRow) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	b.opt.Spool.dropParts(u.Object)
	if err := b.multi.AbortMultipart(ctx, u.Object, u.Bucket); err != nil {
		b.log.Info("parts of an upload stay for the bucket's lifecycle", "err", err)
	}
}

// readUpload is the row of an upload that is under way, or, if done, completed.
func (t *tree) readUpload(r rows, id string, done bool) (*uploadRow, error) {
	if id == "" || len(id) > 64 {
		return nil, ErrNoUpload
	}
	row, err := r.Get(uploadKey(t.uid, id))
	if err != nil {
		return nil, err
	}
	if row.V == 0 {
		return nil, ErrNoUpload
	}
	var u uploadRow
	if err := json.Unmarshal(row.D, &u); err != nil {
		return nil, fmt.Errorf("upload row: %w", err)
	}
	if u.Done != "" && !done {
		return nil, ErrNoUpload
	}
	return &u, nil
}

func (l *Library) upload(ctx context.Context, id string) (*Upload, error) {
	r := l.live(ctx)
	u, err := l.t.readUpload(r, id, false)
	if err != nil {
		return nil, err
	}
	if err := l.allowUpload(r, u); err != nil {
		return nil, err
	}
	return u.public(id), nil
}

// allowUpload says whether the Library's Access may go on with an upload. One that names
// its destination when it is finished is for who began it, and for who may do everything.
func (l *Library) allowUpload(r rows, u *uploadRow) error {
	if u.Key != "" {
		return l.allow(r, mayCreate, Key(u.Key))
	}
	switch whole := l.acc.Root == "" || l.acc.Root == RootIno; {
	case l.acc.Mode == ReadOnly:
		return fmt.Errorf("%w: it may only read", ErrForbidden)
	case u.By != l.acc.by() && !(whole && l.acc.Mode == ReadWrite):
		return fmt.Errorf("%w: another one began the upload", ErrForbidden)
	}
	return nil
}

// A slot is where a part of an upload goes.
type slot struct {
	number int    // of the bucket's part; 0 if it is to be an object of its own
	s      string // sort key of its row
	name   string // what the client of a chunked upload calls it, else ""
}

func (l *Library) putPart(ctx context.Context, id string, at slot, body io.Reader, size int64, expect []Checksum, sums func() map[string]string) (Part, error) {
	number, name := at.number, at.name
	if (number < 1 || number > maxParts) && (number != 0 || name == "") {
		return Part{}, fmt.Errorf("%w: part numbers go from 1 to %d", ErrPart, maxParts)
	}
	r := l.live(ctx)
	u, err := l.t.readUpload(r, id, false)
	if err != nil {
		return Part{}, err
	}
	if err := l.allowUpload(r, u); err != nil {
		return Part{}, err
	}
	if size > l.b.opt.MaxSize {
		return Part{}, ErrTooLarge
	}
	rowKey := kv.Key{P: partKey(l.t.uid, id, 0).P, S: at.s}
	before, err := l.sizeNoted(ctx, rowKey)
	if err != nil {
		return Part{}, err
	}
	received, err := l.roomForPart(r, size, before)
	if err != nil {
		return Part{}, err
	}
	defer received()
	if err := l.b.spaceFor(max(size, 0)); err != nil {
		return Part{}, err
	}
	s, err := newSummer(body, size, l.b.opt.MaxSize, expect)
	if err != nil {
		return Part{}, err
	}
	defer s.close()
	// Two tries of one part at once would leave it open which of them the bucket has
	// and which the row tells.
	defer l.t.parts.lock(id + "/" + at.s)()
	var stored object.Part
	own, was := "", ""
	if before, err = l.sizeNoted(ctx, rowKey); err != nil { // for certain, now
		return Part{}, err
	}
	if name != "" {
		was = l.replaced(ctx, rowKey)
	}
	if name != "" && (number == 0 || size < object.MinPart) {
		number = 0
		own, err = l.storeAlone(ctx, s, size)
	} else {
		body := io.Reader(s)
		spooled := l.b.opt.Spool.beginPart(u.Object, number, size)
		if spooled != nil {
			body = io.TeeReader(s, spooled)
		}
		stored, err = l.b.multi.PutPart(ctx, u.Object, u.Bucket, number, body, size)
		spooled.end(err == nil)
	}
	if errors.Is(err, object.ErrNotExist) && (s.end == nil || s.end == io.EOF) { // the upload; else the body
		return Part{}, ErrNoUpload
	}
	if err != nil {
		return Part{}, fault(bodyFault(s, fmt.Errorf("store part: %w", err)))
	}
	fail.Point("W2.part")
	now := l.b.opt.Now()
	p := partRow{Size: s.n, MD5: s.hex("md5"), CRC32C: s.hex("crc32c"), Bucket: stored.ETag, T: now.UnixMilli(), Name: name, Own: own}
	if name != "" {
		p.Number = number
	}
	if number == 1 || name != "" {
		_, name := Key(u.Key).Split()
		p.Type = l.b.typeOf(s.head, name, u.Type)
	}
	if sums != nil {
		p.Sums = sums()
	}
	d, err := marshal(p)
	if err != nil {
		return Part{}, err
	}
	if size < 0 { // known only now
		if err := l.roomFor(r, s.n-before, 0, ""); err != nil {
			l.b.discard(ctx, own)
			return Part{}, err
		}
	}
	// Not logged: a part is no file yet. After a loss of the index its client is told to
	// send it again.
	err = l.b.x.Commit(ctx, []kv.Op{{Key: rowKey, D: d}, {Key: uploadKey(l.t.uid, id), Kind: kv.Check, Cond: kv.Present}})
	if ended := (*kv.CondError)(nil); errors.As(err, &ended) {
		l.b.discard(ctx, own)
		return Part{}, ErrNoUpload // completed or aborted while this part came
	}
	if err != nil {
		return Part{}, fault(fmt.Errorf("note part: %w", err))
	}
	fail.Point("W2.part-noted")
	l.t.uploads.grow(id, s.n-before)
	l.b.discard(ctx, was)
	return p.public(number), nil
}

func (p *partRow) public(number int) Part {
	return Part{Number: number, Name: p.Name, Size: p.Size, ETag: p.MD5, Modified: time.UnixMilli(p.T).UTC(), Sums: p.Sums}
}

func (l *Library) parts(ctx context.Context, id string, after, n int) ([]Part, bool, error) {
	r := l.live(ctx)
	if _, err := l.upload(ctx, id); err != nil {
		return nil, false, err
	}
	rows, more, err := r.Scan(partKey(l.t.uid, id, 0).P, partKey(l.t.uid, id, after+1).S, "", false, n)
	if err != nil {
		return nil, false, err
	}
	var out []Part
	for _, row := range rows {
		p, number, err := decodePart(row)
		if err != nil {
			return nil, false, err
		}
		out = append(out, p.public(number))
	}
	return out, more, nil
}

func decodePart(row kv.Row) (*partRow, int, error) {
	var p partRow
	if err := json.Unmarshal(row.D, &p); err != nil {
		return nil, 0, fmt.Errorf("part row: %w", err)
	}
	n, err := strconv.Atoi(row.S)
	return &p, n, err
}

func (l *Library) uploads(ctx context.Context, library string) ([]Upload, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayList, Key(library)); err != nil {
		return nil, err
	}
	rows, _, err := r.Scan("m#"+l.t.uid, "", "", false, 0)
	if err != nil {
		return nil, err
	}
	var out []Upload
	for _, row := range rows {
		var u uploadRow
		if err := json.Unmarshal(row.D, &u); err != nil {
			return nil, fmt.Errorf("upload row: %w", err)
		}
		if lib, _ := Key(u.Key).Library(); u.Done == "" && lib == library {
			out = append(out, *u.public(row.S))
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Key != out[j].Key {
			return out[i].Key < out[j].Key
		}
		return out[i].Created.Before(out[j].Created)
	})
	return out, nil
}

func (l *Library) completeUpload(ctx context.Context, id string, named []CompletePart, opt *CompleteOptions) (*Entry, error) {
	e, err := l.complete(ctx, id, named, opt)
	if err != nil && l.doneMeanwhile(ctx, id) {
		return l.complete(ctx, id, named, opt)
	}
	return e, err
}

// doneMeanwhile says whether an upload is completed, by another try that was at it at the
// same time as one that failed. A client may not wait for the answer of its first.
func (l *Library) doneMeanwhile(ctx context.Context, id string) bool {
	u, err := l.t.readUpload(l.live(ctx), id, true)
	return err == nil && u.Done != ""
}

func (l *Library) complete(ctx context.Context, id string, named []CompletePart, opt *CompleteOptions) (*Entry, error) {
	if opt == nil {
		opt = new(CompleteOptions)
	}
	r := l.live(ctx)
	u, err := l.t.readUpload(r, id, true)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayCreate, Key(u.Key)); err != nil {
		return nil, err
	}
	if u.Done != "" {
		l.t.uploads.end(id) // the outcome may not have been known when it was
		e, err := l.t.byIno(r, u.Done)
		if err == ErrNotExist || err == nil && e.ETag != u.ETag {
			err = ErrNoUpload
		}
		return e, err
	}
	e, parts, err := l.assemble(r, id, u, named)
	if err != nil {
		return nil, err
	}
	e.Header = merged(e.Header, opt.Header)
	p, err := l.t.locate(r, Key(u.Key))
	if err == nil {
		err = l.mayPut(r, Key(u.Key), p, &PutOptions{Conditions: opt.Conditions})
	}
	if err != nil && !(err == ErrParent && u.Parents) {
		return nil, err
	}
	fail.Point("multipart.begin")
	info, err := l.b.multi.CompleteMultipart(ctx, u.Object, u.Bucket, parts)
	if errors.Is(err, object.ErrNotExist) {
		sums := make([][]byte, len(named)) // assemble compared them
		for i, n := range named {
			if sums[i], err = hex.DecodeString(strings.Trim(n.ETag, `"`)); err != nil {
				return nil, fmt.Errorf("part row: %w", err)
			}
		}
		if err = l.b.joinedBefore(ctx, u.Object, parts, sums); err != nil {
			return nil, err
		}
		info.Size = e.Size
	}
	if err != nil {
		return nil, fault(fmt.Errorf("complete upload: %w", err))
	}
	if info.Size != e.Size {
		return nil, fmt.Errorf("%w: the bucket has %d bytes of %d", ErrPart, info.Size, e.Size)
	}
	fail.Point("multipart.complete")
	l.b.opt.Spool.join(u.Object, parts, showable(e))
	return l.commitUpload(ctx, id, u, e, &PutOptions{Conditions: opt.Conditions, Modified: fromMS(u.Modified), MakeParents: u.Parents, upload: id})
}

// assemble checks the parts that a client named against those there are.
func (l *Library) assemble(r rows, id string, u *uploadRow, named []CompletePart) (*Entry, []object.Part, error) {
	if len(named) == 0 {
		return nil, nil, fmt.Errorf("%w: none is named", ErrPart)
	}
	rows, _, err := r.Scan(partKey(l.t.uid, id, 0).P, "0", "", false, 0)
	if err != nil {
		return nil, nil, err
	}
	have := make(map[int]*partRow, len(rows))
	for _, row := range rows {
		p, n, err := decodePart(row)
		if err != nil {
			return nil, nil, err
		}
		have[n] = p
	}
	_, name := Key(u.Key).Split()
	e := &Entry{Name: name, Object: u.Object, Header: u.Header, Type: u.Type}
	var parts []object.Part
	var whole joinedCRC32C
	sum := md5.New()
	for i, n := range named[1:] {
		if n.Number <= named[i].Number {
			return nil, nil, ErrPartOrder
		}
	}
	for i, n := range named {
		p := have[n.Number]
		if p == nil || strings.Trim(n.ETag, `"`) != p.MD5 {
			return nil, nil, fmt.Errorf("%w: part %d", ErrPart, n.Number)
		}
		if i < len(named)-1 && p.Size < object.MinPart {
			return nil, nil, fmt.Errorf("%w: part %d has %d bytes", ErrPartTooSmall, n.Number, p.Size)
		}
		raw, err := hex.DecodeString(p.MD5)
		if err != nil {
			return nil, nil, err
		}
		sum.Write(raw)
		whole.add(p)
		if e.Size += p.Size; e.Size > l.b.opt.MaxSize {
			return nil, nil, ErrTooLarge
		}
		if n.Number == 1 && p.Type != "" {
			e.Type = p.Type
		}
		parts = append(parts, object.Part{Number: n.Number, ETag: p.Bucket, Size: p.Size})
	}
	if e.Type == "" {
		e.Type = "application/octet-stream"
	}
	e.ETag, e.CRC32C = fmt.Sprintf("%x-%d", sum.Sum(nil), len(named)), whole.hex()
	e.Parts = partRuns(parts)
	return e, parts, nil
}

// commitUpload is commitPut for an upload: entry and end of the upload in one plan.
func (l *Library) commitUpload(ctx context.Context, id string, u *uploadRow, e *Entry, opt *PutOptions) (*Entry, error) {
	now := l.b.opt.Now()
	var made *Entry
	err := l.t.log.Update(ctx, "complete", func(tx *journal.Tx) error {
		if _, err := l.t.readUpload(tx, id, false); err != nil {
			return err
		}
		var err error
		if made, _, _, err = l.planPut(tx, Key(u.Key), *e, now, opt); err != nil {
			return err
		}
		done := *u
		done.Done, done.ETag, done.DoneAt = made.Ino, made.ETag, now.UnixMilli()
		return l.t.putUpload(tx, id, &done)
	})
	if err != nil {
		// The object stays: the client may complete again, and the collector takes it
		// in the end.
		return nil, fault(err)
	}
	l.t.uploads.end(id)
	if l.b.opt.Queue != nil && showable(made) {
		l.b.opt.Queue.Ring()
	}
	if err := l.dropParts(ctx, id); err != nil {
		l.b.log.Info("rows of parts stay until the upload expires", "err", err)
	}
	return made, nil
}

// dropParts removes the rows of an upload's parts.
func (l *Library) dropParts(ctx context.Context, id string) error {
	return l.b.dropParts(context.WithoutCancel(ctx), l.t.uid, id)
}

func (b *Backend) dropParts(ctx context.Context, uid, id string) error {
	for {
		rows, more, err := b.x.Scan(ctx, partKey(uid, id, 0).P, "", "", false, kv.MaxOps)
		if err != nil || len(rows) == 0 {
			return err
		}
		ops := make([]kv.Op, len(rows))
		for i, row := range rows {
			ops[i] = kv.Op{Key: row.Key, Kind: kv.Del}
		}
		if err := b.x.Commit(ctx, ops); err != nil || !more {
			return err
		}
	}
}

func (l *Library) abortUpload(ctx context.Context, id string) error {
	u, err := l.t.readUpload(l.live(ctx), id, false)
	if err == ErrNoUpload {
		l.t.uploads.end(id) // an abort before this may not have been told that it was done
	}
	if err != nil {
		return err
	}
	if err := l.allowUpload(l.live(ctx), u); err != nil {
		return err
	}
	var unused bool
	err = l.t.log.Update(ctx, "abort", func(tx *journal.Tx) error {
		if u, err = l.t.readUpload(tx, id, false); err != nil {
			return err
		}
		tx.Del(uploadKey(l.t.uid, id))
		unused, err = l.t.unused(tx, object.ULIDOf(u.Object))
		return err
	})
	if err != nil {
		return fault(err)
	}
	l.t.uploads.end(id)
	l.b.abort(ctx, u)
	if unused { // it may have been completed, and the commit refused
		l.b.discard(ctx, u.Object)
	}
	return fault(l.dropParts(ctx, id))
}
