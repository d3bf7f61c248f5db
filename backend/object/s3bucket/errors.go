package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// codes are the S3 error codes that mean more than "it did not work".
// (Amazon S3 API Reference, "Error responses".)
var codes = map[string]error{
	"NoSuchKey":                      object.ErrNotExist,
	"NoSuchUpload":                   object.ErrNotExist,
	"PreconditionFailed":             object.ErrExist, // only create-only writes have a condition
	"InvalidPart":                    object.ErrPart,
	"InvalidPartOrder":               object.ErrPart,
	"EntityTooSmall":                 object.ErrPart,
	"BadDigest":                      object.ErrChecksum,
	"InvalidDigest":                  object.ErrChecksum,
	"XAmzContentSHA256Mismatch":      object.ErrChecksum,
	"XAmzContentChecksumMismatch":    object.ErrChecksum,
	"MetadataTooLarge":               object.ErrMeta,
	"KeyTooLongError":                object.ErrName,
	"QuotaExceeded":                  object.ErrNoSpace,
	"InsufficientStorage":            object.ErrNoSpace,
	"XMinioStorageFull":              object.ErrNoSpace,
	"XMinioAdminBucketQuotaExceeded": object.ErrNoSpace,
}

// hints tell what to do about what an operator can mend.
var hints = map[string]string{
	"NoSuchBucket":          "the bucket is gone or its name is wrong",
	"AccessDenied":          "the credentials lack a permission",
	"InvalidAccessKeyId":    "the credentials are wrong",
	"SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes requests",
	"ExpiredToken":          "the credentials have expired",
	"RequestTimeTooSkewed":  "this machine's clock is wrong",
}

// fail says what was being done, and as which of the contract's errors it ended.
// No type of the SDK is in its chain, and the object's name not in its text.
func (b *Bucket) fail(ctx context.Context, doing, name string, err error) error {
	if isBodyOrKnown(err) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if e := ctx.Err(); e != nil {
		return fmt.Errorf("%s: %w", doing, e)
	}
	return fmt.Errorf("%s: %w: %s", doing, kindOf(err), b.text(name, err))
}

// kindOf is which of the contract's errors one of the store's is.
func kindOf(err error) error {
	if k, ok := codes[errorCode(err)]; ok {
		return k
	}
	switch status(err) {
	case http.StatusPreconditionFailed:
		return object.ErrExist
	case http.StatusInsufficientStorage:
		return object.ErrNoSpace
	}
	return object.ErrUnavailable
}

// text is what the store said, without the object's name.
func (b *Bucket) text(name string, err error) string {
	text := describe(err)
	if len(name) >= 8 { // a shorter one says nothing, and is part of other words
		text = strings.ReplaceAll(text, b.prefix+name, "…")
	}
	return text
}

func isBodyOrKnown(err error) bool {
	for _, known := range []error{
		errBody, object.ErrNotExist, object.ErrExist, object.ErrUnavailable, object.ErrNoSpace, object.ErrIncomplete,
		object.ErrChecksum, object.ErrPart, object.ErrName, object.ErrMeta, object.ErrUnfit,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// errBody marks an error that is the body's own, not the store's.
var errBody = errors.New("body")

type bodyError struct{ error }

func (e bodyError) Unwrap() error        { return e.error }
func (e bodyError) Is(target error) bool { return target == errBody }

// describe is a line about what the store, or the way to it, said.
func describe(err error) string {
	if noCredentials(err) {
		return "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or give the machine a role (" + err.Error() + ")"
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "" {
		s := api.ErrorCode()
		if m := strings.TrimSpace(api.ErrorMessage()); m != "" && m != s {
			s += ": " + m
		}
		if h := hints[api.ErrorCode()]; h != "" {
			s += " (" + h + ")"
		}
		if id := requestID(err); id != "" {
			s += " [request " + id + "]"
		}
		return s
	}
	if s := status(err); s != 0 && s/100 != 2 {
		return fmt.Sprintf("it answered %d %s", s, http.StatusText(s))
	}
	var u *url.Error
	if errors.As(err, &u) { // its text has the URL, and so the object's name
		var dns *net.DNSError
		if errors.As(u.Err, &dns) {
			return "its host name " + dns.Name + " can not be found (if that begins with the bucket's name: most stores other than Amazon's want path style)"
		}
		return u.Err.Error()
	}
	return err.Error()
}

// noCredentials says that the store was not asked: the SDK has no type for that.
func noCredentials(err error) bool {
	text := err.Error()
	return strings.Contains(text, "get credentials") || strings.Contains(text, "get identity")
}

func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// status is the HTTP status of the answer, 0 if there was none. That of the machine's metadata
// service, a 404 when it has no role for us, is none: it would look like a bucket that is not there.
func status(err error) int {
	if noCredentials(err) {
		return 0
	}
	var r *smithyhttp.ResponseError
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

func requestID(err error) string {
	var r interface{ ServiceRequestID() string }
	if errors.As(err, &r) {
		return r.ServiceRequestID()
	}
	return ""
}
