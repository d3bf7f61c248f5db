package s3api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

// The listings are our own: gofakes3's knows neither encoding-type nor a page of
// none, and asks for more than it gives out. Library.ListObjects costs as much as
// the page, wherever in the bucket it lies.

type listed struct {
	Key          string
	VersionID    string `xml:"VersionId,omitempty"`
	IsLatest     *bool  `xml:",omitempty"`
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
	Owner        *owner `xml:",omitempty"`
}

type commonPrefix struct{ Prefix string }

// A lister is what the forms of listing have in common.
type lister struct {
	q         *request
	max       int
	prefix    string
	delimiter string
	encode    func(string) string
	encoding  string
}

// newLister reads the parameters; limit names the one that bounds the page.
func (q *request) newLister(limit string) (*lister, error) {
	l := &lister{q: q, max: 1000, prefix: q.query.Get("prefix"), delimiter: q.query.Get("delimiter"), encode: func(s string) string { return s }}
	if v := q.query.Get(limit); v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return nil, refuse("InvalidArgument", fmt.Sprintf("%s must be a number from 0 to 2147483647.", limit))
		}
		l.max = min(int(n), 1000)
	}
	switch l.encoding = q.query.Get("encoding-type"); l.encoding {
	case "":
	case "url":
		l.encode = encodeKey
	default:
		return nil, refuse("InvalidArgument", "encoding-type must be url.")
	}
	return l, q.checkBucket(q.bucket)
}

// encodeKey is encoding-type=url: the slash stays.
func encodeKey(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(s))
}

// page reads the entries after a key.
//
// The Library orders decomposed names by their composed form, for both spellings are one
// entry; but `aws s3 sync` merges what it has with what is listed by the bytes, and with
// --delete would delete what it meets too late. A listing that is whole in one page is put
// into that order; one in several can not be, without looking at all of them.
func (l *lister) page(after string) (*backend.ListPage, error) {
	p, err := l.q.lib.ListObjects(l.q.ctx(), l.options(after))
	if errors.Is(err, backend.ErrNotExist) {
		return nil, noBucket()
	}
	if err == nil && after == "" && !p.More {
		slices.SortFunc(p.Objects, func(a, b backend.Listed) int { return strings.Compare(a.Key, b.Key) })
		slices.Sort(p.Prefixes)
	}
	return p, err
}

func (l *lister) options(after string) backend.ListOptions {
	return backend.ListOptions{Library: l.q.bucket, Prefix: l.prefix, Delimiter: l.delimiter, After: after, Max: l.max}
}

func (l *lister) contents(p *backend.ListPage, o *owner) []listed {
	list := make([]listed, 0, len(p.Objects))
	for _, e := range p.Objects {
		list = append(list, listed{Key: l.encode(e.Key), LastModified: stamp(e.Modified), ETag: quote(etagOf(e.Entry)), Size: e.Size, StorageClass: "STANDARD", Owner: o})
	}
	return list
}

func (l *lister) prefixes(p *backend.ListPage) []commonPrefix {
	list := make([]commonPrefix, 0, len(p.Prefixes))
	for _, s := range p.Prefixes {
		list = append(list, commonPrefix{l.encode(s)})
	}
	return list
}

// listObjects is ListObjects, the first version of it.
func (q *request) listObjects() error {
	l, err := q.newLister("max-keys")
	if err != nil {
		return err
	}
	marker := q.query.Get("marker")
	p, err := l.page(marker)
	if err != nil {
		return err
	}
	out := struct {
		XMLName        xml.Name `xml:"ListBucketResult"`
		Xmlns          string   `xml:"xmlns,attr"`
		Name           string
		Prefix         string
		Marker         string
		NextMarker     string `xml:",omitempty"`
		MaxKeys        int
		Delimiter      string `xml:",omitempty"`
		EncodingType   string `xml:",omitempty"`
		IsTruncated    bool
		Contents       []listed
		CommonPrefixes []commonPrefix
	}{
		Xmlns: xmlns, Name: q.bucket, Prefix: l.prefix, // not encoded, unlike in the second version
		Marker: l.encode(marker), MaxKeys: l.max, Delimiter: l.encode(l.delimiter), EncodingType: l.encoding,
		IsTruncated: p.More, Contents: l.contents(p, q.owner()), CommonPrefixes: l.prefixes(p),
	}
	if p.More && l.delimiter != "" { // else the client goes on after the last key
		out.NextMarker = l.encode(p.Next)
	}
	return q.reply(&out)
}

