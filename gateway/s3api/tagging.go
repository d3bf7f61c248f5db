package s3api

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shoebox-photos/shoebox/backend"
)

// tagging is the header that an object's tags are sent in, and kept under:
// "name=value&name=value", escaped as a query is.
const tagging = "x-amz-tagging"

type tag struct{ Key, Value string }

type tagSet struct {
	XMLName xml.Name `xml:"Tagging"`
	Xmlns   string   `xml:"xmlns,attr"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

// formatTags checks tags and makes a header of them.
// (Amazon S3 User Guide, "Categorizing your objects using tags": at most 10, names
// of 128 and values of 256 characters.)
func formatTags(tags []tag) (string, error) {
	values := url.Values{}
	for _, t := range tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128 || utf8.RuneCountInString(t.Value) > 256:
			return "", refuse("InvalidTag", "A tag's name has 1 to 128 characters, its value up to 256.")
		case values.Has(t.Key):
			return "", refuse("InvalidTag", "A tag's name stands there twice.")
		case !utf8.ValidString(t.Key) || !utf8.ValidString(t.Value):
			return "", refuse("InvalidTag", "A tag is not valid UTF-8.")
		}
		values.Set(t.Key, t.Value)
	}
	if len(values) > 10 {
		return "", refuse("BadRequest", "An object can have 10 tags.")
	}
	return values.Encode(), nil
}

// parseTags is the reverse; the tags are in the order of their names.
func parseTags(header string) ([]tag, error) {
	values, err := url.ParseQuery(header)
	if err != nil {
		return nil, refuse("InvalidArgument", "x-amz-tagging is not validly escaped.")
	}
	var tags []tag
	for name, list := range values {
		for _, v := range list {
			tags = append(tags, tag{name, v})
		}
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return tags, nil
}

// sentTags are those in the request's header, checked.
func (q *request) sentTags() (string, error) {
	tags, err := parseTags(q.r.Header.Get(tagging))
	if err != nil {
		return "", err
	}
	return formatTags(tags)
}

func (q *request) getTagging() error {
	e, err := q.read()
	if err != nil {
		return err
	}
	tags, err := parseTags(e.Header[tagging])
	if err != nil {
		return err
	}
	return q.reply(&tagSet{Xmlns: xmlns, Tags: tags})
}

func (q *request) putTagging() error {
	var in tagSet
	if _, err := q.readXML(&in, maxTagXML); err != nil {
		return err
	}
	tags, err := formatTags(in.Tags)
	if err != nil {
		return err
	}
	if err := q.setTags(tags); err != nil {
		return err
	}
	return q.replyEmpty(http.StatusOK)
}

func (q *request) deleteTagging() error {
	if err := q.setTags(""); err != nil {
		return err
	}
	return q.replyEmpty(http.StatusNoContent)
}

// setTags changes the tags and nothing else of an object: it is written anew on top
// of itself, as it was when it was looked at.
func (q *request) setTags(tags string) error {
	id := q.query.Get("versionId")
	if v, err := q.findVersion(q.bucket, q.key, id); err != nil {
		return err
	} else if !v.current {
		return refuse("AccessDenied", "Only the current version of an object can be given tags.")
	}
	if marker(q.key) {
		return refuse("NotImplemented", "A collection has no tags.")
	}
	k, err := q.path()
	if err != nil {
		return err
	}
	errChanged := errors.New("changed meanwhile")
	for range 5 {
		e, err := q.stat(q.bucket, q.key)
		if err != nil {
			return err
		}
		opt := &backend.MoveOptions{Overwrite: true, Replace: true, Header: map[string]string{}}
		for name, v := range e.Header {
			opt.Header[name] = v
		}
		delete(opt.Header, tagging)
		if tags != "" {
			opt.Header[tagging] = tags
		}
		opt.Source.Confirm = func(now *backend.Entry) error {
			if now == nil || !now.Changed.Equal(e.Changed) {
				return errChanged
			}
			return nil
		}
		if _, _, err = q.lib.Copy(q.ctx(), k, k, opt); !errors.Is(err, errChanged) {
			return err
		}
	}
	return refuse("OperationAborted", "Others keep changing this object. Try again.")
}

// tagCount tells how many tags there are, with an object that has any.
func (q *request) tagCount(e *backend.Entry) {
	if tags, err := parseTags(e.Header[tagging]); err == nil && len(tags) > 0 {
		q.head.Set("X-Amz-Tagging-Count", strconv.Itoa(len(tags)))
	}
}
