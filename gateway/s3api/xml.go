package s3api

import (
	"encoding/xml"
	"errors"
	"io"
)

// What an XML body may be. Decoded, a few bytes of it can become a hundred times as many:
// empty elements where a list is read, attributes, elements within elements. So all three
// are bounded, and the body is decoded as it comes.
const (
	maxXML     = 4 << 20   // bytes: 1,000 keys of 1,024 bytes to delete, or 10,000 parts with a checksum each
	maxTagXML  = 128 << 10 // bytes of PutObjectTagging: 10 tags, every character of them escaped
	maxMarkup  = 200_000   // tags, comments and the like: twice seven for each part, and to spare
	maxOneTag  = 4 << 10   // bytes of one of them
	maxDeleted = 1000      // objects of DeleteObjects
)

// readXML reads the whole body, verified, into v; it has at most most bytes. It says whether
// the client sent a checksum of it.
func (q *request) readXML(v any, most int64) (checksum bool, err error) {
	b, err := q.openBody(nil)
	if err != nil {
		return false, err
	}
	if b.Size() > most {
		return false, refuse("MalformedXML", "The XML is larger than this operation takes.")
	}
	fault := xml.NewDecoder(&markup{src: b}).Decode(v)
	// Only at its end is the body proven to be the client's.
	if _, err := io.Copy(io.Discard, b); err != nil {
		return false, err
	}
	if tooMany, ok := errors.AsType[*refusal](fault); ok {
		return false, tooMany
	}
	if fault != nil {
		return false, refuse("MalformedXML", "The XML is not well-formed, or not what this operation takes.")
	}
	_, sum := b.Checksum()
	return sum != "" || b.ContentMD5() != nil, nil
}

// markup passes XML on until there is more markup in it than any operation takes.
type markup struct {
	src  io.Reader
	n    int // "<" that went by
	long int // bytes since the last of them, < 0 between tags
}

var errMarkup = errors.New("too much markup")

func (m *markup) Read(p []byte) (int, error) {
	n, err := m.src.Read(p)
	for _, c := range p[:n] {
		switch {
		case c == '<':
			m.n, m.long = m.n+1, 0
		case c == '>':
			m.long = -1
		case m.long >= 0:
			m.long++
		}
		if m.n > maxMarkup || m.long > maxOneTag {
			return 0, errMarkup
		}
	}
	return n, err
}

// appendElement is the UnmarshalXML of a list: it adds the element that begins with start,
// unless that makes it longer than most.
func appendElement[T any](list *[]T, most int, tooMany error, d *xml.Decoder, start xml.StartElement) error {
	if len(*list) == most {
		return tooMany
	}
	var e T
	if err := d.DecodeElement(&e, &start); err != nil {
		return err
	}
	*list = append(*list, e)
	return nil
}

// doomedList is what DeleteObjects names.
type doomedList []doomed

// UnmarshalXML is called for each object.
func (l *doomedList) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	return appendElement((*[]doomed)(l), maxDeleted, errDeleted, d, start)
}

var errDeleted = refuse("MalformedXML", "Between 1 and 1,000 objects can be deleted at once.")

// A namedPart is a part as CompleteMultipartUpload names it.
type namedPart struct {
	PartNumber int
	ETag       string
	checksums
}

type namedParts []namedPart

// UnmarshalXML is called for each part.
func (l *namedParts) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	return appendElement((*[]namedPart)(l), maxParts, errNamed, d, start)
}

var errNamed = refuse("MalformedXML", "Between 1 and 10,000 parts must be named.")
