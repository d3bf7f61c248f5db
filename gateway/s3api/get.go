package s3api

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// checkVersion allows the one version that an unversioned bucket has.
func checkVersion(id string) error {
	if id != "" && id != "null" {
		return refuse("NoSuchVersion", "There is no version of that id: buckets are not versioned here.")
	}
	return nil
}

// getObject is GetObject and HeadObject.
func (q *request) getObject() error {
	if err := checkVersion(q.query.Get("versionId")); err != nil {
		return err
	}
	e, err := q.stat(q.bucket, q.key)
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
	if a, sum := checksumOf(e); a != "" && !ranged && strings.EqualFold(q.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") {
		q.head.Set(a.Header(), sum)
		q.head.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
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

// span is the part of e that is asked for, by Range or partNumber.
func (q *request) span(e *backend.Entry) (rng span, ranged bool, err error) {
	header := q.r.Header.Get("Range")
	if part := q.query.Get("partNumber"); part != "" {
		if header != "" {
			return rng, false, refuse("InvalidRequest", "Range and partNumber exclude each other.")
		}
		// The sizes of an upload's parts are not kept; an object that came whole is
		// its own part 1.
		if strings.Contains(e.ETag, "-") {
			return rng, false, refuse("NotImplemented", "GetObject by partNumber is not implemented for objects that came in parts.")
		}
		if part != "1" {
			return rng, false, refuse("InvalidPartNumber", "The object has no such part.")
		}
		return span{0, e.Size}, e.Size > 0, nil
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

// getAttributes is GetObjectAttributes.
func (q *request) getAttributes() error {
	if err := checkVersion(q.query.Get("versionId")); err != nil {
		return err
	}
	e, err := q.stat(q.bucket, q.key)
	if err != nil {
		return err
	}
	type checksum struct {
		CRC32        string `xml:"ChecksumCRC32,omitempty"`
		CRC32C       string `xml:"ChecksumCRC32C,omitempty"`
		CRC64NVME    string `xml:"ChecksumCRC64NVME,omitempty"`
		SHA1         string `xml:"ChecksumSHA1,omitempty"`
		SHA256       string `xml:"ChecksumSHA256,omitempty"`
		ChecksumType string
	}
	out := struct {
		XMLName      xml.Name  `xml:"GetObjectAttributesResponse"`
		Xmlns        string    `xml:"xmlns,attr"`
		ETag         string    `xml:",omitempty"`
		Checksum     *checksum `xml:",omitempty"`
		ObjectSize   *int64    `xml:",omitempty"`
		StorageClass string    `xml:",omitempty"`
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
				if a, sum := checksumOf(e); a != "" {
					out.Checksum = &checksum{ChecksumType: "FULL_OBJECT"}
					*map[sigv4.Algorithm]*string{sigv4.CRC32: &out.Checksum.CRC32, sigv4.CRC32C: &out.Checksum.CRC32C,
						sigv4.CRC64NVME: &out.Checksum.CRC64NVME, sigv4.SHA1: &out.Checksum.SHA1, sigv4.SHA256: &out.Checksum.SHA256}[a] = sum
				}
			case "ObjectParts": // not kept
			default:
				return refuse("InvalidArgument", "x-amz-object-attributes has an unknown name.")
			}
		}
	}
	if !known {
		return refuse("InvalidArgument", "The x-amz-object-attributes header is required.")
	}
	q.head.Set("Last-Modified", e.Modified.UTC().Format(http.TimeFormat))
	return q.reply(&out)
}
