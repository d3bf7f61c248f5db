package s3api_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/shoebox-photos/shoebox/backend"
)

// history is ListObjectVersions of photos, a page of max at a time: "key body" for a
// version and "key X" for a delete marker, with "*" at the latest. It also returns the ids
// in the same order.
func (w *world) history(max int32, edit ...func(*s3.ListObjectVersionsInput)) (rows, ids []string) {
	w.t.Helper()
	in := &s3.ListObjectVersionsInput{Bucket: aws.String("photos"), MaxKeys: &max}
	for _, e := range edit {
		e(in)
	}
	for range 300 {
		out, err := w.s3.ListObjectVersions(w.t.Context(), in)
		if err != nil {
			w.t.Fatal(err)
		}
		// The SDK splits what is one sequence: the order within a key is told by
		// IsLatest, and tested on the XML below.
		for _, v := range out.Versions {
			row := *v.Key + " " + fmt.Sprint(*v.Size)
			if *v.IsLatest {
				row += "*"
			}
			rows, ids = append(rows, row), append(ids, *v.VersionId)
		}
		for _, v := range out.DeleteMarkers {
			row := *v.Key + " X"
			if *v.IsLatest {
				row += "*"
			}
			rows, ids = append(rows, row), append(ids, *v.VersionId)
		}
		for _, p := range out.CommonPrefixes {
			rows, ids = append(rows, *p.Prefix), append(ids, "")
		}
		if n := len(out.Versions) + len(out.DeleteMarkers) + len(out.CommonPrefixes); n > int(max) {
			w.t.Errorf("%d on a page of %d", n, max)
		}
		if !*out.IsTruncated {
			return rows, ids
		}
		in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
	}
	w.t.Fatal("no end of pages")
	return nil, nil
}

func (w *world) remove(key, version string) string {
	w.t.Helper()
	in := &s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	_, err := w.s3.DeleteObject(w.t.Context(), in)
	return code(err)
}

func (w *world) getVersion(key, version string) string {
	w.t.Helper()
	resp, body := w.do("GET", "/photos/"+key+"?versionId="+version, "")
	if resp.StatusCode >= 300 {
		return refusal(resp, body)
	}
	return body
}

