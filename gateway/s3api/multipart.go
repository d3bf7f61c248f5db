package s3api

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

const maxParts = 10_000

// The headers of an upload that say how the whole is to be checked. They are kept
// with the upload.
const (
	checksumAlgorithm = "x-amz-checksum-algorithm"
	checksumType      = "x-amz-checksum-type"
)

// createUpload is CreateMultipartUpload.
func (q *request) createUpload() error {
	if marker(q.key) {
		return refuse("InvalidArgument", "A key that ends in a slash is a collection; it has no content.")
	}
	if _, err := q.newPath(); err != nil {
		return err
	}
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	var err error
	if q.put, err = q.putOptions(); err != nil {
		return err
	}
	if v := q.r.Header.Get(checksumAlgorithm); v == "" && q.r.Header.Get(checksumType) != "" {
		return refuse("InvalidRequest", "x-amz-checksum-type needs an x-amz-checksum-algorithm.")
	} else if v != "" {
		a, ok := sigv4.ParseAlgorithm(v)
		if !ok {
			return refuse("InvalidRequest", "The checksum algorithm is not known.")
		}
		kind := strings.ToUpper(q.r.Header.Get(checksumType))
		switch {
		case kind == "" && a == sigv4.CRC64NVME:
			kind = "FULL_OBJECT"
		case kind == "":
			kind = "COMPOSITE"
		case kind != "COMPOSITE" && kind != "FULL_OBJECT",
			kind == "COMPOSITE" && a == sigv4.CRC64NVME,
			kind == "FULL_OBJECT" && !linear(a):
			return refuse("InvalidRequest", "The checksum type does not go with the algorithm.")
		}
		q.put.Header[checksumAlgorithm], q.put.Header[checksumType] = string(a), kind
		q.head.Set(checksumAlgorithm, string(a))
		q.head.Set(checksumType, kind)
	}
	return q.serveInner(url.Values{"uploads": {""}}, nil, 0)
}

// findUpload is the upload of this id, if it is one to this key.
func (q *request) findUpload() (*backend.Upload, error) {
	k, err := q.path()
	if err != nil {
		return nil, err
	}
	u, err := q.lib.Upload(q.ctx(), q.query.Get("uploadId"))
	if err != nil {
		return nil, err
	}
	if !u.Key.Same(k) {
		return nil, backend.ErrNoUpload
	}
	return u, nil
}

// uploadPart is UploadPart, and UploadPartCopy if there is a source.
func (q *request) uploadPart() error {
	n, err := strconv.ParseUint(q.query.Get("partNumber"), 10, 16)
	if err != nil || n < 1 || n > maxParts {
		return refuse("InvalidArgument", "partNumber must be between 1 and 10000.")
	}
	u, err := q.findUpload()
	if err != nil {
		return err
	}
	algorithm := sigv4.Algorithm(u.Header[checksumAlgorithm])
	if q.r.Header.Get("X-Amz-Copy-Source") != "" {
		return q.copyPart(int(n), algorithm)
	}
	// A part that comes without the checksum of its upload gets it from us.
	if q.body, err = q.openBody(&sigv4.BodyOptions{NoMD5: true, NoSHA256: true, Compute: algorithm}); err != nil {
		return err
	}
	if a, _ := q.body.Checksum(); algorithm != "" && a != algorithm {
		return refuse("InvalidRequest", fmt.Sprintf("The parts of this upload have %s checksums, not %s.", algorithm, a))
	}
	if q.body.Size() == 0 { // which gofakes3 does not take
		etag, err := q.storePart(q.query.Get("uploadId"), int(n))
		if err != nil {
			return err
		}
		q.head["ETag"] = []string{quote(etag)}
		return q.replyEmpty(http.StatusOK)
	}
	return q.serveInner(url.Values{"uploadId": {q.query.Get("uploadId")}, "partNumber": {strconv.FormatUint(n, 10)}}, nil, q.body.Size())
}

// storePart is UploadPart once gofakes3 has called.
func (q *request) storePart(id string, number int) (etag string, err error) {
	sums := func() map[string]string {
		a, sum := q.body.Checksum()
		if sum == "" {
			return nil
		}
		return map[string]string{string(a): sum}
	}
	p, err := q.lib.PutPart(q.ctx(), id, number, q.body, q.body.Size(), expected(q.body), sums)
	if err != nil {
		return "", writeFault(err, q.body)
	}
	q.head["ETag"] = []string{quote(p.ETag)}
	if a, sum := q.body.Checksum(); sum != "" {
		q.head.Set(a.Header(), sum)
	}
	return p.ETag, nil
}

