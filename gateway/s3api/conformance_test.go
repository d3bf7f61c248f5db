package s3api_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/shoebox-photos/shoebox/backend"
)

// A rule is one operation at one edge. What is wanted is the status, the code of the error
// document if there is one, and after each "|" a header with its value, or words of the
// body. An operation that fails changes nothing: that is looked at after every row.
//
// In what is sent and wanted, {upload} is the id of a multipart upload to key "up" with
// parts 1 and 2 of 4 bytes, {etag1} and {etag2} are theirs, {sums} is the id of one with CRC32
// checksums to key "sums", {multi} is the key of an object in two parts, {old} and {current}
// are versions of "v", {marker} is the delete marker of "w", and {md5} is that of the body in
// base64. See fillAfter for more.
type rule struct {
	page    string // of the API reference
	edge    string
	request string // method and path
	body    string
	headers []string
	want    string
}

// url is where the reference tells of the operation.
func (r rule) url() string {
	page := r.page
	if page != "ErrorResponses" && page != "RESTObjectPOST" {
		page = "API_" + page
	}
	return "https://docs.aws.amazon.com/AmazonS3/latest/API/" + page + ".html"
}

// A fixture makes what rows need, when they need it.
type fixture struct {
	*world
	made map[string]string
}

func newFixture(t *testing.T) *fixture {
	w := newWorld(t, config{})
	w.put("a", "0123456789")
	w.put("dir/b", "b")
	if _, err := w.lib.Mkdir(t.Context(), "photos/empty", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.lib.Mkdir(t.Context(), "slides", nil); err != nil {
		t.Fatal(err)
	}
	return &fixture{w, map[string]string{}}
}

func (f *fixture) upload(key string, parts ...[]byte) (id string, etags []string) {
	f.t.Helper()
	u, err := f.s3.CreateMultipartUpload(f.t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: &key})
	if err != nil {
		f.t.Fatal(err)
	}
	for i, p := range parts {
		part, err := f.lib.PutPart(f.t.Context(), *u.UploadId, i+1, strings.NewReader(string(p)), int64(len(p)), nil, nil)
		if err != nil {
			f.t.Fatal(err)
		}
		etags = append(etags, part.ETag)
	}
	return *u.UploadId, etags
}

// value is what stands for a name in braces.
func (f *fixture) value(name string) string {
	f.t.Helper()
	if v, ok := f.made[name]; ok {
		return v
	}
	switch name {
	case "upload", "etag1", "etag2":
		id, etags := f.upload("up", []byte("one!"), []byte("two!"))
		f.made["upload"], f.made["etag1"], f.made["etag2"] = id, etags[0], etags[1]
	case "sums":
		u := f.world.upload("sums", func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = "CRC32" })
		f.made["sums"] = *u.id
	case "multi":
		id, etags := f.upload("multi", make([]byte, 5<<20), []byte("end"))
		_, err := f.lib.CompleteUpload(f.t.Context(), id, []backend.CompletePart{{Number: 1, ETag: etags[0]}, {Number: 2, ETag: etags[1]}}, nil)
		if err != nil {
			f.t.Fatal(err)
		}
		f.made["multi"] = "multi"
	case "old", "current", "marker":
		old := *f.put("v", "old").VersionId
		f.made["old"], f.made["current"] = old, *f.put("v", "new").VersionId
		f.put("w", "w")
		f.remove("w", "")
		out, err := f.s3.ListObjectVersions(context.Background(), &s3.ListObjectVersionsInput{Bucket: aws.String("photos"), Prefix: aws.String("w")})
		if err != nil {
			f.t.Fatal(err)
		}
		f.made["marker"] = *out.DeleteMarkers[0].VersionId
	default:
		f.t.Fatalf("nothing is called %q", name)
	}
	return f.made[name]
}

func (f *fixture) fill(s string) string {
	for _, name := range []string{"upload", "etag1", "etag2", "sums", "multi", "old", "current", "marker"} {
		if strings.Contains(s, "{"+name+"}") {
			s = strings.ReplaceAll(s, "{"+name+"}", f.value(name))
		}
	}
	return s
}

