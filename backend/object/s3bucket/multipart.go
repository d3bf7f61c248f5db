package s3bucket

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// CreateMultipart implements object.Multiparter.
func (b *Bucket) CreateMultipart(ctx context.Context, name string, opt *object.PutOptions) (string, error) {
	if err := b.check(ctx, name, opt); err != nil {
		return "", fmt.Errorf("create upload: %w", err)
	}
	if opt == nil {
		opt = &object.PutOptions{}
	}
	id, err := b.createUpload(ctx, name, opt)
	if err != nil {
		return "", b.fail(ctx, "create upload", name, err)
	}
	return id, nil
}

func (b *Bucket) createUpload(ctx context.Context, name string, opt *object.PutOptions) (string, error) {
	in := &s3.CreateMultipartUploadInput{
		Bucket:      &b.opt.Bucket,
		Key:         b.key(name),
		ContentType: optional(opt.Type),
		Metadata:    opt.Meta,
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption()
	out, err := b.s3.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", err
	}
	id := aws.ToString(out.UploadId)
	if err := b.encrypted(out.ServerSideEncryption); err != nil {
		b.abort(ctx, name, id)
		return "", err
	}
	return id, nil
}

// PutPart implements object.Multiparter. A part up to Options.PartSize is
// buffered, so that it can be sent again; a larger one is streamed.
func (b *Bucket) PutPart(ctx context.Context, name, uploadID string, number int, body io.Reader, size int64) (object.Part, error) {
	const doing = "put part"
	if err := b.check(ctx, name, nil); err != nil {
		return object.Part{}, fmt.Errorf(doing+": %w", err)
	}
	if err := object.CheckPartNumber(number); err != nil {
		return object.Part{}, fmt.Errorf(doing+": %w", err)
	}
	if size < 0 {
		return object.Part{}, fmt.Errorf(doing+": %w: the size must be known", object.ErrIncomplete)
	}
	if size > int64(b.opt.PartSize) {
		p, err := b.streamPart(ctx, name, uploadID, number, body, size)
		if err != nil {
			return object.Part{}, b.fail(ctx, doing, name, err)
		}
		return p, nil
	}
	p, err := b.buffer(ctx, size)
	if err != nil {
		return object.Part{}, fmt.Errorf(doing+": %w", err)
	}
	defer p.release()
	p.size = size
	src := &source{body: object.NewBody(ctx, body, size)}
	if _, err = src.fill(p); err == nil {
		var sent object.Part
		if sent, err = b.uploadPart(ctx, name, uploadID, number, p); err == nil {
			return sent, nil
		}
	}
	return object.Part{}, b.fail(ctx, doing, name, err)
}

// streamPart sends a part that no buffer holds. Its hash can not be signed in
// advance: where the store's ETag is an MD5, that proves what has arrived.
func (b *Bucket) streamPart(ctx context.Context, name, id string, number int, body io.Reader, size int64) (object.Part, error) {
	r := &holdBack{body: object.NewBody(ctx, body, size), sum: md5.New()}
	c := call{payload: unsigned, once: true}
	p, err := b.sendPart(ctx, &c, name, id, number, r, size)
	if r.err != nil { // the body's error, not what the SDK makes of it
		return object.Part{}, bodyError{r.err}
	}
	if err != nil {
		return object.Part{}, err
	}
	if sum := hex.EncodeToString(r.sum.Sum(nil)); b.opt.SSE != SSEKMS && len(p.ETag) == len(sum) && p.ETag != sum {
		return object.Part{}, fmt.Errorf("%w: the part's MD5 is another", object.ErrChecksum)
	}
	return p, nil
}

// holdBack gives the last bytes of a body only after the body said that it is
// whole, so that the store can not take a part that turns out to be bad at its end.
type holdBack struct {
	body *object.Body
	sum  hash.Hash
	held [32 << 10]byte
	more [32 << 10]byte
	n    int
	end  bool
	err  error // of the body
}

