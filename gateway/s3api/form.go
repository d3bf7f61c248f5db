package s3api

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

const (
	maxFormFields = 20 << 10 // bytes of the fields before the file, as in S3
	maxFormCount  = 200
	maxBeforeFile = 256 << 10 // bytes of the body before the file, whatever they are
)

// postOperation is PostObject, an upload by a form in a web page (Amazon S3 API
// Reference, "Browser-Based Uploads Using POST"). It is not in the list of operations:
// its signature is in the form.
var postOperation = operation{name: "PostObject", method: http.MethodPost, place: onBucket}

// postObject reads the fields, which come before the file, then verifies the policy in
// them, and streams the file. What follows the file is passed over, as S3 does.
func (q *request) postObject() error {
	q.op = &postOperation
	q.locate()
	if q.bucket == "" || q.key != "" {
		return refuse("MethodNotAllowed", "A form is posted to a bucket.")
	}
	before := &beforeFile{ReadCloser: q.r.Body, left: maxBeforeFile}
	q.r.Body = before
	reader, err := q.r.MultipartReader()
	if err != nil {
		return refuse("MalformedPOSTRequest", "The body is not well-formed multipart/form-data.")
	}
	fields, file, err := readForm(reader)
	if err != nil {
		return err
	}
	before.over = true
	if _, ok := fields["key"]; !ok {
		return refuse("InvalidArgument", "The form has no field named key.")
	}
	fields["bucket"] = q.bucket
	fields["key"] = strings.ReplaceAll(fields["key"], "${filename}", baseName(file.FileName()))
	var policy *sigv4.Policy
	err = q.authenticate(func(lookup sigv4.Lookup) (v *sigv4.Verified, err error) {
		v, policy, err = sigv4.VerifyForm(q.r, fields, lookup, q.s.verify)
		return v, err
	})
	if err != nil {
		return err
	}
	if q.key = fields["key"]; q.key == "" {
		return refuse("InvalidArgument", "The key is empty.")
	}
	// From here on the fields are what headers are to PutObject; the request's own,
	// which nobody signed, count for nothing.
	q.r.Header = http.Header{}
	for name, v := range fields {
		if err := q.takeField(name, v); err != nil {
			return err
		}
	}
	if err := q.checkHeaders(); err != nil {
		return err
	}
	k, err := q.newPath()
	if err != nil {
		return err
	}
	if err := q.openLibrary(); err != nil {
		return err
	}
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	e, err := q.storeForm(k, file, policy)
	if err != nil {
		return err
	}
	return q.replyForm(e, fields)
}

// readForm reads the fields up to the file. Their names are in lower case.
func readForm(r *multipart.Reader) (fields map[string]string, file *multipart.Part, err error) {
	fields = map[string]string{}
	for left := maxFormFields; ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return nil, nil, refuse("InvalidArgument", "The form has no file, or not as its last field.")
		}
		if err != nil {
			return nil, nil, malformed(err)
		}
		// By its name: some clients give each field a file name.
		name := strings.ToLower(part.FormName())
		if name == "file" {
			return fields, part, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, int64(left)+1))
		if err != nil {
			return nil, nil, malformed(err)
		}
		if left -= len(name) + len(value); left < 0 || len(fields) == maxFormCount {
			return nil, nil, refuse("MaxPostPreDataLengthExceededError", "The fields before the file are larger than 20 KB.")
		}
		if _, twice := fields[name]; twice || name == "" {
			return nil, nil, refuse("InvalidArgument", "The form has a field twice, or one without a name.")
		}
		fields[name] = string(value)
	}
}

// beforeFile is a form's body. Up to the file it ends with errBeforeFile when there is too
// much, in headers of parts and between them, too.
type beforeFile struct {
	io.ReadCloser
	left int
	over bool // the file has begun
}

var errBeforeFile = errors.New("too much before the file")