// copyPart is UploadPartCopy into an upload that has checksums of an algorithm, or of none.
func (q *request) copyPart(number int, a sigv4.Algorithm) error {
	s, err := q.openSource()
	if err != nil {
		return err
	}
	rng := span{0, s.entry.Size}
	if v := q.r.Header.Get("X-Amz-Copy-Source-Range"); v != "" {
		ok := false
		rng, ok, err = parseRange(v, s.entry.Size)
		// One that parseRange has cut to the object is refused, too: part of it would be missing.
		if err != nil || !ok || v != fmt.Sprintf("bytes=%d-%d", rng.off, rng.off+rng.n-1) {
			return refuse("InvalidArgument", "x-amz-copy-source-range must be bytes=first-last, within the source.")
		}
	}
	body := io.Reader(http.NoBody)
	if rng.n > 0 && !s.entry.Dir {
		c, err := q.lib.Open(q.ctx(), s.entry)
		if err != nil {
			return err
		}
		defer c.Close()
		c.Expect(rng.off, rng.n)
		body = io.LimitReader(c, rng.n)
	}
	var sums func() map[string]string
	if h := a.New(); h != nil {
		body = io.TeeReader(body, h)
		sums = func() map[string]string {
			return map[string]string{string(a): base64.StdEncoding.EncodeToString(h.Sum(nil))}
		}
	}
	p, err := q.lib.PutPart(q.ctx(), q.query.Get("uploadId"), number, body, rng.n, nil, sums)
	if err != nil {
		return writeFault(err, nil)
	}
	out := struct {
		XMLName      xml.Name `xml:"CopyPartResult"`
		Xmlns        string   `xml:"xmlns,attr"`
		ETag         string
		LastModified string
		checksums
	}{Xmlns: xmlns, ETag: quote(p.ETag), LastModified: stamp(p.Modified)}
	if sum := p.Sums[string(a)]; sum != "" {
		*out.of(a) = sum
	}
	if s.old {
		q.head.Set("X-Amz-Copy-Source-Version-Id", versionID(s.entry))
	}
	return q.reply(&out)
}

func (q *request) listParts() error {
	if v := q.query.Get("encoding-type"); v != "" && v != "url" {
		return refuse("InvalidArgument", "encoding-type must be url.")
	}
	u, err := q.findUpload()
	if err != nil {
		return err
	}
	number := func(name string, fallback uint64) (int, error) {
		v := q.query.Get(name)
		if v == "" {
			return int(fallback), nil
		}
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return 0, refuse("InvalidArgument", name+" must be a number.")
		}
		return int(n), nil
	}
	limit, err := number("max-parts", 1000)
	if err != nil {
		return err
	}
	limit = min(limit, 1000)
	after, err := number("part-number-marker", 0)
	if err != nil {
		return err
	}
	var parts []backend.Part
	more := false
	if limit > 0 && after < maxParts {
		if parts, more, err = q.lib.Parts(q.ctx(), u.ID, after, limit); err != nil {
			return err
		}
	}
	type part struct {
		PartNumber   int
		LastModified string
		ETag         string
		Size         int64
		checksums
	}
	out := struct {
		XMLName              xml.Name `xml:"ListPartsResult"`
		Xmlns                string   `xml:"xmlns,attr"`
		Bucket               string
		Key                  string
		UploadID             string `xml:"UploadId"`
		Initiator            *owner
		Owner                *owner
		StorageClass         string
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		ChecksumAlgorithm    string `xml:",omitempty"`
		ChecksumType         string `xml:",omitempty"`
		Parts                []part `xml:"Part"`
	}{
		Xmlns: xmlns, Bucket: q.bucket, Key: q.key, UploadID: u.ID, Initiator: q.owner(), Owner: q.owner(), StorageClass: "STANDARD",
		PartNumberMarker: after, NextPartNumberMarker: after, MaxParts: limit, IsTruncated: more,
		ChecksumAlgorithm: u.Header[checksumAlgorithm], ChecksumType: u.Header[checksumType],
	}
	if q.query.Get("encoding-type") == "url" {
		out.Key = encodeKey(q.key)
	}
	for _, p := range parts {
		x := part{PartNumber: p.Number, LastModified: stamp(p.Modified), ETag: quote(p.ETag), Size: p.Size}
		for name, sum := range p.Sums {
			*x.of(sigv4.Algorithm(name)) = sum
		}
		out.Parts = append(out.Parts, x)
		out.NextPartNumberMarker = p.Number
	}
	return q.reply(&out)
}

