package s3api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestBuckets(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		create := func(name string) error {
			_, err := w.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
			return err
		}
		want(t, "create", code(create("slides")), "")
		want(t, "create again", code(create("slides")), "409 BucketAlreadyOwnedByYou")
		want(t, "create a bad name", code(create("Bad_Name")), "400 InvalidBucketName")
		out, err := w.s3.ListBuckets(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, b := range out.Buckets {
			names = append(names, *b.Name)
			if b.CreationDate == nil || time.Since(*b.CreationDate) > time.Hour {
				t.Errorf("bucket %s was created %v", *b.Name, b.CreationDate)
			}
		}
		want(t, "buckets", names, "[photos slides]")
		head := func(name string) error {
			_, err := w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
			return err
		}
		want(t, "head", code(head("slides")), "")
		want(t, "head none", code(head("none")), "404 NotFound")
		w.put("a", "x")
		remove := func(name string) error {
			_, err := w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
			return err
		}
		want(t, "delete full", code(remove("photos")), "409 BucketNotEmpty")
		want(t, "delete", code(remove("slides")), "")
		want(t, "delete none", code(remove("slides")), "404 NoSuchBucket")
		loc, err := w.s3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("photos")})
		want(t, "location", code(err), "")
		want(t, "location", loc.LocationConstraint, "")
		v, err := w.s3.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: aws.String("photos")})
		want(t, "versioning", code(err), "")
		want(t, "versioning", v.Status, "")
		acl, err := w.s3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: aws.String("photos")})
		want(t, "acl", code(err), "")
		want(t, "acl", *acl.Owner.ID+" "+string(acl.Grants[0].Permission), uid+" FULL_CONTROL")
		_, err = w.s3.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String("photos")})
		want(t, "policy", code(err), "404 NoSuchBucketPolicy")
	})
}

func TestObjects(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		data := string(random(300_000))
		mod := time.Date(2019, 5, 4, 3, 2, 1, 987654321, time.UTC)
		put := w.put("2019/Été & co/IMG (1) +50%.jpg", data, func(in *s3.PutObjectInput) {
			in.ContentType = aws.String("image/jpeg")
			in.CacheControl = aws.String("max-age=60")
			in.ContentDisposition = aws.String("attachment")
			in.ContentEncoding = aws.String("gzip")
			in.ContentLanguage = aws.String("eo")
			in.Metadata = map[string]string{"album": "summer", "mtime": "1556938921.987654321"}
		})
		want(t, "ETag", *put.ETag, `"`+md5Hex([]byte(data))+`"`)
		if put.ChecksumCRC32 == nil {
			t.Error("no checksum came back")
		}
		want(t, "content", w.get("2019/Été & co/IMG (1) +50%.jpg") == data, true)

		head, err := w.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: aws.String("2019/Été & co/IMG (1) +50%.jpg"), ChecksumMode: "ENABLED"})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "head", fmt.Sprint(*head.ContentLength, *head.ContentType, *head.CacheControl, *head.ContentDisposition, *head.ContentEncoding, *head.ContentLanguage, head.Metadata),
			"300000image/jpegmax-age=60attachmentgzipeomap[album:summer mtime:1556938921.987654321]")
		want(t, "Last-Modified", head.LastModified.Equal(mod.Truncate(time.Second)), true)
		want(t, "checksum", aws.ToString(head.ChecksumCRC32), *put.ChecksumCRC32)
		e, err := w.lib.Stat(ctx, "photos/2019/Été & co/IMG (1) +50%.jpg")
		if err != nil || !e.Modified.Equal(mod.Truncate(time.Millisecond)) {
			t.Errorf("got entry %+v, %v", e, err)
		}

		w.put("zero", "")
		want(t, "zero", w.get("zero"), "")
		_, err = w.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("none")})
		want(t, "get none", code(err), "404 NoSuchKey")
		_, err = w.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("none"), Key: aws.String("none")})
		want(t, "get from no bucket", code(err), "404 NoSuchBucket")
		_, err = w.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: aws.String("2019")})
		want(t, "a collection without its slash", code(err), "404 NotFound")
		_, err = w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("none"), Key: aws.String("a"), Body: strings.NewReader("x")})
		want(t, "put into no bucket", code(err), "404 NoSuchBucket")
		_, err = w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("zero/below"), Body: strings.NewReader("x")})
		want(t, "put below a file", code(err), "409 InvalidRequest")
		_, err = w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("2019"), Body: strings.NewReader("x")})
		want(t, "put over a collection", code(err), "409 InvalidRequest")

		want(t, "keys", w.list(), "[2019/Été & co/IMG (1) +50%.jpg zero]")
		remove := func(key string) error {
			_, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: &key})
			return err
		}
		want(t, "delete", code(remove("2019/Été & co/IMG (1) +50%.jpg")), "")
		want(t, "delete again", code(remove("2019/Été & co/IMG (1) +50%.jpg")), "")
		want(t, "delete below a file", code(remove("zero/x")), "")
		want(t, "keys", w.list(), "[zero]")
	})
}

