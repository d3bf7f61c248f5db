package s3bucket

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/errgroup"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// partsInFlight is how many parts of one upload are sent at once.
const partsInFlight = 2

// Put implements object.Bucket. A body that ends within the first part is one
// request, and FinalMeta is asked; a longer one is 2 and one for each part.
//
// When an answer to a create-only write is lost and the retry is refused, Put
// looks whether what is there is what it sent. If that can not be told, the
// error is ErrUnavailable, not ErrExist.
func (b *Bucket) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	const doing = "put object"
	if err := b.check(ctx, name, opt); err != nil {
		return object.Info{}, fmt.Errorf(doing+": %w", err)
	}
	if opt == nil {
		opt = &object.PutOptions{}
	}
	if size > int64(b.opt.PartSize)*object.MaxParts {
		return object.Info{}, fmt.Errorf(doing+": %d bytes are more than %d parts of %d; make the parts larger", size, object.MaxParts, b.opt.PartSize)
	}
	buf, release, err := b.buffer(ctx, size)
	if err != nil {
		return object.Info{}, fmt.Errorf(doing+": %w", err)
	}
	// A part that fails must end the reading too.
	bodyCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	src := &source{body: object.NewBody(bodyCtx, body, size)}
	n, last, err := src.fill(buf)
	if err != nil {
		release()
		return object.Info{}, b.fail(ctx, doing, name, err)
	}
	var info object.Info
	if last {
		info, err = b.putOne(ctx, name, buf[:n], opt)
		release()
	} else {
		info, err = b.putParts(ctx, cancel, name, src, buf, release, opt)
	}
	if err != nil {
		return object.Info{}, b.fail(ctx, doing, name, err)
	}
	return info, nil
}

