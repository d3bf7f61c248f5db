package s3bucket

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
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
	p, err := b.buffer(ctx, size)
	if err != nil {
		return object.Info{}, fmt.Errorf(doing+": %w", err)
	}
	// A part that fails must end the reading too.
	bodyCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	src := &source{body: object.NewBody(bodyCtx, body, size)}
	last, err := src.fill(p)
	if err != nil {
		p.release()
		return object.Info{}, b.fail(ctx, doing, name, err)
	}
	var info object.Info
	if last {
		info, err = b.putOne(ctx, name, p, opt)
		p.release()
	} else {
		info, err = b.putParts(ctx, cancel, name, src, p, opt)
	}
	if err != nil {
		return object.Info{}, b.fail(ctx, doing, name, err)
	}
	return info, nil
}

// putOne stores an object whose bytes are all here.
func (b *Bucket) putOne(ctx context.Context, name string, p *part, opt *object.PutOptions) (object.Info, error) {
	meta, err := opt.Final()
	if err != nil {
		return object.Info{}, err
	}
	crc, err := p.sum(crc32.New(castagnoli))
	if err != nil {
		return object.Info{}, err
	}
	in := &s3.PutObjectInput{
		Bucket:         &b.opt.Bucket,
		Key:            b.key(name),
		Body:           p.reader(),
		ContentLength:  &p.n,
		ContentType:    optional(opt.Type),
		Metadata:       meta,
		ChecksumCRC32C: aws.String(base64.StdEncoding.EncodeToString(crc)), // kept with the object
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = b.encryption()
	if opt.CreateOnly {
		in.IfNoneMatch = aws.String("*")
	}
	c := call{}
	if opt.FinalSHA256 != nil {
		c.payload = hex.EncodeToString(opt.FinalSHA256())
	} else {
		if c.payload, err = p.payloadHash(); err != nil {
			return object.Info{}, err
		}
	}
	out, err := b.s3.PutObject(ctx, in, c.options)
	if err != nil {
		if opt.CreateOnly && c.attempts > 1 && refused(err) {
			return b.settle(ctx, name, func(ctx context.Context, head object.Info) (bool, error) {
				return b.same(ctx, head, opt.Type, meta, p)
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
	return object.Info{Name: name, Size: p.n, ETag: bare(out.ETag), ModTime: time.Now().UTC(), Type: opt.Type, Meta: meta}, nil
}

// putParts stores a longer object, of which first is the first part.
func (b *Bucket) putParts(ctx context.Context, stopBody func(), name string, src *source, first *part, opt *object.PutOptions) (_ object.Info, err error) {
	id, err := b.createUpload(ctx, name, opt)
	if err != nil {
		first.release()
		return object.Info{}, err
	}
	defer func() {
		if err != nil {
			b.abort(ctx, name, id)
		}
	}()
	parts, err := b.sendParts(ctx, stopBody, name, id, src, first)
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

// sendParts sends the body in parts, a few at once. It takes over the first.
func (b *Bucket) sendParts(ctx context.Context, stopBody func(), name, id string, src *source, first *part) ([]object.Part, error) {
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, stopBody)()
	slots := make(chan struct{}, partsInFlight)
	var mu sync.Mutex
	var parts []object.Part // in the order of arrival
	g.Go(func() error {
		next, last := first, false
		for number := 1; ; number++ {
			p := next
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				p.release()
				return ctx.Err()
			}
			g.Go(func() error {
				defer func() { p.release(); <-slots }()
				sent, err := b.uploadPart(ctx, name, id, number, p)
				mu.Lock()
				defer mu.Unlock()
				parts = append(parts, sent)
				return err
			})
			if last {
				return nil
			}
			if number == object.MaxParts {
				return fmt.Errorf("%w: longer than %d parts of %d bytes; make the parts larger", object.ErrIncomplete, object.MaxParts, b.opt.PartSize)
			}
			var err error
			if next, err = b.pool.get(ctx); err != nil {
				return err
			}
			if last, err = src.fill(next); err != nil {
				next.release()
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
func (b *Bucket) uploadPart(ctx context.Context, name, id string, number int, p *part) (object.Part, error) {
	hash, err := p.payloadHash()
	if err != nil {
		return object.Part{}, err
	}
	return b.sendPart(ctx, &call{payload: hash}, name, id, number, p.reader(), p.n)
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
func (b *Bucket) same(ctx context.Context, head object.Info, typ string, meta map[string]string, p *part) (bool, error) {
	if head.Size != p.n || !maps.Equal(head.Meta, meta) || typ != "" && head.Type != typ {
		return false, nil
	}
	r, err := b.Get(ctx, head.Name, 0, -1)
	if err != nil {
		return false, err
	}
	defer r.Close()
	return p.equals(r)
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

// payloadHash is signed with the request (x-amz-content-sha256); the store
// refuses a body that has another.
func (p *part) payloadHash() (string, error) {
	sum, err := p.sum(sha256.New())
	return hex.EncodeToString(sum), err
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