func TestRanges(t *testing.T) {
	w := newWorld(t, config{})
	const text = "0123456789"
	w.put("ten", text)
	w.put("zero", "")
	for _, tt := range []struct {
		key, header, body string
		status            int
		contentRange      string
	}{
		{"ten", "", text, 200, ""},
		{"ten", "bytes=2-4", "234", 206, "bytes 2-4/10"},
		{"ten", "bytes=7-", "789", 206, "bytes 7-9/10"},
		{"ten", "bytes=7-100", "789", 206, "bytes 7-9/10"},
		{"ten", "bytes=-3", "789", 206, "bytes 7-9/10"},
		{"ten", "bytes=-100", text, 206, "bytes 0-9/10"},
		{"ten", "bytes=10-", "", 416, "bytes */10"},
		{"ten", "bytes=-0", "", 416, "bytes */10"},
		{"ten", "bytes=4-2", text, 200, ""},
		{"ten", "bytes=a-b", text, 200, ""},
		{"ten", "bytes=0-1,3-4", text, 200, ""},
		{"ten", "lines=0-1", text, 200, ""},
		{"zero", "bytes=0-", "", 416, "bytes */0"},
		{"zero", "bytes=-1", "", 416, "bytes */0"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp, body := w.do(method, "/photos/"+tt.key, "", "Range", tt.header)
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Range") != tt.contentRange {
				t.Errorf("%s %s: got %s, %q, want %d, %q", method, tt.header, resp.Status, resp.Header.Get("Content-Range"), tt.status, tt.contentRange)
			}
			if tt.status != 416 && (method == "GET" && body != tt.body || resp.ContentLength != int64(len(tt.body))) {
				t.Errorf("%s %s: got %q, length %d, want %q", method, tt.header, body, resp.ContentLength, tt.body)
			}
		}
	}
	resp, body := w.do("GET", "/photos/ten", "", "Range", "bytes=2-4", "If-Range", `"`+md5Hex([]byte(text))+`"`)
	want(t, "If-Range", resp.Status+body, "206 Partial Content234")
	resp, body = w.do("GET", "/photos/ten", "", "Range", "bytes=2-4", "If-Range", `"x"`)
	want(t, "If-Range of other content", resp.Status+body, "200 OK"+text)
	resp, body = w.do("GET", "/photos/ten?partNumber=1", "")
	want(t, "partNumber", resp.Status+body, "206 Partial Content"+text)
	resp, _ = w.do("GET", "/photos/ten?partNumber=2", "")
	want(t, "partNumber", resp.Status, "416 Requested Range Not Satisfiable")
}

