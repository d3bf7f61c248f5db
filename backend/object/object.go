// Package object is the bucket: immutable objects under names. The interface
// has three drivers (s3bucket, diskbucket, membucket); objecttest is their
// contract, and its decorators inject faults.
package object

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

var (
	// ErrNotExist says that there is no object, or no upload, of that name. It is
	// returned only when the bucket said so: an unreachable bucket is
	// ErrUnavailable, never ErrNotExist.
	ErrNotExist = errors.New("object does not exist")
	// ErrExist answers a create-only Put of a name that is taken.
	ErrExist = errors.New("object exists already")
	// ErrUnavailable says that the bucket could not be asked or did not answer;
	// the outcome of a write is then unknown.
	ErrUnavailable = errors.New("bucket is unavailable")
	// ErrNoSpace says that the bucket is full.
	ErrNoSpace = errors.New("bucket has no space left")
	// ErrIncomplete says that the body ended before the size that was promised, or
	// went on after it. Nothing was stored.
	ErrIncomplete = errors.New("body does not have the promised size")
	// ErrChecksum says that the bucket found the data other than what was sent.
	// Nothing was stored.
	ErrChecksum = errors.New("bucket refused the data: checksum differs")
	// ErrPart says that a part named in CompleteMultipart is not in the upload or
	// has another ETag, or that parts are out of order or too small.
	ErrPart = errors.New("upload has no such part")
)

// Info describes an object.
type Info struct {
	Name    string
	Size    int64
	ETag    string            // the bucket's own entity tag, bare; changes with the content
	ModTime time.Time         // when the bucket stored it
	Type    string            // media type; Head only
	Meta    map[string]string // lower-case names; Head only
}

// PutOptions adjusts a Put or a multipart upload. Nil means the zero value.
type PutOptions struct {
	// CreateOnly refuses, with ErrExist, a name that is taken
	// (If-None-Match: *, RFC 9110 §13.1.2).
	CreateOnly bool
	Type       string
	// Meta are user metadata: names of a-z, 0-9 and -, values of printable ASCII
	// (percent-encode anything else), at most 2 KB in all. See CheckMeta.
	Meta map[string]string
	// FinalMeta, if not nil, is asked for more metadata once the body has been
	// read to its end. A driver that has already sent the metadata by then (the
	// body was too long to buffer) leaves it out.
	FinalMeta func() map[string]string
	// FinalSHA256, if not nil, is asked for the SHA-256 of the body (32 bytes) once that
	// has been read to its end. A driver that needs it is spared a second pass.
	FinalSHA256 func() []byte
}

// A Bucket keeps immutable objects under names: 1 to 1,024 bytes of UTF-8,
// slash-separated, no empty, "." or ".." segment (CheckName has all the rules,
// and others are refused with ErrName). Its methods may be called at once from
// several goroutines and return soon after ctx ends.
type Bucket interface {
	// Put stores body under name, all or nothing: if body fails, or has not
	// exactly size bytes, nothing is stored and what was there stays. size < 0
	// means unknown. An error of body is in the chain of the error returned.
	// It returns after the object is durable.
	Put(ctx context.Context, name string, body io.Reader, size int64, opt *PutOptions) (Info, error)

	// Get reads n bytes from off, or all that follow if n < 0; fewer if the object
	// ends before. off beyond the end gives an empty reader. The error wraps
	// ErrNotExist if there is no such object. The caller closes the reader.
	Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error)

	// Head describes the object, with its type and metadata.
	Head(ctx context.Context, name string) (Info, error)

	// Delete removes the object; it is no error if there is none.
	Delete(ctx context.Context, name string) error

	// List yields the objects whose names start with prefix and are greater than
	// after, in byte order. An error comes alone and last.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
}

// A Part is a stored part of a multipart upload.
type Part struct {
	Number int    // 1 to 10,000
	ETag   string // the bucket's own, bare
	Size   int64
}

// MinPart is the least size in bytes of every part but the last.
// (Amazon S3 User Guide, "Multipart upload limits".)
const MinPart = 5 << 20

// A Multiparter is a Bucket that takes an object in parts, in any order and at
// once. An upload survives a restart of this program. All three drivers have it.
type Multiparter interface {
	// CreateMultipart begins an upload of name; opt.CreateOnly and opt.FinalMeta
	// do not apply.
	CreateMultipart(ctx context.Context, name string, opt *PutOptions) (uploadID string, err error)
	// PutPart stores part number, replacing an earlier one of that number. size
	// is known. All or nothing, as Put.
	PutPart(ctx context.Context, name, uploadID string, number int, body io.Reader, size int64) (Part, error)
	// CompleteMultipart makes the object of the parts, which are in ascending
	// order of their numbers. Repeated after success it returns ErrNotExist.
	CompleteMultipart(ctx context.Context, name, uploadID string, parts []Part) (Info, error)
	// AbortMultipart forgets the upload; it is no error if there is none.
	AbortMultipart(ctx context.Context, name, uploadID string) error
}

// A Local is a Bucket whose objects are files of this machine, so that reading
// one again costs nothing.
type Local interface{ Local() bool }
