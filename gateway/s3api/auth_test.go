package s3api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/s3api"
)

func TestSignatures(t *testing.T) {
	var ahead atomic.Int64 // of our clock
	w := newWorld(t, config{opt: s3api.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}})
	w.put("a", "x")
	w.put("b", "y")
	now := time.Now()
	empty := hexSHA256("")
	get := func(edit func(*http.Request)) string {
		r := w.request("GET", "/photos/a", "")
		edit(r)
		return refusal(w.send(r))
	}
	resign := func(secret string, at time.Time) func(*http.Request) {
		return func(r *http.Request) { r.Header.Del("Authorization"); w.sign(r, secret, empty, at) }
	}
	want(t, "good", get(func(*http.Request) {}), "200")
	w.keys.failed = nil
	want(t, "wrong secret", get(resign("wrong", now)), "403 SignatureDoesNotMatch")
	want(t, "slow clock", get(resign(secretKey, now.Add(-20*time.Minute))), "403 RequestTimeTooSkewed")
	want(t, "fast clock", get(resign(secretKey, now.Add(20*time.Minute))), "403 RequestTimeTooSkewed")
	want(t, "unsigned", get(func(r *http.Request) { r.Header.Del("Authorization") }), "403 AccessDenied")
	want(t, "tampered", get(func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/photos/b", "" }), "403 SignatureDoesNotMatch")
	want(t, "unknown key", get(func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SBOWNER", "SBNOBODY", 1))
	}), "403 InvalidAccessKeyId")
	want(t, "failures counted", fmt.Sprint(w.keys.failed), "[s3 OWNER bad-secret s3 OWNER bad-secret s3  unknown]")
	w.keys.wait = time.Minute
	want(t, "too many failures", get(resign("wrong", now)), "429 SlowDown")
	want(t, "a good one is not slowed down", get(func(*http.Request) {}), "200")
	w.keys.refusal = account.ErrRevoked
	want(t, "revoked, wrong secret", get(resign("wrong", now)), "429 SlowDown")
	w.keys.wait = 0
	want(t, "revoked, wrong secret", get(resign("wrong", now)), "403 SignatureDoesNotMatch")
	want(t, "revoked", get(func(*http.Request) {}), "403 AccessDenied")
	w.keys.refusal = nil

	presign := func(d time.Duration) string {
		u, err := s3.NewPresignClient(w.s3).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("a")}, s3.WithPresignExpires(d))
		if err != nil {
			t.Fatal(err)
		}
		return u.URL
	}
	fetch := func(u string) string {
		r, err := http.NewRequest("GET", u, nil)
		if err != nil {
			t.Fatal(err)
		}
		return refusal(w.send(r))
	}
	want(t, "presigned", fetch(presign(time.Minute)), "200")
	want(t, "presigned for another", fetch(strings.Replace(presign(time.Minute), "/a?", "/b?", 1)), "403 SignatureDoesNotMatch")
	want(t, "presigned and a sub-resource", fetch(presign(time.Minute)+"&acl"), "403 SignatureDoesNotMatch")
	u := presign(time.Hour)
	ahead.Store(int64(59 * time.Minute))
	want(t, "presigned, within its life", fetch(u), "200")
	ahead.Store(int64(61 * time.Minute))
	want(t, "presigned and expired", fetch(u), "403 AccessDenied")
	ahead.Store(int64(-16 * time.Minute))
	want(t, "presigned, not valid yet", fetch(u), "403 AccessDenied")
	week := presign(7 * 24 * time.Hour)
	ahead.Store(int64(23 * time.Hour))
	want(t, "presigned for a week, within the cap", fetch(week), "200")
	ahead.Store(int64(25 * time.Hour))
	want(t, "presigned for a week, after the cap", fetch(week), "403 AccessDenied")
}

// TestPresignedPut sends the SDK's own presigned upload.
func TestPresignedPut(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		u, err := s3.NewPresignClient(w.s3).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("up"), Metadata: map[string]string{"album": "x"}},
			func(o *s3.PresignOptions) {
				o.ClientOptions = append(o.ClientOptions, func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
			})
		if err != nil {
			t.Fatal(err)
		}
		put := func(edit func(*http.Request)) string {
			r, err := http.NewRequest(u.Method, u.URL, strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range u.SignedHeader {
				if name != "Host" && name != "Content-Length" {
					r.Header[name] = values
				}
			}
			edit(r)
			return refusal(w.send(r))
		}
		want(t, "put", put(func(*http.Request) {}), "200")
		want(t, "content", w.get("up"), "hello")
		want(t, "turned into a copy", put(func(r *http.Request) { r.Header.Set("X-Amz-Copy-Source", "/photos/up") }), "403 AccessDenied")
		h, err := w.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: aws.String("up")})
		if err != nil || h.Metadata["album"] != "x" {
			t.Errorf("got %v, %v", h, err)
		}
	})
}