func TestVersions(t *testing.T) {
	w := newWorld(t, config{})
	first := *w.put("a", "1").VersionId
	second := *w.put("a", "22").VersionId
	want(t, "the same content again", *w.put("a", "22").VersionId, second)
	w.put("b/c", "333")
	w.put("b/d", "4444")
	w.put("e", "")
	want(t, "delete", w.remove("b/c", ""), "")
	want(t, "delete", w.remove("a", ""), "")
	third := *w.put("a", "55555").VersionId

	const all = "[a 5* a 2 a 1 a X b/c 3 b/c X* b/d 4* e 0*]"
	rows, ids := w.history(1000)
	want(t, "versions first", rows, "[a 5* a 2 a 1 b/c 3 b/d 4* e 0* a X b/c X*]")
	want(t, "ids", ids[:3], fmt.Sprint([]string{third, second, first}))
	for max := range int32(6) {
		rows, _ := w.history(max + 1)
		got := map[string]bool{}
		for _, r := range rows {
			got[r] = true
		}
		if len(rows) != 8 || len(got) != 8 {
			t.Errorf("in pages of %d: got %v, want %s in any order", max+1, rows, all)
		}
	}
	one, _ := w.history(1)
	want(t, "one a page", one, "[a 5* a X a 2 a 1 b/c X* b/c 3 b/d 4* e 0*]")
	rows, _ = w.history(1000, func(in *s3.ListObjectVersionsInput) { in.Delimiter = aws.String("/") })
	want(t, "delimiter", rows, "[a 5* a 2 a 1 e 0* a X b/]")
	rows, _ = w.history(1, func(in *s3.ListObjectVersionsInput) { in.Delimiter = aws.String("/") })
	want(t, "delimiter, one a page", rows, "[a 5* a X a 2 a 1 b/ e 0*]")
	rows, _ = w.history(1000, func(in *s3.ListObjectVersionsInput) { in.Prefix = aws.String("b/c") })
	want(t, "prefix", rows, "[b/c 3 b/c X*]")
	rows, _ = w.history(1000, func(in *s3.ListObjectVersionsInput) { in.KeyMarker = aws.String("b/c") })
	want(t, "key-marker", rows, "[b/d 4* e 0*]")
	resp, _ := w.do("GET", "/photos?versions&max-keys=0", "")
	want(t, "max-keys=0", resp.StatusCode, 200)

	_, doc := w.do("GET", "/photos?versions", "")
	if i, j := strings.Index(doc, "<DeleteMarker><Key>a"), strings.Index(doc, "<Version><Key>b/d"); i < 0 || i > j || strings.Contains(doc, `xmlns=""`) {
		t.Errorf("order: %s", doc)
	}

	want(t, "current", w.getVersion("a", third), "55555")
	want(t, "null", w.getVersion("a", "null"), "55555")
	want(t, "of the one in the trash", w.getVersion("a", second), "22")
	want(t, "older", w.getVersion("a", first), "1")
	want(t, "of another key", w.getVersion("e", first), "404 NoSuchVersion")
	want(t, "deleted", w.getVersion("b/c", ids[3]), "333")
	marker, cMarker := ids[6], ids[7]
	want(t, "a marker", w.getVersion("a", marker), "405 MethodNotAllowed")
	want(t, "not an id", w.getVersion("a", "x"), "400 InvalidArgument")
	want(t, "no bucket", refusal(w.do("GET", "/none/a?versionId="+first, "")), "404 NoSuchBucket")
	h, err := w.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"), VersionId: &first})
	if err != nil || *h.ContentLength != 1 || *h.VersionId != first {
		t.Errorf("head: %+v, %v", h, err)
	}
	w.put("long", strings.Repeat("0123456789", 10))
	long := *w.put("long", "short").VersionId
	want(t, "new version", w.getVersion("long", long), "short")

	// A copy brings an old version back.
	out, err := w.s3.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"), CopySource: aws.String("photos/a?versionId=" + first)})
	want(t, "copy", code(err), "")
	if err == nil && (*out.CopySourceVersionId != first || *out.VersionId == first) {
		t.Errorf("copy: %+v", out)
	}
	want(t, "copied", w.get("a"), "1")

	// What is kept can not be deleted; a marker can, and then the object is back.
	want(t, "delete an old one", w.remove("a", first), "403 AccessDenied")
	want(t, "delete a marker below an object", w.remove("a", marker), "403 AccessDenied")
	want(t, "delete a version that never was", w.remove("a", first+"X"), "404 NoSuchVersion")
	want(t, "delete a marker", w.remove("b/c", cMarker), "")
	want(t, "is back", w.get("b/c"), "333")
	want(t, "delete the current", w.remove("a", *out.VersionId), "")
	want(t, "gone", w.getVersion("a", ""), "404 NoSuchKey")
	del, err := w.s3.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("photos"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a"), VersionId: &first}, {Key: aws.String("e"), VersionId: aws.String("null")},
	}}})
	if err != nil || len(del.Errors) != 1 || *del.Errors[0].Code != "AccessDenied" || *del.Errors[0].VersionId != first || len(del.Deleted) != 1 {
		t.Errorf("delete several: %+v, %v", del, err)
	}
	_, err = w.s3.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: aws.String("photos"), Key: aws.String("a"), VersionId: &first, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}})
	want(t, "tag an old one", code(err), "403 AccessDenied")

	// Others see no more of it than of the objects.
	_, err = w.client("SBPHONE", secretKey).ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("photos")})
	want(t, "upload-only", code(err), "403 AccessDenied")
	frame := *w
	frame.s3 = w.client("SBREADER", secretKey)
	blurred := w.put("b/d", "666666")
	rows, _ = frame.history(1000, func(in *s3.ListObjectVersionsInput) { in.Prefix = aws.String("b/d") })
	want(t, "read-only, what was overwritten", rows, "[b/d 6*]")
	rows, ids = w.history(1000, func(in *s3.ListObjectVersionsInput) { in.Prefix = aws.String("b/d") })
	want(t, "the owner, what was overwritten", rows, "[b/d 6* b/d 4]")
	read := func(id *string) string {
		_, err := frame.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("b/d"), VersionId: id})
		return code(err)
	}
	want(t, "read-only, by the version there is", read(blurred.VersionId), "")
	want(t, "read-only, by the one before", read(&ids[1]), "404 NoSuchVersion")
	rows, _ = frame.history(1000)
	if strings.Contains(fmt.Sprint(rows), "X") {
		t.Errorf("read-only sees the trash: %v", rows)
	}
	_, err = frame.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"), VersionId: &first})
	want(t, "read-only, of the trash", code(err), "404 NoSuchVersion")
	_, err = w.client("SBOTHER", secretKey).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"), VersionId: &first})
	want(t, "another's", code(err), "404 NoSuchBucket")
}

