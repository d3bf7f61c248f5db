// Package sigv4 verifies AWS Signature Version 4 on requests for S3: the
// Authorization header, the presigned query, and the body in every payload mode
// that current clients send, with its chunk signatures, trailer and checksums.
//
// It is the one verifier of the S3 face and stands before its router, so that no
// operation can forget it. It holds no state: everything may be called at once
// from several goroutines.
//
// The signature is specified in Amazon S3 API Reference, "Authenticating
// Requests (AWS Signature Version 4)".
package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// MaxExpires is the longest life that a presigned URL can ask for.
const MaxExpires = 7 * 24 * time.Hour

// ErrUnknownKey is what a Lookup answers, wrapped or not, for an access key it
// does not know.
var ErrUnknownKey = errors.New("unknown access key")

// A Lookup finds the secret of an access key. An error other than ErrUnknownKey
// is in the chain of the error that Verify returns. An empty secret counts as
// an unknown key.
type Lookup func(ctx context.Context, accessKeyID string) (secret string, err error)

// Options adjusts Verify. The zero value, and nil, are ready for use.
type Options struct {
	Now func() time.Time // nil means time.Now

	// MaxSkew is how far the client's clock may be off; 0 means 15 minutes.
	MaxSkew time.Duration

	// MaxExpires caps the life of presigned URLs: a URL that asks for more is good
	// for that long only. 0 means the constant MaxExpires.
	MaxExpires time.Duration

	// Secure reports whether nobody between the client and us can change the
	// body, so that one that is not signed may be taken. Nil means over TLS, or
	// from a loopback address.
	Secure func(*http.Request) bool
}

func (o *Options) now() time.Time {
	if o != nil && o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

func (o *Options) maxSkew() time.Duration {
	if o != nil && o.MaxSkew > 0 {
		return o.MaxSkew
	}
	return 15 * time.Minute
}

func (o *Options) maxExpires() time.Duration {
	if o != nil && o.MaxExpires > 0 && o.MaxExpires < MaxExpires {
		return o.MaxExpires
	}
	return MaxExpires
}

func (o *Options) secure(r *http.Request) bool {
	if o != nil && o.Secure != nil {
		return o.Secure(r)
	}
	return Secure(r)
}

// Secure is what a nil Options.Secure means: r came over TLS or from a loopback
// address.
func Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// A Verified request is one whose signature holds. Its body is not verified by
// that: it must be read through NewBody.
type Verified struct {
	AccessKeyID string
	Region      string    // of the credential scope; any is accepted
	Time        time.Time // when it was signed, by the client's clock
	Presigned   bool      // the signature was in the query
	Expires     time.Time // when a presigned URL ends; zero otherwise
	Mode        Mode      // how the body is signed

	sum       string // hex SHA-256 of the body, in mode Hashed
	seed      string // hex signature of the request
	key       []byte // signing key
	timestamp string // as signed
	scope     string // date/region/s3/aws4_request
}

// Verify checks the signature of r and says who signed it. A refusal is an
// *Error; any other error comes from lookup. The body is not touched.
//
// The signature is in one place, the header or the query; all of the host and
// x-amz-* headers are signed; the date is within the skew, or a presigned URL
// within its life. Temporary credentials (security tokens), Signature Version 2
// and requests without a signature are refused.
func Verify(r *http.Request, lookup Lookup, opt *Options) (*Verified, error) {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	c, err := parseClaim(r, query)
	if err != nil {
		return nil, err
	}
	expires, err := c.checkTime(opt)
	if err != nil {
		return nil, err
	}
	if err := c.checkHeaders(r); err != nil {
		return nil, err
	}
	mode, sum, err := parseMode(c.payload)
	if err != nil {
		return nil, err
	}
	if mode.unsigned() && hasBody(r) && !opt.secure(r) {
		return nil, refuse("AccessDenied", "A body that is not signed is accepted over HTTPS only.")
	}

	secret, lookupErr := lookup(r.Context(), c.accessKeyID)
	if lookupErr == nil && secret == "" {
		lookupErr = ErrUnknownKey
	}
	if lookupErr != nil {
		// The same work as for a known key, so that timing does not tell them apart.
		secret = "an access key that nobody knows"
	}
	v := &Verified{
		AccessKeyID: c.accessKeyID,
		Region:      c.region,
		Time:        c.time,
		Presigned:   c.presigned,
		Expires:     expires,
		Mode:        mode,
		sum:         sum,
		seed:        c.signature,
		key:         signingKey(secret, c.date, c.region),
		timestamp:   c.timestamp,
		scope:       c.scope(),
	}
	ok := v.verifySeed(r, query, c)
	switch {
	case errors.Is(lookupErr, ErrUnknownKey):
		return nil, refuse("InvalidAccessKeyId", "There is no such access key.")
	case lookupErr != nil:
		return nil, fmt.Errorf("look up access key: %w", lookupErr)
	case !ok:
		return nil, mismatch()
	}
	return v, nil
}

// verifySeed compares the request's signature. Clients sign the path as they
// send it; a few send characters bare that they escape for the signature, as
// the specification asks, so the path in its normal form is tried as well. Both
// forms name the same key.
func (v *Verified) verifySeed(r *http.Request, query []pair, c *claim) bool {
	raw := r.URL.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	headers := canonicalHeaders(r, c.signedHeaders)
	canonical := func(path string) string {
		return r.Method + "\n" + path + "\n" + canonicalQuery(query) + "\n" + headers + "\n" + c.payload
	}
	if v.matches("AWS4-HMAC-SHA256", canonical(raw), c.signature) {
		return true
	}
	normal := escape(r.URL.Path, true)
	return normal != raw && v.matches("AWS4-HMAC-SHA256", canonical(normal), c.signature)
}

func (v *Verified) matches(algorithm, canonical, signature string) bool {
	sum := sha256.Sum256([]byte(canonical))
	return v.equal(algorithm+"\n"+v.timestamp+"\n"+v.scope+"\n"+hex.EncodeToString(sum[:]), signature)
}

// equal reports, in constant time, whether signature is that of toSign.
func (v *Verified) equal(toSign, signature string) bool {
	want := hex.EncodeToString(sign(v.key, toSign))
	return hmac.Equal([]byte(want), []byte(signature))
}

func hashHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func sign(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func signingKey(secret, date, region string) []byte {
	k := sign([]byte("AWS4"+secret), date)
	k = sign(k, region)
	k = sign(k, "s3")
	return sign(k, "aws4_request")
}

func hasBody(r *http.Request) bool {
	return r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody
}