func (b *beforeFile) Read(p []byte) (int, error) {
	if b.over {
		return b.ReadCloser.Read(p)
	}
	if b.left <= 0 {
		return 0, errBeforeFile
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// malformed is the answer to a form that could not be read because of err.
func malformed(err error) error {
	if errors.Is(err, errBeforeFile) {
		return refuse("MaxPostPreDataLengthExceededError", "There is too much before the file.")
	}
	return refuse("MalformedPOSTRequest", "The body is not well-formed multipart/form-data.")
}

// baseName is a file's name without the folders that some browsers tell.
func baseName(s string) string { return s[strings.LastIndexAny(s, `/\`)+1:] }

// takeField puts a field where PutObject finds it.
func (q *request) takeField(name, v string) error {
	switch name {
	case "acl":
		name = "x-amz-acl"
	case "tagging":
		var in tagSet
		if xml.Unmarshal([]byte(v), &in) != nil {
			return refuse("MalformedXML", "The field tagging must be the XML of PutObjectTagging.")
		}
		tags, err := formatTags(in.Tags)
		if err != nil {
			return err
		}
		name, v = tagging, tags
	case "content-md5":
	default:
		isStored := false
		for _, s := range stored {
			isStored = isStored || s == name
		}
		if !isStored && !strings.HasPrefix(name, "x-amz-") {
			return nil
		}
		switch name {
		case "x-amz-algorithm", "x-amz-credential", "x-amz-signature":
			return nil
		}
	}
	if strings.ContainsAny(v, "\r\n\x00") {
		return refuse("InvalidArgument", fmt.Sprintf("The field %.64q has a line break.", name))
	}
	q.r.Header.Set(name, v)
	return nil
}

// storeForm stores the file.
func (q *request) storeForm(k backend.Key, file io.Reader, policy *sigv4.Policy) (*backend.Entry, error) {
	opt, err := q.putOptions()
	if err != nil {
		return nil, err
	}
	want := func(algorithm, name string) error {
		v := q.r.Header.Get(name)
		if v == "" {
			return nil
		}
		sum, err := base64.StdEncoding.DecodeString(v)
		if h := backend.NewHash(algorithm); err != nil || h == nil || len(sum) != h.Size() {
			return refuse("InvalidDigest", "The value of "+name+" is not valid.")
		}
		opt.Expect = append(opt.Expect, backend.Checksum{Algorithm: algorithm, Sum: sum})
		return nil
	}
	if err := want("md5", "content-md5"); err != nil {
		return nil, err
	}
	for _, a := range sigv4.Algorithms {
		if err := want(strings.ToLower(string(a)), a.Header()); err != nil {
			return nil, err
		}
		if v := q.r.Header.Get(a.Header()); v != "" {
			opt.Header[a.Header()] = v
		}
	}
	body := &bounded{src: file, least: policy.MinSize, most: policy.MaxSize}
	if marker(q.key) {
		if n, err := io.CopyN(io.Discard, body, 1); n > 0 {
			return nil, refuse("InvalidArgument", "A key that ends in a slash is a collection; its file must be empty.")
		} else if err != io.EOF {
			return nil, err
		}
		e, err := q.lib.Mkdir(q.ctx(), k, &backend.MkdirOptions{Modified: opt.Modified, Header: opt.Header, MakeParents: true, Existing: true})
		return e, writeFault(err, nil)
	}
	e, _, err := q.lib.Put(q.ctx(), k, body, -1, opt)
	return e, writeFault(err, nil)
}

// bounded is a file that must have from least to most bytes. It ends well only where the
// form's boundary was seen.
type bounded struct {
	src         io.Reader
	least, most int64
	n           int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.n += int64(n)
	switch {
	case b.n > b.most:
		return 0, refuse("EntityTooLarge", fmt.Sprintf("The file is larger than the %d bytes that the policy allows.", b.most))
	case err == io.EOF && b.n < b.least:
		return 0, refuse("EntityTooSmall", fmt.Sprintf("The file has %d bytes, and the policy demands %d.", b.n, b.least))
	case err != nil && err != io.EOF:
		return n, &refusal{code: "IncompleteBody", status: http.StatusBadRequest, message: "The form ended before its file.", err: err}
	}
	return n, err
}

// replyForm answers as the form asked, for a page has to go on somewhere.
func (q *request) replyForm(e *backend.Entry, fields map[string]string) error {
	etag := quote(etagOf(e))
	q.head["ETag"] = []string{etag}
	q.versionHead(e)
	location := &url.URL{Scheme: q.scheme(), Host: q.r.Host, Path: strings.TrimSuffix(q.r.URL.Path, "/") + "/" + q.key}
	to := fields["success_action_redirect"]
	if to == "" {
		to = fields["redirect"] // its old name
	}
	if u, err := url.Parse(to); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		values := u.Query()
		values.Set("bucket", q.bucket)
		values.Set("key", q.key)
		values.Set("etag", etag)
		u.RawQuery = values.Encode()
		q.head.Set("Location", u.String())
		return q.replyEmpty(http.StatusSeeOther)
	}
	q.head.Set("Location", location.String())
	switch fields["success_action_status"] {
	case "200":
		return q.replyEmpty(http.StatusOK)
	case "201":
		q.flushHead()
		q.writeXML(http.StatusCreated, &struct {
			XMLName  xml.Name `xml:"PostResponse"`
			Location string
			Bucket   string
			Key      string
			ETag     string
		}{Location: location.String(), Bucket: q.bucket, Key: q.key, ETag: etag})
		return nil
	}
	return q.replyEmpty(http.StatusNoContent)
}

// scheme is that of the URL the client asked.
func (q *request) scheme() string {
	if q.tls {
		return "https"
	}
	return "http"
}