func (h *holdBack) Read(p []byte) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for !h.end {
		if h.n == 0 {
			if h.fill(); h.err != nil {
				return 0, h.err
			}
			continue
		}
		// One more read tells whether the held bytes are the last.
		m, err := h.body.Read(h.more[:min(len(h.more), len(p))])
		if err != nil && err != io.EOF {
			h.err = err
			return 0, err
		}
		h.end = err == io.EOF
		if m > 0 {
			return h.give(p, h.more[:m]), nil
		}
	}
	n := copy(p, h.held[:h.n])
	h.shift(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (h *holdBack) fill() {
	n, err := h.body.Read(h.held[:])
	h.n = n
	if err == io.EOF {
		h.end = true
	} else if err != nil {
		h.err = err
	}
}

// give copies what is held to p and holds the new bytes in their place.
func (h *holdBack) give(p, more []byte) int {
	n := copy(p, h.held[:h.n])
	h.shift(n)
	h.n += copy(h.held[h.n:], more)
	return n
}

func (h *holdBack) shift(n int) {
	h.sum.Write(h.held[:n])
	h.n = copy(h.held[:], h.held[n:h.n])
}

// CompleteMultipart implements object.Multiparter. It asks first whether the
// upload is there: S3 says "done" again to a completed one, and a store of
// another make says so to one that was aborted, if an older object has the name.
func (b *Bucket) CompleteMultipart(ctx context.Context, name, uploadID string, parts []object.Part) (object.Info, error) {
	if err := b.check(ctx, name, nil); err != nil {
		return object.Info{}, fmt.Errorf("complete upload: %w", err)
	}
	if err := object.CheckParts(parts); err != nil {
		return object.Info{}, fmt.Errorf("complete upload: %w", err)
	}
	_, err := b.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: &b.opt.Bucket, Key: b.key(name), UploadId: &uploadID, MaxParts: aws.Int32(1)})
	if errorCode(err) == "NoSuchUpload" || ctx.Err() != nil {
		return object.Info{}, b.fail(ctx, "complete upload", name, err)
	}
	info, err := b.completeUpload(ctx, name, uploadID, parts, false)
	if err != nil {
		return object.Info{}, b.fail(ctx, "complete upload", name, err)
	}
	return info, nil
}

func (b *Bucket) completeUpload(ctx context.Context, name, id string, parts []object.Part, createOnly bool) (object.Info, error) {
	in := &s3.CompleteMultipartUploadInput{
		Bucket:          &b.opt.Bucket,
		Key:             b.key(name),
		UploadId:        &id,
		MultipartUpload: &types.CompletedMultipartUpload{},
	}
	var size int64
	for _, p := range parts {
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, types.CompletedPart{
			PartNumber: aws.Int32(int32(p.Number)),
			ETag:       aws.String(`"` + p.ETag + `"`),
		})
		size += p.Size
	}
	if createOnly {
		in.IfNoneMatch = aws.String("*")
	}
	var c call
	out, err := b.s3.CompleteMultipartUpload(ctx, in, c.options)
	if err != nil {
		// An earlier attempt may have done it, and its answer got lost.
		if c.attempts > 1 && (createOnly && refused(err) || errorCode(err) == "NoSuchUpload") {
			info, serr := b.settle(ctx, name, func(_ context.Context, head object.Info) (bool, error) {
				if want := multipartETag(parts); head.ETag != want && b.opt.SSE == SSEKMS {
					return false, errors.New("its ETag says nothing")
				} else {
					return head.ETag == want && head.Size == size, nil
				}
			})
			if errors.Is(serr, object.ErrExist) && !refused(err) {
				return object.Info{}, err // no such upload, and another object
			}
			return info, serr
		}
		return object.Info{}, err
	}
	if err := b.encrypted(out.ServerSideEncryption); err != nil {
		return object.Info{}, err
	}
	return object.Info{Name: name, Size: size, ETag: bare(out.ETag), ModTime: time.Now().UTC()}, nil
}

// AbortMultipart implements object.Multiparter.
func (b *Bucket) AbortMultipart(ctx context.Context, name, uploadID string) error {
	if err := b.check(ctx, name, nil); err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	_, err := b.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.opt.Bucket, Key: b.key(name), UploadId: &uploadID})
	if err != nil {
		if err = b.fail(ctx, "abort upload", name, err); !errors.Is(err, object.ErrNotExist) {
			return err
		}
	}
	return nil
}

// abort gives up an upload of our own, even after ctx has ended. What it can not
// abort, the bucket's lifecycle rule does.
func (b *Bucket) abort(ctx context.Context, name, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if err := b.AbortMultipart(ctx, name, id); err != nil {
		b.log.Warn("multipart upload is left to the bucket's lifecycle rule", "op", "put", "err", err)
	}
}
