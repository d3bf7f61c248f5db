package s3api

import (
	"errors"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// putObject is PutObject, and CopyObject if there is a source.
func (q *request) putObject() error {
	if q.r.Header.Get("X-Amz-Copy-Source") != "" {
		return q.copyObject()
	}
	if _, err := q.newPath(); err != nil {
		return err
	}
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	var err error
	// The Library hashes: it is told what MD5 and SHA-256 must come to.
	if q.body, err = q.openBody(&sigv4.BodyOptions{NoMD5: true, NoSHA256: true}); err != nil {
		return err
	}
	if q.body.Size() > 0 && marker(q.key) {
		return refuse("InvalidArgument", "A key that ends in a slash is a collection; its body must be empty.")
	}
	if q.put, err = q.putOptions(); err != nil {
		return err
	}
	q.put.Expect = expected(q.body)
	q.put.FinalHeader = q.sentChecksum
	return q.serveInner(nil, nil, q.body.Size())
}

// expected are the sums that a body must come to and that it leaves to its reader.
func expected(b *sigv4.Body) (sums []backend.Checksum) {
	if sum := b.ContentMD5(); sum != nil {
		sums = append(sums, backend.Checksum{Algorithm: "md5", Sum: sum})
	}
	if sum := b.ContentSHA256(); sum != nil {
		sums = append(sums, backend.Checksum{Algorithm: "sha256", Sum: sum})
	}
	return sums
}

// storeObject is PutObject once gofakes3 has called.
func (q *request) storeObject() error {
	k, err := q.path()
	if err != nil {
		return err
	}
	if marker(q.key) {
		if err := emptyBody(q.body); err != nil {
			return err
		}
		return q.makeCollection(k)
	}
	e, _, err := q.lib.Put(q.ctx(), k, q.body, q.body.Size(), q.put)
	if err != nil {
		return q.matchFault(writeFault(err, q.body))
	}
	q.head["ETag"] = []string{quote(e.ETag)}
	q.versionHead(e)
	q.echoChecksum()
	return nil
}

// sentChecksum is the header to store for the checksum that the body was verified by;
// one that came in the trailer is known at the end only.
func (q *request) sentChecksum() map[string]string {
	if a, sum := q.body.Checksum(); sum != "" {
		return map[string]string{a.Header(): sum}
	}
	return nil
}

// emptyBody verifies a body without a byte.
func emptyBody(b *sigv4.Body) error {
	if err := b.Finish(); err != nil {
		return err
	}
	for _, c := range expected(b) {
		if h := backend.NewHash(c.Algorithm); string(h.Sum(nil)) != string(c.Sum) {
			return writeFault(backend.ErrChecksum, b)
		}
	}
	return nil
}

// writeFault gives an error of a write its S3 code where the table of errors,
// which does not know what was asked for, has another.
func writeFault(err error, b *sigv4.Body) error {
	switch {
	case errors.Is(err, backend.ErrParent): // parents are made, so it is the library
		return noBucket()
	case errors.Is(err, backend.ErrChecksum) && b != nil && b.ContentMD5() == nil && b.ContentSHA256() != nil:
		return refuse("XAmzContentSHA256Mismatch", "The body does not have the SHA-256 that x-amz-content-sha256 says.")
	}
	return err
}

// matchFault makes NoSuchKey of an If-Match that failed because there is no object.
func (q *request) matchFault(err error) error {
	if !errors.Is(err, backend.ErrPrecondition) || len(q.conditions().IfMatch) == 0 {
		return err
	}
	if _, missing := q.stat(q.bucket, q.key); missing != nil {
		return missing
	}
	return err
}

func (q *request) echoChecksum() {
	if a, sum := q.body.Checksum(); sum != "" {
		q.head.Set(a.Header(), sum)
		q.head.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
}

// makeCollection is a PutObject of "dir/".
func (q *request) makeCollection(k backend.Key) error {
	e, err := q.lib.Mkdir(q.ctx(), k, &backend.MkdirOptions{
		Conditions: q.put.Conditions, Modified: q.put.Modified, Header: q.put.Header, MakeParents: true, Existing: true,
	})
	if err != nil {
		return writeFault(err, nil)
	}
	q.head["ETag"] = []string{quote(etagOf(e))}
	return nil
}