func TestConditions(t *testing.T) {
	w := newWorld(t, config{})
	etag := *w.put("a", "x", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"mtime": "1000000000"} }).ETag
	at := func(d time.Duration) string { return time.Unix(1000000000, 0).Add(d).UTC().Format(http.TimeFormat) }
	for _, tt := range []struct {
		headers []string
		status  int
	}{
		{[]string{"If-Match", etag}, 200},
		{[]string{"If-Match", strings.Trim(etag, `"`)}, 200},
		{[]string{"If-Match", `"x", ` + etag}, 200},
		{[]string{"If-Match", "*"}, 200},
		{[]string{"If-Match", `"x"`}, 412},
		{[]string{"If-None-Match", etag}, 304},
		{[]string{"If-None-Match", `W/` + etag}, 304},
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", `"x"`}, 200},
		{[]string{"If-Modified-Since", at(0)}, 304},
		{[]string{"If-Modified-Since", at(-time.Second)}, 200},
		{[]string{"If-Unmodified-Since", at(0)}, 200},
		{[]string{"If-Unmodified-Since", at(-time.Second)}, 412},
		// RFC 9110 §13.2.2: the entity tag decides where there are both.
		{[]string{"If-Match", etag, "If-Unmodified-Since", at(-time.Second)}, 200},
		{[]string{"If-None-Match", `"x"`, "If-Modified-Since", at(0)}, 200},
		{[]string{"If-Modified-Since", "yesterday"}, 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp, body := w.do(method, "/photos/a", "", tt.headers...)
			if resp.StatusCode != tt.status {
				t.Errorf("%s %v: got %s, want %d", method, tt.headers, resp.Status, tt.status)
			}
			if tt.status == 304 && (body != "" || resp.Header.Get("ETag") != etag) {
				t.Errorf("%s %v: got %q, ETag %s", method, tt.headers, body, resp.Header.Get("ETag"))
			}
		}
	}

	ctx := t.Context()
	put := func(key string, match, noneMatch *string) string {
		_, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: &key, Body: strings.NewReader("y"), IfMatch: match, IfNoneMatch: noneMatch})
		return code(err)
	}
	want(t, "put over what is there", put("a", nil, aws.String("*")), "412 PreconditionFailed")
	want(t, "put over other content", put("a", aws.String(`"x"`), nil), "412 PreconditionFailed")
	want(t, "content", w.get("a"), "x")
	want(t, "put over this", put("a", &etag, nil), "")
	want(t, "put new", put("b", nil, aws.String("*")), "")
	want(t, "put over nothing", put("c", &etag, nil), "404 NoSuchKey")
	_, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"), IfMatch: &etag})
	want(t, "delete other content", code(err), "412 PreconditionFailed")
	want(t, "keys", w.list(), "[a b]")
}

func TestOverrides(t *testing.T) {
	w := newWorld(t, config{})
	w.put("a", "x")
	u, err := s3.NewPresignClient(w.s3).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"),
		ResponseContentType: aws.String("text/plain"), ResponseContentDisposition: aws.String(`attachment; filename="b"`), ResponseCacheControl: aws.String("no-store")})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.srv.Client().Get(u.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want(t, "headers", resp.Header.Get("Content-Type")+resp.Header.Get("Content-Disposition")+resp.Header.Get("Cache-Control"), `text/plainattachment; filename="b"no-store`)
	want(t, "sandbox", strings.HasSuffix(resp.Header.Get("Content-Security-Policy"), "; sandbox"), true)
	for name := range resp.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Server" {
			t.Errorf("header %s", name)
		}
	}
}

