package s3api

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

const (
	maxUserMeta   = 2 << 10 // bytes of x-amz-meta-*, as in S3
	maxSystemMeta = 8 << 10 // bytes of the other stored headers

	metaPrefix = "x-amz-meta-"
	mtime      = "x-amz-meta-mtime" // what rclone and s3fs keep the file's time in: seconds, with a fraction
)

// stored are the headers, besides x-amz-meta-*, that an object is given back
// with. The type a client told is kept here and not only in the entry, whose type
// goes by the content: S3 returns what was told.
var stored = []string{"content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"}

// putOptions is what the headers say of the object to be made.
func (q *request) putOptions() (*backend.PutOptions, error) {
	opt := &backend.PutOptions{
		Conditions:  q.conditions(),
		Type:        q.r.Header.Get("Content-Type"),
		Header:      map[string]string{},
		MakeParents: true,
	}
	system, user := 0, 0
	for _, name := range stored {
		v := q.r.Header.Get(name)
		if name == "content-encoding" {
			v = withoutChunked(v)
		}
		if v != "" {
			opt.Header[name] = v
			system += len(name) + len(v)
		}
	}
	for name, values := range q.r.Header {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, metaPrefix) {
			continue
		}
		v := strings.Join(values, ",")
		opt.Header[name] = v
		user += len(name) - len(metaPrefix) + len(v)
		if t, ok := parseMtime(v); ok && name == mtime {
			opt.Modified = t
		}
	}
	tags, err := q.sentTags()
	if err != nil {
		return nil, err
	}
	if tags != "" {
		opt.Header[tagging] = tags
	}
	for name, v := range opt.Header {
		if !utf8.ValidString(v) {
			return nil, refuse("InvalidArgument", fmt.Sprintf("The header %.64q is not valid UTF-8.", name))
		}
	}
	if user > maxUserMeta || system > maxSystemMeta {
		return nil, refuse("MetadataTooLarge", "The metadata headers are larger than 2 KB.")
	}
	return opt, nil
}

// withoutChunked is a Content-Encoding without aws-chunked, which is the framing
// of the request and none of the object.
func withoutChunked(v string) string {
	var keep []string
	for c := range strings.SplitSeq(v, ",") {
		if c = strings.TrimSpace(c); c != "" && !strings.EqualFold(c, "aws-chunked") {
			keep = append(keep, c)
		}
	}
	return strings.Join(keep, ", ")
}

// parseMtime reads seconds since 1970 with an optional fraction.
func parseMtime(s string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < -62135596800 || sec > 253402300799 { // years 1 to 9999
		return time.Time{}, false
	}
	var nsec int64
	if fraction != "" {
		if strings.Trim(fraction, "0123456789") != "" {
			return time.Time{}, false
		}
		nsec, err = strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		if err != nil {
			return time.Time{}, false
		}
		if strings.HasPrefix(whole, "-") {
			nsec = -nsec
		}
	}
	return time.Unix(sec, nsec).UTC(), true
}

func formatMtime(t time.Time) string {
	s := strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// objectHeaders gathers the headers that describe e, but not its length.
func (q *request) objectHeaders(e *backend.Entry) {
	h := q.head
	h["ETag"] = []string{quote(etagOf(e))}
	h.Set("Last-Modified", e.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", e.Type)
	if e.Dir {
		h.Set("Content-Type", "application/x-directory")
	}
	for _, name := range stored {
		if v := e.Header[name]; v != "" {
			h.Set(name, v)
		}
	}
	for name, v := range e.Header {
		if strings.HasPrefix(name, metaPrefix) && name != mtime {
			h[name] = []string{v} // in lower case, as it was stored
		}
	}
	q.tagCount(e)
	q.versionHead(e)
	if v := mtimeOf(e); v != "" {
		h[mtime] = []string{v}
	}
}

// mtimeOf is the file's own time, where a client gave it one: by S3, in which case
// it is told to the last digit as long as it is still true, or by WebDAV.
func mtimeOf(e *backend.Entry) string {
	v := e.Header[mtime]
	t, ok := parseMtime(v)
	switch {
	case ok && t.Truncate(time.Millisecond).Equal(e.Modified.Truncate(time.Millisecond)):
		return v
	case v != "" && !ok:
		return v // another's idea of a time
	case ok || !e.Dir && e.Modified.Before(e.Created):
		return formatMtime(e.Modified)
	}
	return ""
}

// etagOf is bare. A collection is an empty object to S3.
func etagOf(e *backend.Entry) string {
	if e.Dir {
		return "d41d8cd98f00b204e9800998ecf8427e"
	}
	return e.ETag
}

// checksumOf is the checksum of the whole object: the one that the client sent, or
// else our own SHA-256. The algorithm is "" if there is none. kind says whether it is of
// the content (FULL_OBJECT) or of the checksums of its parts (COMPOSITE).
func checksumOf(e *backend.Entry) (a sigv4.Algorithm, value, kind string) {
	for _, a := range sigv4.Algorithms {
		if v := e.Header[a.Header()]; v != "" {
			if kind = e.Header[checksumType]; kind == "" {
				kind = "FULL_OBJECT"
			}
			return a, v, kind
		}
	}
	if sum, err := hex.DecodeString(e.SHA256); err == nil && len(sum) > 0 {
		return sigv4.SHA256, base64.StdEncoding.EncodeToString(sum), "FULL_OBJECT"
	}
	return "", "", ""
}
