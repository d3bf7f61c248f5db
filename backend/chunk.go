package backend

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Uploads in chunks are multipart uploads whose client chooses the id, may name the
// destination last, and sends parts of any size. A chunk that is large enough is a part
// of the bucket's multipart upload. A smaller one, which the bucket would take only at
// the end, is an object of its own until the file is put together.

// openChunked is createUpload with the client's id. key "" says that it is not known yet.
func (l *Library) openChunked(ctx context.Context, id string, key Key, opt *PutOptions) (*Upload, error) {
	if l.acc.Mode == ReadOnly {
		return nil, ErrForbidden
	}
	_, err := l.t.readUpload(l.live(ctx), id, false)
	if err == nil {
		if err = l.t.begun(l.live(ctx), id); err == nil {
			return nil, ErrExist
		}
		if err == ErrNoUpload { // what came of it is lost: begin anew
			err = l.abortUpload(ctx, id)
		}
	}
	if err != nil && err != ErrNoUpload {
		return nil, err
	}
	if opt == nil {
		opt = new(PutOptions)
	}
	return l.newUpload(ctx, id, key, opt, true)
}

// begunKey is a row beside those of the chunks, that, like them, is not in the log. Without
// it the index was lost meanwhile, and chunks with it: unlike S3's clients, these do not
// say at the end which there must be.
func begunKey(uid, id string) kv.Key { return kv.Key{P: partKey(uid, id, 0).P, S: "!"} }

// begun is ErrNoUpload if chunks may have been lost.
func (t *tree) begun(r rows, id string) error {
	row, err := r.Get(begunKey(t.uid, id))
	if err == nil && row.V == 0 {
		err = ErrNoUpload
	}
	return err
}

// chunkObject is a name for a chunk that is kept as an object.
func (l *Library) chunkObject() string {
	now := l.b.opt.Now()
	return object.ChunkName(l.t.uid, now, ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String())
}

// storeAlone keeps a small chunk as an object. It is told by the name of that.
func (l *Library) storeAlone(ctx context.Context, s *summer, size int64) (string, error) {
	name := l.chunkObject()
	_, err := l.b.bucket.Put(ctx, name, s, size, &object.PutOptions{CreateOnly: true, Type: "application/octet-stream"})
	return name, err
}

const maxOrder = 1_000_000_000_000_000

func (l *Library) putChunk(ctx context.Context, id string, at ChunkPlace, body io.Reader, size int64, expect []Checksum) (Part, error) {
	if at.Order < 0 || at.Order >= maxOrder || at.Name == "" || len(at.Name) > MaxName {
		return Part{}, fmt.Errorf("%w: no chunk can be called that", ErrPart)
	}
	if err := l.t.begun(l.live(ctx), id); err != nil {
		return Part{}, err
	}
	return l.putPart(ctx, id, slot{number: at.Part, s: fmt.Sprintf("%015d", at.Order), name: at.Name}, body, size, expect, nil)
}

func (l *Library) listChunks(ctx context.Context, id string) (out []Part, err error) {
	if _, err := l.upload(ctx, id); err != nil {
		return nil, err
	}
	if err := l.t.begun(l.live(ctx), id); err != nil {
		return nil, err
	}
	all, _, err := l.chunks(l.live(ctx), id)
	for _, c := range all {
		out = append(out, c.public(c.Number))
	}
	return out, err
}

// FinishOptions adjusts FinishChunked.
type FinishOptions struct {
	Conditions
	Modified time.Time // zero means what was said when the upload was opened, else now
	Created  time.Time // zero means now, or what it was
	Size     int64     // of the whole in bytes, checked; < 0 means that the client did not say
	Expect   []Checksum
	NeedSHA1 bool
}

func (l *Library) finishChunked(ctx context.Context, id string, key Key, o FinishOptions) (*Entry, bool, error) {
	e, created, err := l.finish(ctx, id, key, o)
	if err != nil && l.doneMeanwhile(ctx, id) {
		e, _, err = l.finish(ctx, id, key, o) // it may well have been the try that failed
	}
	return e, created && err == nil, err
}