func TestCollections(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.put("album/", "")
		want(t, "keys", w.list(), "[album/]")
		want(t, "content", w.get("album/"), "")
		if e, err := w.lib.Stat(ctx, "photos/album"); err != nil || !e.Dir {
			t.Errorf("got %+v, %v", e, err)
		}
		w.put("album/", "") // again
		_, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("b/"), Body: strings.NewReader("x")})
		want(t, "a collection with content", code(err), "400 InvalidArgument")
		w.put("album/a", "x")
		want(t, "keys", w.list(), "[album/a]")
		want(t, "content", w.get("album/"), "")
		_, err = w.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: aws.String("album/a/")})
		want(t, "a file with a slash", code(err), "404 NotFound")
		remove := func(key string) {
			t.Helper()
			if _, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: &key}); err != nil {
				t.Error(err)
			}
		}
		remove("album")   // is no object
		remove("album/")  // neither, as long as it has members
		remove("album/x") // there is none
		want(t, "keys", w.list(), "[album/a]")
		remove("album/a")
		remove("album/")
		want(t, "keys", w.list(), "[]")
	})
}

// Keys that can not be a path are refused, and nothing is made.
func TestKeys(t *testing.T) {
	w := newWorld(t, config{})
	for _, key := range []string{"a//b", "/a", "a/../b", "..", "./a", "a/.", "a\x00b", "a\xff", strings.Repeat("a", 256), strings.Repeat("a/", 512) + "b", strings.Repeat("abcdefgh/", 114), "a//"} {
		resp, body := w.do("PUT", "/photos/"+key, "x")
		if resp.StatusCode != 400 || !strings.Contains(body, "<Message>") {
			t.Errorf("PUT %q: got %s %s", key, resp.Status, body)
		}
		if resp, _ := w.do("GET", "/photos/"+key, ""); resp.StatusCode != 400 {
			t.Errorf("GET %q: got %s", key, resp.Status)
		}
	}
	odd := []string{"a b", "a+b", "a%20b", "a&b=c?d#e", "a;b", "tab\tnew\nline", "日本語", "e\u0301", "~!@$^*()_-{}[]|\\:'\"<>,.", strings.Repeat("ü", 127)}
	for _, key := range odd {
		w.put(key, key)
	}
	for _, key := range odd {
		want(t, key, w.get(key), key)
	}
	out, err := w.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("photos"), EncodingType: "url"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range out.Contents {
		key, err := urlDecode(*o.Key)
		if err != nil {
			t.Error(err)
		}
		got = append(got, key)
	}
	slices.Sort(odd)
	slices.Sort(got) // they are listed by their normal form, as they are matched
	want(t, "keys", fmt.Sprintf("%q", got), fmt.Sprintf("%q", odd))
}

func TestCopy(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		etag := *w.put("from é+", "hello", func(in *s3.PutObjectInput) {
			in.ContentType = aws.String("image/png")
			in.Metadata = map[string]string{"a": "1", "mtime": "1000000000.5"}
		}).ETag
		copyTo := func(key string, edit func(*s3.CopyObjectInput)) (*s3.CopyObjectOutput, string) {
			in := &s3.CopyObjectInput{Bucket: aws.String("photos"), Key: &key, CopySource: aws.String("photos/from%20%C3%A9%2B")}
			if edit != nil {
				edit(in)
			}
			out, err := w.s3.CopyObject(ctx, in)
			return out, code(err)
		}
		head := func(key string) string {
			h, err := w.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: &key})
			if err != nil {
				return code(err)
			}
			return fmt.Sprint(*h.ContentType, " ", h.Metadata, " ", h.LastModified.Unix())
		}
		out, c := copyTo("new/to", nil)
		want(t, "copy", c, "")
		want(t, "copy", *out.CopyObjectResult.ETag, etag)
		want(t, "head", head("new/to"), "image/png map[a:1 mtime:1000000000.5] 1000000000")
		want(t, "content", w.get("new/to"), "hello")
		_, c = copyTo("new/to", func(in *s3.CopyObjectInput) {
			in.MetadataDirective, in.Metadata, in.ContentType = "REPLACE", map[string]string{"b": "2", "mtime": "1000000001"}, aws.String("text/x")
		})
		want(t, "replace", c, "")
		want(t, "head", head("new/to"), "text/x map[b:2 mtime:1000000001] 1000000001")
		_, c = copyTo("from é+", nil)
		want(t, "onto itself", c, "400 InvalidRequest")
		_, c = copyTo("from é+", func(in *s3.CopyObjectInput) {
			in.MetadataDirective, in.Metadata = "REPLACE", map[string]string{"b": "2"}
		})
		want(t, "onto itself, replacing", c, "")
		want(t, "content", w.get("from é+"), "hello")
		_, c = copyTo("x", func(in *s3.CopyObjectInput) { in.CopySourceIfMatch = aws.String(`"x"`) })
		want(t, "other source", c, "412 PreconditionFailed")
		_, c = copyTo("x", func(in *s3.CopyObjectInput) { in.CopySourceIfNoneMatch = &etag })
		want(t, "same source", c, "412 PreconditionFailed")
		_, c = copyTo("x", func(in *s3.CopyObjectInput) { in.CopySource = aws.String("photos/none") })
		want(t, "no source", c, "404 NoSuchKey")
		_, c = copyTo("x", func(in *s3.CopyObjectInput) { in.CopySource = aws.String("none/none") })
		want(t, "no source bucket", c, "404 NoSuchBucket")
		_, c = copyTo("x", func(in *s3.CopyObjectInput) { in.CopySource = aws.String("photos") })
		want(t, "no key", c, "400 InvalidArgument")
		_, c = copyTo("x/", nil)
		want(t, "file to collection", c, "400 InvalidArgument")
		want(t, "keys", w.list(), "[from é+ new/to]")
	})
}

