package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// Get implements object.Bucket.
func (b *Bucket) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	const doing = "get object"
	if err := b.check(ctx, name, nil); err != nil {
		return nil, fmt.Errorf(doing+": %w", err)
	}
	if n == 0 { // no range of HTTP has no bytes
		if _, err := b.Head(ctx, name); err != nil {
			return nil, fmt.Errorf(doing+": %w", err)
		}
		return http.NoBody, nil
	}
	in := &s3.GetObjectInput{Bucket: &b.opt.Bucket, Key: b.key(name)}
	if off = max(off, 0); off > 0 || n > 0 {
		in.Range = aws.String(byteRange(off, n))
	}
	out, err := b.s3.GetObject(ctx, in)
	if err != nil {
		// RFC 9110 §15.5.17: the range begins beyond the end.
		if in.Range != nil && (status(err) == http.StatusRequestedRangeNotSatisfiable || errorCode(err) == "InvalidRange") {
			return http.NoBody, nil
		}
		return nil, b.fail(ctx, doing, name, err)
	}
	if in.Range != nil && out.ContentRange == nil && aws.ToInt64(out.ContentLength) != 0 {
		_ = out.Body.Close()
		return nil, fmt.Errorf(doing+": %w: it ignored the range", object.ErrUnavailable)
	}
	return &reader{b: b, ctx: ctx, name: name, body: out.Body}, nil
}

func byteRange(off, n int64) string {
	s := "bytes=" + strconv.FormatInt(off, 10) + "-"
	const huge = 1 << 50 // no object is so long; spares the store's arithmetic
	if 0 < n && n < huge && off < huge {
		s += strconv.FormatInt(off+n-1, 10)
	}
	return s
}

// reader gives the body's errors the contract's form.
type reader struct {
	b    *Bucket
	ctx  context.Context // of the Get; the body ends with it anyway
	name string
	body io.ReadCloser
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err != nil && err != io.EOF {
		err = r.b.fail(r.ctx, "read object", r.name, err)
	}
	return n, err
}

func (r *reader) Close() error { return r.body.Close() }

// Head implements object.Bucket. An answer of 404 has no body that says whether
// the object or the bucket is missing, so it costs a second request.
func (b *Bucket) Head(ctx context.Context, name string) (object.Info, error) {
	const doing = "head object"
	if err := b.check(ctx, name, nil); err != nil {
		return object.Info{}, fmt.Errorf(doing+": %w", err)
	}
	out, err := b.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.opt.Bucket, Key: b.key(name)})
	if err != nil {
		if status(err) == http.StatusNotFound {
			if err := b.exists(ctx); err != nil {
				return object.Info{}, fmt.Errorf(doing+": %w", err)
			}
			return object.Info{}, fmt.Errorf(doing+": %w", object.ErrNotExist)
		}
		return object.Info{}, b.fail(ctx, doing, name, err)
	}
	return object.Info{
		Name:    name,
		Size:    aws.ToInt64(out.ContentLength),
		ETag:    bare(out.ETag),
		ModTime: aws.ToTime(out.LastModified).UTC(),
		Type:    aws.ToString(out.ContentType),
		Meta:    out.Metadata,
	}, nil
}

// Delete implements object.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := b.check(ctx, name, nil); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	_, err := b.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.opt.Bucket, Key: b.key(name)})
	if err != nil {
		if err = b.fail(ctx, "delete object", name, err); !errors.Is(err, object.ErrNotExist) {
			return err
		}
	}
	return nil
}

// List implements object.Bucket. It holds one page of 1,000 names.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &b.opt.Bucket, Prefix: optional(b.prefix + prefix)}
		if after != "" {
			in.StartAfter = aws.String(b.prefix + after)
		}
		last := after
		for {
			err := ctx.Err()
			var out *s3.ListObjectsV2Output
			if err == nil {
				out, err = b.s3.ListObjectsV2(ctx, in)
			}
			if err != nil {
				yield(object.Info{}, b.fail(ctx, "list objects", "", err))
				return
			}
			for _, o := range out.Contents {
				key := aws.ToString(o.Key)
				if len(key) <= len(b.prefix) {
					continue // the prefix itself, as consoles make it
				}
				name := key[len(b.prefix):]
				if name <= last { // else a store's mistake would be an endless loop, or a hole
					yield(object.Info{}, fmt.Errorf("list objects: %w: it lists names out of order", object.ErrUnfit))
					return
				}
				last = name
				info := object.Info{Name: name, Size: aws.ToInt64(o.Size), ETag: bare(o.ETag), ModTime: aws.ToTime(o.LastModified).UTC()}
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			if aws.ToString(out.NextContinuationToken) == "" {
				yield(object.Info{}, fmt.Errorf("list objects: %w: a page names no next one", object.ErrUnfit))
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}
