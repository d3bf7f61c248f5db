package sigv4

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
)

// A Mode is how the body of a request is signed: x-amz-content-sha256.
type Mode int

const (
	Hashed         Mode = iota // the header is the hex SHA-256 of the body
	Unsigned                   // UNSIGNED-PAYLOAD
	Chunked                    // STREAMING-AWS4-HMAC-SHA256-PAYLOAD
	ChunkedTrailer             // STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
	UnsignedChunks             // STREAMING-UNSIGNED-PAYLOAD-TRAILER
)

// Streaming reports whether the body is in chunks with their own framing
// (aws-chunked), which only PutObject and UploadPart may send.
func (m Mode) Streaming() bool { return m >= Chunked }

func (m Mode) unsigned() bool { return m == Unsigned || m == UnsignedChunks }
func (m Mode) signed() bool   { return m == Chunked || m == ChunkedTrailer }
func (m Mode) trailer() bool  { return m == ChunkedTrailer || m == UnsignedChunks }

func parseMode(payload string) (mode Mode, sum string, err error) {
	switch payload {
	case "UNSIGNED-PAYLOAD":
		return Unsigned, "", nil
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
		return Chunked, "", nil
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
		return ChunkedTrailer, "", nil
	case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		return UnsignedChunks, "", nil
	}
	if len(payload) != 64 || !lowerHex(payload) {
		return 0, "", refuse("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING modes, or the hexadecimal SHA-256 of the body.")
	}
	return Hashed, payload, nil
}

// BodyOptions adjusts NewBody. The zero value, and nil, are ready for use.
type BodyOptions struct {
	// NoMD5 and NoSHA256 leave Content-MD5, and the hash in x-amz-content-sha256,
	// unverified, for a consumer that hashes anyway: it must itself compare with
	// what ContentMD5 and ContentSHA256 return. Hashing is the dearest step on the
	// way of an upload.
	NoMD5, NoSHA256 bool
	// Compute is a checksum to compute although the request promises none.
	Compute Algorithm
}

// A Body reads the body of a verified request without its framing.
//
// What Read has returned is not yet proven: signatures, hashes and lengths are
// compared when their data has gone by. But the last byte of the body is given
// out only after everything held, and until then Read returns an *Error in
// place of it, now and ever after. So a consumer that keeps nothing of a body
// that failed, or had fewer than Size bytes, keeps nothing that was tampered
// with. A Body belongs to one goroutine.
type Body struct {
	src     io.Reader // decoded bytes; knows when the framing ends
	finish  func() error
	size    int64
	left    int64
	err     error
	promise promise
	sha     hash.Hash // mode Hashed, unless NoSHA256
	wantSHA []byte    // what it must come to, in mode Hashed
	md5     hash.Hash // unless NoMD5
	wantMD5 []byte
	check   hash.Hash // of promise
}

// NewBody prepares to read the body of r, which v is the verification of. It
// reads nothing. An error is an *Error.
func NewBody(v *Verified, r *http.Request, opt *BodyOptions) (*Body, error) {
	if opt == nil {
		opt = &BodyOptions{}
	}
	b := &Body{size: r.ContentLength}
	var err error
	if b.promise, err = parsePromise(r.Header, v.Mode); err != nil {
		return nil, err
	}
	decoded, err := single(r, "X-Amz-Decoded-Content-Length")
	if err != nil {
		return nil, err
	}
	if decoded != "" {
		n, err := strconv.ParseUint(decoded, 10, 63)
		if err != nil {
			return nil, refuse("InvalidArgument", "x-amz-decoded-content-length must be a number.")
		}
		if !v.Mode.Streaming() && r.ContentLength >= 0 && int64(n) != r.ContentLength {
			return nil, refuse("InvalidArgument", "x-amz-decoded-content-length differs from Content-Length.")
		}
		b.size = int64(n)
	} else if v.Mode.Streaming() {
		b.size = -1
	}
	if b.size < 0 {
		return nil, refuse("MissingContentLength", "The length of the body is required.")
	}
	b.left = b.size

	if m, err := single(r, "Content-Md5"); err != nil {
		return nil, err
	} else if m != "" {
		b.wantMD5, err = base64.StdEncoding.DecodeString(m)
		if err != nil || len(b.wantMD5) != md5.Size {
			return nil, refuse("InvalidDigest", "Content-MD5 is not valid.")
		}
		if !opt.NoMD5 {
			b.md5 = md5.New()
		}
	}
	if b.promise.algorithm == "" {
		b.promise.algorithm = opt.Compute
	}
	if b.promise.algorithm != "" {
		b.check = b.promise.algorithm.New()
	}
	body := io.Reader(http.NoBody)
	if r.Body != nil {
		body = r.Body
	}
	if v.Mode.Streaming() {
		c := newChunkReader(v, body, b.size, &b.promise)
		b.src, b.finish = c, c.finish
		return b, nil
	}
	if v.Mode == Hashed {
		b.wantSHA, _ = hex.DecodeString(v.sum) // Verify has looked at it
	}
	if v.Mode == Hashed && !opt.NoSHA256 {
		// One SHA-256 serves for both, if it is the checksum as well.
		if b.promise.algorithm == SHA256 {
			b.sha = b.check
		} else {
			b.sha = sha256.New()
		}
	}
	b.src, b.finish = body, func() error { return atEnd(body) }
	return b, nil
}