// fillAfter puts in what there is only after the request: {marker of a} is the id of the
// delete marker of "a", {version of new} that of the object "new".
func (f *fixture) fillAfter(s string) string {
	f.t.Helper()
	if strings.Contains(s, "{marker of a}") {
		out, err := f.s3.ListObjectVersions(f.t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("photos"), Prefix: aws.String("a")})
		if err != nil || len(out.DeleteMarkers) != 1 {
			f.t.Fatalf("delete markers: %+v, %v", out, err)
		}
		s = strings.ReplaceAll(s, "{marker of a}", *out.DeleteMarkers[0].VersionId)
	}
	if strings.Contains(s, "{version of new}") {
		out, err := f.s3.HeadObject(f.t.Context(), &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: aws.String("new")})
		if err != nil {
			f.t.Fatal(err)
		}
		s = strings.ReplaceAll(s, "{version of new}", *out.VersionId)
	}
	return s
}

// state is what must stay when an operation fails.
func (f *fixture) state() string {
	f.t.Helper()
	var b strings.Builder
	fmt.Fprint(&b, f.list())
	p := s3.NewListObjectsV2Paginator(f.s3, &s3.ListObjectsV2Input{Bucket: aws.String("photos")})
	for p.HasMorePages() {
		page, err := p.NextPage(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		for _, o := range page.Contents {
			fmt.Fprint(&b, " ", *o.ETag, o.LastModified)
		}
	}
	tags, err := f.s3.GetObjectTagging(f.t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String("photos"), Key: aws.String("a")})
	if err != nil {
		tags = new(s3.GetObjectTaggingOutput) // it is gone
	}
	uploads, err := f.s3.ListMultipartUploads(f.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("photos")})
	if err != nil {
		f.t.Fatal(err)
	}
	buckets, err := f.s3.ListBuckets(f.t.Context(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, u := range uploads.Uploads {
		fmt.Fprint(&b, " ", *u.UploadId)
	}
	fmt.Fprint(&b, tagNames(tags.TagSet), len(buckets.Buckets))
	return b.String()
}

func tagNames(tags []types.Tag) (names []string) {
	for _, t := range tags {
		names = append(names, *t.Key+"="+*t.Value)
	}
	return names
}

func (f *fixture) check(r rule) {
	f.t.Helper()
	method, path, _ := strings.Cut(f.fill(r.request), " ")
	body := f.fill(r.body)
	headers := make([]string, len(r.headers))
	for i, h := range r.headers {
		if headers[i] = f.fill(h); h == "{md5}" {
			sum := md5.Sum([]byte(body))
			headers[i] = base64.StdEncoding.EncodeToString(sum[:])
		}
	}
	wanted := strings.Split(f.fill(r.want), " | ")
	before := f.state()
	resp, answer := f.do(method, path, body, headers...)
	for i := range wanted {
		wanted[i] = f.fillAfter(wanted[i])
	}
	got := refusal(resp, answer)
	if method == "HEAD" && resp.StatusCode >= 400 {
		got = fmt.Sprint(resp.StatusCode)
	}
	at := fmt.Sprintf("%s, %s (%s, %s)", r.page, r.edge, r.request, r.url())
	if got != wanted[0] {
		f.t.Errorf("%s: got %s, want %s: %s", at, got, wanted[0], answer)
	}
	for _, w := range wanted[1:] {
		name, value, isHeader := strings.Cut(w, "=")
		if isHeader && http.CanonicalHeaderKey(name) == name && !strings.Contains(name, "<") {
			if v := resp.Header.Get(name); v != value {
				f.t.Errorf("%s: got %s %q, want %q", at, name, v, value)
			}
		} else if !strings.Contains(answer, w) {
			f.t.Errorf("%s: got %q, want %q in it", at, answer, w)
		}
	}
	if after := f.state(); resp.StatusCode >= 400 && after != before {
		f.t.Errorf("%s: it failed and changed something:\n%s\n%s", at, before, after)
	}
}

func TestConformance(t *testing.T) {
	n := 0
	for _, part := range [][]rule{bucketRules, settingRules(), listRules, readRules, writeRules, copyRules, deleteRules, multipartRules, otherRules, edgeRules} {
		for _, r := range part {
			newFixture(t).check(r)
			n++
		}
	}
	if n < 150 {
		t.Errorf("%d rows", n)
	}
	t.Logf("%d rows", n)
}