// TestAccess is what narrower app passwords, and others, may do.
func TestAccess(t *testing.T) {
	w := newWorld(t, config{})
	w.put("a", "x")
	ctx := t.Context()
	try := func(id string) string {
		c := w.client(id, secretKey)
		var codes []string
		_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("a")})
		codes = append(codes, code(err))
		_, err = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("photos")})
		codes = append(codes, code(err))
		_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("by-" + strings.ToLower(id)), Body: strings.NewReader("x")})
		codes = append(codes, code(err))
		_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"), Body: strings.NewReader("y")})
		codes = append(codes, code(err))
		_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: aws.String("a")})
		codes = append(codes, code(err))
		return strings.Join(codes, ", ")
	}
	phone := *w
	phone.s3 = w.client("SBPHONE", secretKey)
	u := phone.upload("dir/video")
	p := u.part(1, []byte("x"), "")
	_, c := u.complete(named(1, p.ETag))
	want(t, "upload-only, in parts", c, "")
	u = phone.upload("dir/video2")
	p = u.part(1, []byte("x"), "")
	w.put("dir/video2", "there already")
	_, c = u.complete(named(1, p.ETag))
	want(t, "upload-only, over what is there", c, "403 AccessDenied")
	want(t, "read-only", try("SBREADER"), ", , 403 AccessDenied, 403 AccessDenied, 403 AccessDenied")
	want(t, "upload-only", try("SBPHONE"), "403 AccessDenied, 403 AccessDenied, , 403 AccessDenied, 403 AccessDenied")
	want(t, "another user", try("SBOTHER"), "404 NoSuchBucket, 404 NoSuchBucket, 404 NoSuchBucket, 404 NoSuchBucket, 404 NoSuchBucket")
	want(t, "keys", w.list(), "[a by-sbphone dir/video dir/video2]")
	want(t, "content", w.get("a"), "x")
}

// TestDomains reaches a bucket by its host name.
func TestDomains(t *testing.T) {
	w := newWorld(t, config{opt: s3api.Options{Domains: []string{"s3.example.org"}}})
	w.put("dir/a", "hello")
	r := w.request("GET", "/dir/a", "")
	r.Host = "photos.S3.example.org:9000"
	r.Header.Del("Authorization")
	w.sign(r, secretKey, hexSHA256(""), time.Now())
	resp, body := w.send(r)
	want(t, "get", resp.Status+body, "200 OKhello")
}

// A password for one collection sees and changes nothing outside of it.
func TestNarrowAccess(t *testing.T) {
	w := newWorld(t, config{})
	for _, k := range []string{"2023/a", "2024/b", "c"} {
		w.put(k, k)
	}
	e, err := w.lib.Stat(t.Context(), "photos/2024")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.lib.Mkdir(t.Context(), "slides", nil); err != nil {
		t.Fatal(err)
	}
	w.keys.principals["SBFRAME"] = &auth.Principal{UID: uid, Login: "ana", Key: "FRAME", Access: backend.Access{Root: e.Ino}}
	c := w.client("SBFRAME", secretKey)
	ctx := t.Context()
	buckets, err := c.ListBuckets(ctx, nil)
	if err != nil || len(buckets.Buckets) != 1 {
		t.Errorf("got buckets %+v, %v", buckets, err)
	}
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("photos")})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != "2024/b" {
		t.Errorf("got keys %+v, %v", list, err)
	}
	for _, key := range []string{"2023/a", "c", "new"} {
		_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("photos"), Key: &key})
		if err == nil {
			t.Errorf("%s can be read", key)
		}
		_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: &key, Body: strings.NewReader("x")})
		want(t, key, code(err), "403 AccessDenied")
		_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("photos"), Key: aws.String("2024/x"), CopySource: aws.String("photos/" + key)})
		if err == nil {
			t.Errorf("%s can be copied", key)
		}
		_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: &key})
		want(t, key, code(err), "403 AccessDenied")
		_, err = c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: &key})
		want(t, key, code(err), "403 AccessDenied")
	}
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("2024/new"), Body: strings.NewReader("x")})
	want(t, "within", code(err), "")
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("another")})
	want(t, "a bucket", code(err), "403 AccessDenied")
	want(t, "keys", w.list(), "[2023/a 2024/b 2024/new c]")
}

// Scripts of other origins are let in if they are configured, and else not.
func TestCORS(t *testing.T) {
	w := newWorld(t, config{opt: s3api.Options{Origins: []string{"https://app.example"}}})
	w.put("a", "x")
	for _, tt := range []struct {
		method, origin string
		status         int
		allowed        string
	}{
		{"OPTIONS", "https://app.example", 200, "https://app.example"},
		{"OPTIONS", "https://evil.example", 403, ""},
		{"OPTIONS", "", 403, ""},
		{"GET", "https://app.example", 200, "https://app.example"},
		{"GET", "https://evil.example", 200, ""},
		{"GET", "", 200, ""},
	} {
		r := w.request(tt.method, "/photos/a", "", "Origin", tt.origin)
		if tt.method == "OPTIONS" {
			r.Header.Del("Authorization")
			r.Header.Set("Access-Control-Request-Method", "PUT")
			r.Header.Set("Access-Control-Request-Headers", "content-type,x-amz-meta-a")
		}
		resp, _ := w.send(r)
		if resp.StatusCode != tt.status || resp.Header.Get("Access-Control-Allow-Origin") != tt.allowed || !strings.Contains(resp.Header.Get("Vary"), "Origin") {
			t.Errorf("%s from %q: got %s, %v", tt.method, tt.origin, resp.Status, resp.Header)
		}
		if tt.method == "OPTIONS" && tt.status == 200 && resp.Header.Get("Access-Control-Allow-Headers") != "content-type,x-amz-meta-a" {
			t.Errorf("got %v", resp.Header)
		}
	}
}