// Size is the length of the body in bytes, without its framing.
func (b *Body) Size() int64 { return b.size }

// ContentMD5 is the decoded Content-MD5 header, or nil.
func (b *Body) ContentMD5() []byte { return b.wantMD5 }

// ContentSHA256 is the decoded x-amz-content-sha256 in mode Hashed, else nil.
func (b *Body) ContentSHA256() []byte { return b.wantSHA }

// Checksum returns the checksum that the body was verified by, or that was asked
// for, in base64. The value is empty before the end, the algorithm if there is
// none.
func (b *Body) Checksum() (a Algorithm, value string) {
	if b.err != io.EOF || b.check == nil {
		return b.promise.algorithm, ""
	}
	return b.promise.algorithm, base64.StdEncoding.EncodeToString(b.check.Sum(nil))
}

// Read implements io.Reader. An error that is not io.EOF is an *Error.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.left == 0 {
		b.err = b.verify()
		return 0, b.err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.src.Read(p)
	if n > 0 {
		b.hash(p[:n])
		b.left -= int64(n)
		if b.left == 0 {
			b.err = b.verify()
			if b.err != io.EOF {
				return 0, b.err // the last bytes are held back
			}
			return n, nil
		}
	}
	if err != nil {
		b.err = incomplete(err)
		return n, b.err
	}
	return n, nil
}

// Finish verifies a body that is empty, or whose last byte was read; it reads
// nothing but framing. It is for consumers that do not read to io.EOF.
func (b *Body) Finish() error {
	if b.err == nil && b.left == 0 {
		b.err = b.verify()
	}
	switch b.err {
	case nil:
		return refuse("IncompleteBody", "The body was not read to its end.")
	case io.EOF:
		return nil
	}
	return b.err
}

func (b *Body) hash(p []byte) {
	if b.sha != nil {
		b.sha.Write(p)
	}
	if b.check != nil && b.check != b.sha {
		b.check.Write(p)
	}
	if b.md5 != nil {
		b.md5.Write(p)
	}
}

// verify is called when all of the data went by. It returns io.EOF if it holds.
func (b *Body) verify() error {
	if err := b.finish(); err != nil {
		return incomplete(err)
	}
	if b.sha != nil && string(b.sha.Sum(nil)) != string(b.wantSHA) {
		return refuse("XAmzContentSHA256Mismatch", "The body does not have the SHA-256 that x-amz-content-sha256 says.")
	}
	if b.md5 != nil && string(b.md5.Sum(nil)) != string(b.wantMD5) {
		return refuse("BadDigest", "The body does not match its Content-MD5.")
	}
	if b.promise.value != "" && base64.StdEncoding.EncodeToString(b.check.Sum(nil)) != b.promise.value {
		return refuse("BadDigest", "The body does not match its "+b.promise.algorithm.Header()+".")
	}
	return io.EOF
}

// incomplete gives an error of the connection its S3 code.
func incomplete(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Clients try again after this one, and give up after IncompleteBody.
		return refuseBecause("RequestTimeout", "The body came too slowly, or not at all for a while. Nothing was stored; send it again.", err)
	}
	return refuseBecause("IncompleteBody", "The body ended before its length.", err)
}

// atEnd demands that r has no more.
func atEnd(r io.Reader) error {
	var b [1]byte
	for range 100 {
		switch n, err := r.Read(b[:]); {
		case n > 0:
			return refuse("InvalidRequest", "The body is longer than its length says.")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}
