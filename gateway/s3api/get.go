package s3api

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

// getObject is GetObject and HeadObject.
func (q *request) getObject() error {
	e, err := q.read()
	if err != nil {
		return err
	}
	q.objectHeaders(e)
	switch holds(e, q.r.Header.Get) {
	case http.StatusPreconditionFailed:
		return backend.ErrPrecondition
	case http.StatusNotModified:
		q.head.Del("Content-Type")
		return q.replyEmpty(http.StatusNotModified)
	}

	rng, ranged, err := q.span(e)
	if err != nil {
		return err
	}
	if strings.EqualFold(q.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") {
		q.tellChecksum(e, ranged)
	}
	for param := range strings.FieldsSeq(overrides) {
		if v := q.query.Get(param); v != "" {
			if strings.ContainsAny(v, "\r\n\x00") {
				return refuse("InvalidArgument", "The value of "+param+" is not valid.")
			}
			q.head.Set(strings.TrimPrefix(param, "response-"), v)
		}
	}
	// What users put here may be a page with scripts. It is shown without them, and
	// as of no origin. (A PDF would not be shown at all.)
	if !strings.HasPrefix(q.head.Get("Content-Type"), "application/pdf") {
		q.head.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; sandbox")
	}
	h := http.Header{}
	if ranged {
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", rng.off, rng.off+rng.n-1))
	}
	q.entry = e
	return q.serveInner(nil, h, 0)
}

// tellChecksum tells the checksum of what is sent: of the whole, or of the part by its number.
// Any other range has none.
func (q *request) tellChecksum(e *backend.Entry, ranged bool) {
	a, sum, kind := checksumOf(e)
	if ranged {
		n, _ := strconv.Atoi(q.query.Get("partNumber"))
		var ok bool
		if a, sum, ok = partSum(e, n); !ok {
			return
		}
	}
	if a != "" {
		q.head.Set(a.Header(), sum)
		q.head.Set("X-Amz-Checksum-Type", kind)
	}
}

// span is the part of e that is asked for, by Range or partNumber.
func (q *request) span(e *backend.Entry) (rng span, ranged bool, err error) {
	header := q.r.Header.Get("Range")
	if part := q.query.Get("partNumber"); part != "" {
		if header != "" {
			return rng, false, refuse("InvalidRequest", "Range and partNumber exclude each other.")
		}
		return q.partSpan(e, part)
	}
	if header == "" {
		return rng, false, nil
	}
	// RFC 9110 §13.1.5: a Range for content that has changed gets the whole.
	if cond := q.r.Header.Get("If-Range"); cond != "" {
		t, err := http.ParseTime(cond)
		if err != nil && strings.Trim(cond, `"`) != etagOf(e) || err == nil && !t.Equal(e.Modified.Truncate(1e9)) {
			return rng, false, nil
		}
	}
	return parseRange(header, e.Size)
}

// partSpan is where a part lies. An object that came whole is its own part 1.
func (q *request) partSpan(e *backend.Entry, part string) (span, bool, error) {
	n, err := strconv.Atoi(part)
	if err != nil || n < 1 || n > maxParts {
		return span{}, false, refuse("InvalidArgument", "partNumber must be between 1 and 10000.")
	}
	parts := e.PartCount()
	if parts == 0 {
		if !e.Dir && strings.Contains(e.ETag, "-") { // it came before they were kept, or as very many different ones
			return span{}, false, refuse("NotImplemented", "The sizes of this object's parts are not known.")
		}
		if n != 1 {
			return span{}, false, refuse("InvalidPartNumber", "The object has no such part.")
		}
		return span{0, e.Size}, e.Size > 0, nil
	}
	off, size, ok := e.Part(n)
	if !ok {
		return span{}, false, refuse("InvalidPartNumber", "The object has no such part.")
	}
	q.head.Set("X-Amz-Mp-Parts-Count", strconv.Itoa(parts))
	return span{off, size}, size > 0, nil
}

// getAttributes is GetObjectAttributes.
func (q *request) getAttributes() error {
	e, err := q.read()
	if err != nil {
		return err
	}
	type checksum struct {
		checksums
		ChecksumType string
	}
	out := struct {
		XMLName      xml.Name  `xml:"GetObjectAttributesResponse"`
		Xmlns        string    `xml:"xmlns,attr"`
		ETag         string    `xml:",omitempty"`
		Checksum     *checksum `xml:",omitempty"`
		ObjectParts  *objectParts
		ObjectSize   *int64 `xml:",omitempty"`
		StorageClass string `xml:",omitempty"`
	}{Xmlns: xmlns}
	known := false
	for _, list := range q.r.Header.Values("X-Amz-Object-Attributes") {
		for a := range strings.SplitSeq(list, ",") {
			known = true
			switch strings.TrimSpace(a) {
			case "ETag":
				out.ETag = etagOf(e)
			case "ObjectSize":
				out.ObjectSize = &e.Size
			case "StorageClass":
				out.StorageClass = "STANDARD"
			case "Checksum":
				if a, sum, kind := checksumOf(e); a != "" {
					out.Checksum = &checksum{ChecksumType: kind}
					*out.Checksum.of(a) = sum
				}
			case "ObjectParts":
				if out.ObjectParts, err = q.objectParts(e); err != nil {
					return err
				}
			default:
				return refuse("InvalidArgument", "x-amz-object-attributes has an unknown name.")
			}
		}
	}
	if !known {
		return refuse("InvalidArgument", "The x-amz-object-attributes header is required.")
	}
	q.head.Set("Last-Modified", e.Modified.UTC().Format(http.TimeFormat))
	q.versionHead(e)
	return q.reply(&out)
}

type objectParts struct {
	PartsCount           int
	PartNumberMarker     int
	NextPartNumberMarker int
	MaxParts             int
	IsTruncated          bool
	Parts                []objectPart `xml:"Part"`
}

type objectPart struct {
	PartNumber int
	Size       int64
	checksums
}

// objectParts is a page of the parts of e, nil if it has none.
func (q *request) objectParts(e *backend.Entry) (*objectParts, error) {
	count := e.PartCount()
	if count == 0 {
		return nil, nil
	}
	number := func(name string, fallback int) (int, error) {
		v := q.r.Header.Get(name)
		if v == "" {
			return fallback, nil
		}
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return 0, refuse("InvalidArgument", name+" must be a number.")
		}
		return int(n), nil
	}
	limit, err := number("X-Amz-Max-Parts", 1000)
	if err != nil {
		return nil, err
	}
	after, err := number("X-Amz-Part-Number-Marker", 0)
	if err != nil {
		return nil, err
	}
	out := &objectParts{PartsCount: count, PartNumberMarker: after, NextPartNumberMarker: after, MaxParts: min(limit, 1000)}
	for n := after + 1; n <= count && len(out.Parts) < out.MaxParts; n++ {
		_, size, _ := e.Part(n)
		p := objectPart{PartNumber: n, Size: size}
		if a, sum, ok := partSum(e, n); ok {
			*p.of(a) = sum
		}
		out.Parts = append(out.Parts, p)
		out.NextPartNumberMarker = n
	}
	out.IsTruncated = out.NextPartNumberMarker < count && out.MaxParts > 0
	return out, nil
}