func (q *request) listObjectsV2() error {
	if q.query.Get("list-type") != "2" {
		return refuse("InvalidArgument", "list-type must be 2.")
	}
	l, err := q.newLister("max-keys")
	if err != nil {
		return err
	}
	after := q.query.Get("start-after")
	var token *string
	if q.query.Has("continuation-token") {
		t := q.query.Get("continuation-token")
		token = &t
		if after, err = q.openToken(t); err != nil {
			return err
		}
	}
	p, err := l.page(after)
	if err != nil {
		return err
	}
	var o *owner
	if q.query.Get("fetch-owner") == "true" {
		o = q.owner()
	}
	out := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Xmlns                 string   `xml:"xmlns,attr"`
		Name                  string
		Prefix                string
		StartAfter            string  `xml:",omitempty"`
		ContinuationToken     *string `xml:",omitempty"`
		NextContinuationToken string  `xml:",omitempty"`
		KeyCount              int
		MaxKeys               int
		Delimiter             string `xml:",omitempty"`
		EncodingType          string `xml:",omitempty"`
		IsTruncated           bool
		Contents              []listed
		CommonPrefixes        []commonPrefix
	}{
		Xmlns: xmlns, Name: q.bucket, Prefix: l.encode(l.prefix), StartAfter: l.encode(q.query.Get("start-after")),
		ContinuationToken: token, KeyCount: len(p.Objects) + len(p.Prefixes), MaxKeys: l.max,
		Delimiter: l.encode(l.delimiter), EncodingType: l.encoding, IsTruncated: p.More,
		Contents: l.contents(p, o), CommonPrefixes: l.prefixes(p),
	}
	if p.More {
		out.NextContinuationToken = q.token(p.Next)
	}
	return q.reply(&out)
}

// token is the key to go on after, bound to the user and the bucket so that one
// can not be taken for another's. It holds nothing that the page before did not.
func (q *request) token(key string) string {
	bind := sha256.Sum256([]byte("s3api continuation\x00" + q.principal.UID + "\x00" + q.bucket))
	return base64.RawURLEncoding.EncodeToString(append(bind[:8:8], key...))
}

func (q *request) openToken(token string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil && len(b) > 8 && q.token(string(b[8:])) == token {
		return string(b[8:]), nil
	}
	return "", refuse("InvalidArgument", "The continuation token is not valid here.")
}

// listUploads is ListMultipartUploads.
func (q *request) listUploads() error {
	l, err := q.newLister("max-uploads")
	if err != nil {
		return err
	}
	uploads, err := q.lib.Uploads(q.ctx(), q.bucket)
	if err != nil {
		return err
	}
	type upload struct {
		Key          string
		UploadID     string `xml:"UploadId"`
		Initiator    *owner
		Owner        *owner
		StorageClass string
		Initiated    string
	}
	keyMarker, idMarker := q.query.Get("key-marker"), q.query.Get("upload-id-marker")
	out := struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		Xmlns              string   `xml:"xmlns,attr"`
		Bucket             string
		KeyMarker          string
		UploadIDMarker     string `xml:"UploadIdMarker"`
		NextKeyMarker      string `xml:",omitempty"`
		NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
		Prefix             string
		Delimiter          string `xml:",omitempty"`
		EncodingType       string `xml:",omitempty"`
		MaxUploads         int
		IsTruncated        bool
		Uploads            []upload       `xml:"Upload"`
		CommonPrefixes     []commonPrefix `xml:"CommonPrefixes"`
	}{
		Xmlns: xmlns, Bucket: q.bucket, KeyMarker: l.encode(keyMarker), UploadIDMarker: idMarker,
		Prefix: l.encode(l.prefix), Delimiter: l.encode(l.delimiter), EncodingType: l.encoding, MaxUploads: l.max,
	}
	seen := "" // common prefix
	marked := keyMarker == "" || idMarker == ""
	for _, u := range uploads {
		_, key := u.Key.Library()
		rest, ok := strings.CutPrefix(key, l.prefix)
		switch {
		case !ok, key < keyMarker, key == keyMarker && idMarker == "" && keyMarker != "":
			continue
		case key == keyMarker && !marked: // those up to the marker, in their order
			marked = u.ID == idMarker
			continue
		}
		prefix := ""
		if i := strings.Index(rest, l.delimiter); l.delimiter != "" && i >= 0 {
			prefix = key[:len(key)-len(rest)+i+len(l.delimiter)]
			if prefix == seen || keyMarker != "" && prefix <= keyMarker {
				continue
			}
		}
		if len(out.Uploads)+len(out.CommonPrefixes) >= l.max {
			out.IsTruncated = l.max > 0
			break
		}
		if prefix != "" {
			seen = prefix
			out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{l.encode(prefix)})
			out.NextKeyMarker, out.NextUploadIDMarker = l.encode(prefix), ""
			continue
		}
		out.Uploads = append(out.Uploads, upload{l.encode(key), u.ID, q.owner(), q.owner(), "STANDARD", stamp(u.Created)})
		out.NextKeyMarker, out.NextUploadIDMarker = l.encode(key), u.ID
	}
	if !out.IsTruncated {
		out.NextKeyMarker, out.NextUploadIDMarker = "", ""
	}
	return q.reply(&out)
}