// finish is finishChunked; created holds for what it did before it failed, too.
func (l *Library) finish(ctx context.Context, id string, key Key, o FinishOptions) (*Entry, bool, error) {
	r := l.live(ctx)
	u, err := l.t.readUpload(r, id, true)
	if err != nil {
		return nil, false, err
	}
	if err := errors.Join(l.allowUpload(r, u), l.allow(r, mayCreate, key)); err != nil {
		return nil, false, err
	}
	if u.Done != "" { // the answer was lost, and the client asks again
		l.t.uploads.end(id)
		e, err := l.t.byIno(r, u.Done)
		if err == ErrNotExist || err == nil && (e.ETag != u.ETag || !e.Key.Same(key)) {
			err = ErrNoUpload
		}
		if err != nil {
			return nil, false, err
		}
		return e, false, nil
	}
	if err := l.t.begun(l.live(ctx), id); err != nil {
		return nil, false, err
	}
	all, size, err := l.chunks(r, id)
	if err != nil {
		return nil, false, err
	}
	switch {
	case len(all) == 0 && o.Size != 0:
		return nil, false, fmt.Errorf("%w: no chunk has come", ErrPart)
	case o.Size >= 0 && o.Size != size:
		return nil, false, fmt.Errorf("%w: there are %d bytes of %d", ErrIncomplete, size, o.Size)
	case size > l.b.opt.MaxSize:
		return nil, false, ErrTooLarge
	}
	opt := &PutOptions{Conditions: o.Conditions, Modified: o.Modified, Created: o.Created, Type: u.Type, Expect: o.Expect, NeedSHA1: o.NeedSHA1, upload: id}
	if opt.Modified.IsZero() {
		opt.Modified = fromMS(u.Modified)
	}
	p, err := l.t.locate(r, key)
	if err == nil {
		err = l.mayPut(r, key, p, opt)
	}
	if err != nil {
		return nil, false, err
	}
	var whole bool // of small chunks only: then it is a file like any other
	for _, c := range all {
		whole = whole || c.Own == ""
	}
	whole = !whole
	v := *u
	v.Key, v.Modified = string(key), ms(opt.Modified)
	var e *Entry
	created := p.e == nil
	if whole {
		body := &joined{ctx: ctx, b: l.b.bucket, left: all}
		e, created, err = l.put(ctx, key, body, size, opt)
		body.close()
		if err == nil {
			err = l.t.log.Update(ctx, "complete", func(tx *journal.Tx) error {
				v.Done, v.ETag, v.DoneAt = e.Ino, e.ETag, l.b.opt.Now().UnixMilli()
				return l.t.putUpload(tx, id, &v)
			})
			l.t.uploads.end(id)
			l.b.abort(ctx, u)
		}
	} else {
		e, err = l.joinParts(ctx, id, &v, all, opt)
	}
	if errors.Is(err, errChunk) { // sending it anew is all that helps
		l.b.log.Error("a chunk in the bucket is not what was uploaded: its client is told to send the file again", "uid", l.t.uid)
		err = errors.Join(err, l.abortChunked(context.WithoutCancel(ctx), id))
	}
	if err != nil {
		return nil, created, fault(err)
	}
	l.dropAlone(ctx, all)
	if err := l.dropParts(ctx, id); err != nil {
		l.b.log.Info("rows of chunks stay until the upload expires", "err", err)
	}
	return e, created, nil
}

// A chunk is a part's row.
type chunk struct{ partRow }

// chunks are those of an upload, in order, and how many bytes they are together.
func (l *Library) chunks(r rows, id string) (all []chunk, size int64, err error) {
	rows, _, err := r.Scan(partKey(l.t.uid, id, 0).P, "0", "", false, 0)
	if err != nil {
		return nil, 0, err
	}
	for _, row := range rows {
		p, _, err := decodePart(row)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, chunk{*p})
		size += p.Size
	}
	return all, size, nil
}