func (q *request) abortUpload() error {
	if _, err := q.findUpload(); err != nil {
		return err
	}
	return q.serveInner(url.Values{"uploadId": {q.query.Get("uploadId")}}, nil, 0)
}

// completeUpload is CompleteMultipartUpload. Repeated by a client that lost the
// answer, it answers the same.
func (q *request) completeUpload() error {
	k, err := q.path()
	if err != nil {
		return err
	}
	var in struct {
		Parts namedParts `xml:"Part"`
	}
	if err := q.readBodyXML(&in); err != nil {
		return err
	}
	if len(in.Parts) == 0 {
		return errNamed
	}
	u, err := q.lib.Upload(q.ctx(), q.query.Get("uploadId"))
	done := errors.Is(err, backend.ErrNoUpload) // or there never was one: CompleteUpload knows
	if err != nil && !done {
		return err
	}
	if !done && !u.Key.Same(k) {
		return backend.ErrNoUpload
	}
	named := make([]backend.CompletePart, len(in.Parts))
	for i, p := range in.Parts {
		named[i] = backend.CompletePart{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`)}
	}
	var whole checksums
	kind := ""
	opt := &backend.CompleteOptions{Conditions: q.conditions(), Header: map[string]string{}}
	if !done {
		stored, err := q.storedParts(u.ID)
		if err != nil {
			return err
		}
		size := int64(0)
		list := make([]backend.Part, 0, len(named))
		for _, p := range in.Parts {
			s, ok := stored[p.PartNumber]
			if !ok {
				continue // CompleteUpload says what is wrong
			}
			for _, a := range sigv4.Algorithms {
				if sum := *p.of(a); sum != "" && s.Sums[string(a)] != sum {
					return refuse("InvalidPart", fmt.Sprintf("Part %d has another checksum.", p.PartNumber))
				}
			}
			list = append(list, s)
			size += s.Size
		}
		if v := q.r.Header.Get("X-Amz-Mp-Object-Size"); v != "" && v != strconv.FormatInt(size, 10) {
			return refuse("InvalidRequest", "The parts do not have the size that x-amz-mp-object-size says.")
		}
		if kind, err = q.wholeChecksum(u, list, &whole); err != nil {
			return err
		}
		for _, a := range sigv4.Algorithms {
			if sum := *whole.of(a); sum != "" {
				opt.Header[a.Header()], opt.Header[checksumType] = sum, kind
				if sums := packSums(a, list); sums != "" {
					opt.Header[checksumParts] = sums
				}
			}
		}
	}
	e, err := q.lib.CompleteUpload(q.ctx(), q.query.Get("uploadId"), named, opt)
	if err != nil {
		return q.matchFault(err)
	}
	if done {
		if !e.Key.Same(k) {
			return backend.ErrNoUpload
		}
		var a sigv4.Algorithm
		var sum string
		if a, sum, kind = checksumOf(e); a != "" {
			*whole.of(a) = sum
		}
	}
	q.versionHead(e)
	return q.reply(&struct {
		XMLName  xml.Name `xml:"CompleteMultipartUploadResult"`
		Xmlns    string   `xml:"xmlns,attr"`
		Location string
		Bucket   string
		Key      string
		ETag     string
		checksums
		ChecksumType string `xml:",omitempty"`
	}{
		Xmlns: xmlns, Location: q.scheme() + "://" + q.r.Host + q.r.URL.EscapedPath(), Bucket: q.bucket, Key: q.key,
		ETag: quote(e.ETag), checksums: whole, ChecksumType: kind,
	})
}

// readBodyXML is readXML for a body whose x-amz-checksum- headers are not its own
// but those of the object: what CompleteMultipartUpload is.
func (q *request) readBodyXML(v any) error {
	r := q.r
	defer func() { q.r = r }()
	bare := *r
	bare.Header = r.Header.Clone()
	for name := range bare.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-checksum-") || lower == "x-amz-sdk-checksum-algorithm" {
			delete(bare.Header, name)
		}
	}
	q.r = &bare
	_, err := q.readXML(v, maxXML)
	return err
}

// storedParts are all parts of an upload, by number.
func (q *request) storedParts(id string) (map[int]backend.Part, error) {
	all := map[int]backend.Part{}
	for after, more := 0, true; more; {
		parts, m, err := q.lib.Parts(q.ctx(), id, after, 1000)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			all[p.Number], after = p, p.Number
		}
		more = m && len(parts) > 0
	}
	return all, nil
}