// Whatever the size of its pages, a listing of versions is the same: what is there and what is
// in the trash are merged from two listings, each with an end of its own.
func TestVersionsInPages(t *testing.T) {
	w := newWorld(t, config{})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 120 {
		key := fmt.Sprintf("photos/%c/%c%c", 'a'+r.IntN(3), 'a'+r.IntN(4), 'a'+r.IntN(2))
		if r.IntN(4) == 0 {
			key = fmt.Sprintf("photos/%c%c", 'a'+r.IntN(3), 'x'+r.IntN(3))
		}
		if r.IntN(3) == 0 {
			err := w.lib.Delete(t.Context(), backend.Key(key), &backend.DeleteOptions{Prune: true})
			if err != nil && !errors.Is(err, backend.ErrNotExist) && !errors.Is(err, backend.ErrParent) {
				t.Fatal(err)
			}
			continue
		}
		if _, _, err := w.lib.Put(t.Context(), backend.Key(key), strings.NewReader(fmt.Sprint(i)), -1, &backend.PutOptions{MakeParents: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.lib.Delete(t.Context(), "photos/b", nil); err != nil { // a whole collection
		t.Fatal(err)
	}
	list := func(max int32, prefix, delimiter string) []string {
		rows, ids := w.history(max, func(in *s3.ListObjectVersionsInput) { in.Prefix, in.Delimiter = &prefix, &delimiter })
		for i := range rows {
			rows[i] += " " + ids[i]
		}
		slices.Sort(rows)
		return rows
	}
	for _, of := range [][2]string{{"", ""}, {"", "/"}, {"a/", "/"}, {"b", ""}, {"", "b"}} {
		whole := list(1000, of[0], of[1])
		if len(whole) == 0 {
			t.Errorf("prefix %q: nothing is listed", of[0])
		}
		for _, max := range []int32{1, 2, 3, 7} {
			want(t, fmt.Sprintf("prefix and delimiter %q in pages of %d", of, max), list(max, of[0], of[1]), whole)
		}
	}
}

// A whole collection, deleted by WebDAV or on the page, has no marker of its own to take
// away.
func TestVersionsOfDeletedCollection(t *testing.T) {
	w := newWorld(t, config{})
	id := *w.put("dir/sub/a", "x").VersionId
	if err := w.lib.Delete(t.Context(), "photos/dir", nil); err != nil {
		t.Fatal(err)
	}
	rows, ids := w.history(10)
	want(t, "rows", rows, "[dir/sub/a 1 dir/sub/a X*]")
	want(t, "get", w.getVersion("dir/sub/a", id), "x")
	want(t, "its marker", w.remove("dir/sub/a", ids[1]), "403 AccessDenied")
}