// joinParts completes the bucket's multipart upload. Small chunks that follow each other
// become a part together.
func (l *Library) joinParts(ctx context.Context, id string, u *uploadRow, all []chunk, opt *PutOptions) (*Entry, error) {
	_, name := Key(u.Key).Split()
	e := &Entry{Name: name, Object: u.Object, Type: u.Type}
	if e.Type == "" {
		e.Type = "application/octet-stream"
	}
	if all[0].Type != "" {
		e.Type = all[0].Type
	}
	var parts []object.Part
	var whole joinedCRC32C
	for i := range all {
		whole.add(&all[i].partRow)
	}
	e.CRC32C = whole.hex()
	tags := md5.New()
	var sums [][]byte
	gone := false // completed already, by a try whose commit was lost
	before := 0   // number of the part before
	for i := 0; i < len(all); {
		c := all[i]
		part := object.Part{Number: c.Number, ETag: c.Bucket, Size: c.Size}
		tag, err := hex.DecodeString(c.MD5)
		if err != nil {
			return nil, fmt.Errorf("part row: %w", err)
		}
		run := i + 1
		if c.Own != "" {
			for part.Size = c.Size; run < len(all) && all[run].Own != ""; run++ {
				part.Size += all[run].Size
			}
			if part.Size < object.MinPart && run < len(all) {
				return nil, fmt.Errorf("%w: chunks of %d bytes stand before larger ones", ErrPartTooSmall, part.Size)
			}
			if part.Number = before + 1; part.Number > maxParts || run < len(all) && part.Number >= all[run].Number {
				return nil, fmt.Errorf("%w: there are too many", ErrPart)
			}
			sum := md5.New()
			body := &joined{ctx: ctx, b: l.b.bucket, left: all[i:run]}
			if !gone {
				to := io.Writer(sum)
				spooled := l.b.opt.Spool.beginPart(u.Object, part.Number, part.Size)
				if spooled != nil {
					to = io.MultiWriter(sum, spooled)
				}
				stored, err := l.b.multi.PutPart(ctx, u.Object, u.Bucket, part.Number, io.TeeReader(body, to), part.Size)
				spooled.end(err == nil)
				if gone = errors.Is(err, object.ErrNotExist) && body.err == nil; err != nil && !gone {
					body.close()
					return nil, fmt.Errorf("join chunks: %w", err)
				}
				part.ETag = stored.ETag
			}
			if _, err := io.Copy(sum, body); err != nil {
				body.close()
				return nil, fmt.Errorf("join chunks: %w", err)
			}
			body.close()
			tag = sum.Sum(nil)
		}
		if part.Number <= before {
			return nil, ErrPartOrder
		}
		before = part.Number
		tags.Write(tag)
		sums = append(sums, tag)
		e.Size += part.Size
		parts = append(parts, part)
		i = run
	}
	e.ETag = fmt.Sprintf("%x-%d", tags.Sum(nil), len(parts))
	e.Parts = partRuns(parts)
	fail.Point("multipart.begin")
	var info object.Info
	err := object.ErrNotExist
	if !gone { // then its parts have no tags to complete it with
		info, err = l.b.multi.CompleteMultipart(ctx, u.Object, u.Bucket, parts)
	}
	if errors.Is(err, object.ErrNotExist) {
		if err = l.b.joinedBefore(ctx, u.Object, parts, sums); err != nil {
			return nil, err
		}
		info.Size = e.Size
	}
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", err)
	}
	if info.Size != e.Size {
		return nil, fmt.Errorf("%w: the bucket has %d bytes of %d", ErrPart, info.Size, e.Size)
	}
	fail.Point("multipart.complete")
	l.b.opt.Spool.join(u.Object, parts, showable(e) && !gone)
	if len(opt.Expect) > 0 {
		if err := l.prove(ctx, e, opt.Expect); err != nil {
			err = fault(err)
			if errors.Is(err, ErrChecksum) { // sending it anew is all that helps
				// Only if no other try has made a file of it meanwhile.
				aborted := l.abortChunked(context.WithoutCancel(ctx), id)
				if aborted == nil {
					l.b.discard(ctx, u.Object)
				}
				err = errors.Join(err, aborted)
			}
			return nil, err
		}
	}
	return l.commitUpload(ctx, id, u, e, opt)
}

// dropAlone deletes the objects of small chunks; what stays is the collector's.
func (l *Library) dropAlone(ctx context.Context, all []chunk) {
	for _, c := range all {
		l.b.discard(ctx, c.Own)
	}
}

// abortChunked is abortUpload with the objects of small chunks.
func (l *Library) abortChunked(ctx context.Context, id string) error {
	all, _, err := l.chunks(l.live(ctx), id)
	if err != nil {
		return err
	}
	if err := l.abortUpload(ctx, id); err != nil {
		return err
	}
	l.dropAlone(ctx, all)
	return nil
}

// errChunk says that a chunk is not what it was when it came.
var errChunk = fmt.Errorf("%w: a chunk in the bucket is damaged", ErrChecksum)

// joined reads small chunks one after the other, and compares each with its checksum.
type joined struct {
	ctx  context.Context // of one call
	b    object.Bucket
	left []chunk
	rc   io.ReadCloser
	n    int64 // still to come of rc
	want Checksum
	sum  hash.Hash // of rc until now; nil if there is nothing to compare it with
	err  error     // what reading ended with, other than the end
}

func (j *joined) Read(p []byte) (int, error) {
	n, err := j.read(p)
	if err != nil && err != io.EOF {
		j.err = err
	}
	return n, err
}

func (j *joined) read(p []byte) (int, error) {
	for j.n == 0 {
		j.close()
		if len(j.left) == 0 {
			return 0, io.EOF
		}
		c := j.left[0]
		j.left = j.left[1:]
		if c.Size == 0 {
			continue
		}
		rc, err := j.b.Get(j.ctx, c.Own, 0, -1)
		if err != nil {
			return 0, fmt.Errorf("read chunk: %w", err)
		}
		j.rc, j.n = rc, c.Size
		j.want = checksumOf("crc32c", c.CRC32C)
		if j.sum = nil; j.want.Sum != nil {
			j.sum = NewHash(j.want.Algorithm)
		}
	}
	n, err := j.rc.Read(p[:min(int64(len(p)), j.n)])
	j.n -= int64(n)
	if j.sum != nil {
		j.sum.Write(p[:n])
		if j.n == 0 && !bytes.Equal(j.sum.Sum(nil), j.want.Sum) {
			return 0, errChunk
		}
	}
	if err == io.EOF {
		if err = nil; j.n > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func (j *joined) close() {
	if j.rc != nil {
		j.rc.Close()
		j.rc = nil
	}
}

// replaced is what a chunk that is sent again leaves behind.
func (l *Library) replaced(ctx context.Context, k kv.Key) (own string) {
	row, err := l.live(ctx).Get(k)
	if err != nil || row.V == 0 {
		return ""
	}
	var p partRow
	if json.Unmarshal(row.D, &p) != nil {
		return ""
	}
	return p.Own
}