// Whatever their order in one request, collections go after what is in them.
func TestDeleteObjectsWithCollections(t *testing.T) {
	w := newWorld(t, config{})
	keys := []string{"dir/", "dir/sub/", "dir/sub/a", "dir/z", "other/", "other/kept"}
	for _, k := range keys {
		w.put(k, map[bool]string{false: "x"}[strings.HasSuffix(k, "/")])
	}
	out, err := w.s3.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("photos"), Delete: deletion(keys[:5]...)})
	if err != nil || len(out.Errors) > 0 {
		t.Fatal(out, err)
	}
	var told []string
	for _, d := range out.Deleted {
		told = append(told, *d.Key)
	}
	want(t, "told in the order asked", told, keys[:5])
	want(t, "keys", w.list(), "[other/kept]")
}

func TestDeleteObjects(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, k := range []string{"a", "b/c", "d é&<"} {
			w.put(k, "x")
		}
		w.put("kept", "x")
		in := &s3.DeleteObjectsInput{Bucket: aws.String("photos"), Delete: deletion("a", "b/c", "d é&<", "none", "a//b")}
		out, err := w.s3.DeleteObjects(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "deleted", len(out.Deleted), 4)
		if len(out.Errors) != 1 || *out.Errors[0].Key != "a//b" || *out.Errors[0].Code != "InvalidArgument" {
			t.Errorf("got errors %+v", out.Errors)
		}
		in.Delete = deletion("kept")
		in.Delete.Objects[0].VersionId = aws.String("another")
		in.Delete.Quiet = aws.Bool(true)
		out, err = w.s3.DeleteObjects(t.Context(), in)
		if err != nil || len(out.Deleted) != 0 || len(out.Errors) != 1 {
			t.Errorf("another version: got %+v, %v", out, err)
		}
		want(t, "keys", w.list(), "[kept]")
		in.Delete = deletion(make([]string, 1001)...)
		_, err = w.s3.DeleteObjects(t.Context(), in)
		want(t, "too many", code(err), "400 MalformedXML")
		resp, body := w.do("POST", "/photos?delete", "<Delete><Object><Key>kept</Key></Object></Delete>")
		want(t, "without a checksum", resp.Status, "400 Bad Request")
		if !strings.Contains(body, "<Code>InvalidRequest</Code>") {
			t.Error(body)
		}
		want(t, "keys", w.list(), "[kept]")
	})
}