// putOne stores an object whose bytes are all here.
func (b *Bucket) putOne(ctx context.Context, name string, data []byte, opt *object.PutOptions) (object.Info, error) {
	meta, err := opt.Final()
	if err != nil {
		return object.Info{}, err
	}
	in := &s3.PutObjectInput{
		Bucket:         &b.opt.Bucket,
		Key:            b.key(name),
		Body:           bytes.NewReader(data),
		ContentLength:  aws.Int64(int64(len(data))),
		ContentType:    optional(opt.Type),
		Metadata:       meta,
		ChecksumCRC32C: aws.String(crc32c(data)), // kept with the object
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption()
	if opt.CreateOnly {
		in.IfNoneMatch = aws.String("*")
	}
	c := call{}
	if opt.FinalSHA256 != nil {
		c.payload = hex.EncodeToString(opt.FinalSHA256())
	} else {
		c.payload = payloadHash(data)
	}
	out, err := b.s3.PutObject(ctx, in, c.options)
	if err != nil {
		if opt.CreateOnly && c.attempts > 1 && refused(err) {
			return b.settle(ctx, name, func(ctx context.Context, head object.Info) (bool, error) {
				return b.same(ctx, head, opt.Type, meta, data)
			})
		}
		if c.attempts > 1 && ctx.Err() == nil && kindOf(err) != object.ErrUnavailable {
			err = fmt.Errorf("%w: an earlier attempt had no verdict, and this one: %s", object.ErrUnavailable, b.text(name, err))
		}
		return object.Info{}, err
	}
	if err := b.encrypted(out.ServerSideEncryption); err != nil {
		return object.Info{}, err
	}
	// Stores that do not know the checksum ignore it; one that tells it has computed it.
	if told := aws.ToString(out.ChecksumCRC32C); told != "" && told != *in.ChecksumCRC32C {
		if opt.CreateOnly { // else it may not be ours that is there
			err = b.Delete(context.WithoutCancel(ctx), name)
		}
		return object.Info{}, errors.Join(fmt.Errorf("%w: the store tells another CRC-32C of it", object.ErrChecksum), err)
	}
	return object.Info{Name: name, Size: int64(len(data)), ETag: bare(out.ETag), ModTime: time.Now().UTC(), Type: opt.Type, Meta: meta}, nil
}

// putParts stores a longer object; buf is its first part.
func (b *Bucket) putParts(ctx context.Context, stopBody func(), name string, src *source, buf []byte, release func(), opt *object.PutOptions) (_ object.Info, err error) {
	id, err := b.createUpload(ctx, name, opt)
	if err != nil {
		release()
		return object.Info{}, err
	}
	defer func() {
		if err != nil {
			b.abort(ctx, name, id)
		}
	}()
	parts, err := b.sendParts(ctx, stopBody, name, id, src, buf, release)
	if err != nil {
		return object.Info{}, err
	}
	info, err := b.completeUpload(ctx, name, id, parts, opt.CreateOnly)
	if err != nil {
		return object.Info{}, err
	}
	info.Type, info.Meta = opt.Type, maps.Clone(opt.Meta)
	return info, nil
}

// sendParts sends the body in parts, a few at once. It takes over buf.
func (b *Bucket) sendParts(ctx context.Context, stopBody func(), name, id string, src *source, buf []byte, release func()) ([]object.Part, error) {
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, stopBody)()
	slots := make(chan struct{}, partsInFlight)
	var mu sync.Mutex
	var parts []object.Part // in the order of arrival
	g.Go(func() error {
		for n, last, number := len(buf), false, 1; ; number++ {
			data, done := buf[:n], release
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				done()
				return ctx.Err()
			}
			g.Go(func() error {
				defer func() { done(); <-slots }()
				p, err := b.uploadPart(ctx, name, id, number, data)
				mu.Lock()
				defer mu.Unlock()
				parts = append(parts, p)
				return err
			})
			if last {
				return nil
			}
			if number == object.MaxParts {
				return fmt.Errorf("%w: longer than %d parts of %d bytes; make the parts larger", object.ErrIncomplete, object.MaxParts, b.opt.PartSize)
			}
			next, err := b.pool.get(ctx)
			if err != nil {
				return err
			}
			buf, release = next, func() { b.pool.put(next) }
			if n, last, err = src.fill(buf); err != nil {
				release()
				return err
			}
		}
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(parts, func(x, y object.Part) int { return x.Number - y.Number })
	return parts, nil
}

// uploadPart sends a part whose bytes are all here.
func (b *Bucket) uploadPart(ctx context.Context, name, id string, number int, data []byte) (object.Part, error) {
	c := call{payload: payloadHash(data)}
	return b.sendPart(ctx, &c, name, id, number, bytes.NewReader(data), int64(len(data)))
}

func (b *Bucket) sendPart(ctx context.Context, c *call, name, id string, number int, body io.Reader, size int64) (object.Part, error) {
	out, err := b.s3.UploadPart(ctx, &s3.UploadPartInput{
		Bucket:        &b.opt.Bucket,
		Key:           b.key(name),
		UploadId:      &id,
		PartNumber:    aws.Int32(int32(number)),
		Body:          body,
		ContentLength: &size,
	}, c.options)
	if err != nil {
		return object.Part{}, err
	}
	return object.Part{Number: number, ETag: bare(out.ETag), Size: size}, nil
}

// encryption are the headers that ask for it.
func (b *Bucket) encryption() (types.ServerSideEncryption, *string, *bool) {
	switch b.opt.SSE {
	case SSEKMS:
		return types.ServerSideEncryptionAwsKms, optional(b.opt.KMSKeyID), aws.Bool(true)
	case SSES3:
		return types.ServerSideEncryptionAes256, nil, nil
	}
	return "", nil, nil
}

// encrypted refuses an answer that does not say the encryption that was asked for.
func (b *Bucket) encrypted(got types.ServerSideEncryption) error {
	if b.opt.SSE == SSENone || string(got) == b.opt.SSE {
		return nil
	}
	return fmt.Errorf("%w: it was asked to encrypt with %s and says %q; use a store that encrypts, "+
		"or choose the encryption %q to trust the store's own", object.ErrUnfit, b.opt.SSE, got, SSENone)
}

// settle decides a create-only write that was sent more than once and refused in
// the end: an earlier attempt may have been the one that created the object.
func (b *Bucket) settle(ctx context.Context, name string, ours func(context.Context, object.Info) (bool, error)) (object.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	head, err := b.Head(ctx, name)
	if err != nil {
		return object.Info{}, fmt.Errorf("%w: a retried create-only write was refused, and whose object is there can not be told: %v", object.ErrUnavailable, err)
	}
	same, err := ours(ctx, head)
	if err != nil {
		return object.Info{}, fmt.Errorf("%w: a retried create-only write was refused, and whose object is there can not be told: %v", object.ErrUnavailable, err)
	}
	if !same {
		return object.Info{}, object.ErrExist
	}
	b.log.Warn("an answer was lost: the object is there as it was sent", "op", "put")
	return head, nil
}

// same reports whether an object is exactly what was sent.
func (b *Bucket) same(ctx context.Context, head object.Info, typ string, meta map[string]string, data []byte) (bool, error) {
	if head.Size != int64(len(data)) || !maps.Equal(head.Meta, meta) || typ != "" && head.Type != typ {
		return false, nil
	}
	r, err := b.Get(ctx, head.Name, 0, -1)
	if err != nil {
		return false, err
	}
	defer r.Close()
	got, err := io.ReadAll(io.LimitReader(r, int64(len(data))+1))
	return bytes.Equal(got, data), err
}

// refused reports that a condition did not hold, or that others wrote the name
// at the same time however often it was tried.
func refused(err error) bool {
	return status(err) == http.StatusPreconditionFailed || errorCode(err) == "ConditionalRequestConflict"
}

// call is what one call to the store adds to the SDK's own doings: it gives the
// hash of the payload to sign, and counts how often the request is sent.
type call struct {
	payload  string // hex SHA-256, or unsigned
	once     bool   // the body can not be sent again
	attempts int
}

const unsigned = "UNSIGNED-PAYLOAD"

func (c *call) options(o *s3.Options) {
	if c.once {
		o.Retryer = aws.NopRetryer{}
	}
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		err := s.Initialize.Add(middleware.InitializeMiddlewareFunc("ShoeboxPayloadHash",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				if c.payload != "" {
					ctx = v4.SetPayloadHash(ctx, c.payload)
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
		return errors.Join(err, s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("ShoeboxAttempts",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				c.attempts++
				return next.HandleFinalize(ctx, in)
			}), "Retry", middleware.After))
	})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc32c(p []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(p, castagnoli)))
}

// payloadHash is signed with the request (x-amz-content-sha256); the store
// refuses a body that has another.
func payloadHash(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

// multipartETag is what S3 makes of the parts' ETags, where those are MD5s.
func multipartETag(parts []object.Part) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil {
			return ""
		}
		h.Write(sum)
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
