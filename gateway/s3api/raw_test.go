package s3api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsv4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/s3api"
)

func urlDecode(s string) (string, error) { return url.QueryUnescape(s) }

func deletion(keys ...string) *types.Delete {
	d := &types.Delete{}
	for _, k := range keys {
		if k == "" {
			k = "kept"
		}
		d.Objects = append(d.Objects, types.ObjectIdentifier{Key: aws.String(k)})
	}
	return d
}

func hexSHA256(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// request is a signed request for a path (decoded, but for its query), whose
// payload hash is that of body unless a header says otherwise.
func (w *world) request(method, path, body string, headers ...string) *http.Request {
	w.t.Helper()
	p, q, _ := strings.Cut(path, "?")
	if strings.HasPrefix(path, "?") || !strings.Contains(path, "?") {
		p, q = path, ""
	}
	u, err := url.Parse(w.srv.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	u.Path, u.RawQuery = p, q
	u.RawPath = strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(p))
	r, err := http.NewRequestWithContext(w.t.Context(), method, u.String(), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		hash = hexSHA256(body)
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	w.sign(r, secretKey, hash, time.Now())
	return r
}

func (w *world) sign(r *http.Request, secret, hash string, now time.Time) {
	w.t.Helper()
	err := awsv4.NewSigner(func(o *awsv4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(context.Background(),
		aws.Credentials{AccessKeyID: "SBOWNER", SecretAccessKey: secret}, r, hash, "s3", "auto", now)
	if err != nil {
		w.t.Fatal(err)
	}
}

// send does a request and reads the answer.
func (w *world) send(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	resp, err := w.srv.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(b)
}

func (w *world) do(method, path, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	return w.send(w.request(method, path, body, headers...))
}

// refusal is status and code of an answer.
func refusal(resp *http.Response, body string) string {
	var doc struct{ Code, Message, Resource, RequestID string }
	if resp.StatusCode < 400 {
		return fmt.Sprint(resp.StatusCode)
	}
	xml.Unmarshal([]byte(strings.ReplaceAll(body, "RequestId", "RequestID")), &doc)
	if doc.Message == "" || doc.Resource == "" || doc.RequestID != resp.Header.Get("X-Amz-Request-Id") || doc.RequestID == "" {
		return fmt.Sprintf("%d with an incomplete document %s", resp.StatusCode, body)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, doc.Code)
}

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

// Every sub-resource of the S3 API with every method: what is not an operation of
// ours is refused and changes nothing.
func TestSubresources(t *testing.T) {
	w := newWorld(t, config{})
	w.put("dir/a", "content")
	done := map[string]bool{ // what is answered otherwise than by 501
		"GET bucket location": true, "GET bucket acl": true, "GET bucket logging": true, "GET bucket notification": true, "GET bucket accelerate": true,
		"GET bucket requestPayment": true, "GET bucket policyStatus": true, "GET bucket policy": true, "GET bucket cors": true, "GET bucket lifecycle": true,
		"GET bucket encryption": true, "GET bucket object-lock": true, "GET bucket website": true, "GET bucket publicAccessBlock": true,
		"GET bucket ownershipControls": true, "GET bucket replication": true, "GET bucket tagging": true,
		"GET bucket versioning": true, "GET bucket versions": true, "GET bucket uploads": true, "POST bucket delete": true, "GET bucket list-type": true,
		"GET object tagging": true, "PUT object tagging": true, "DELETE object tagging": true, "GET object acl": true, "GET object attributes": true, "GET object legal-hold": true, "GET object retention": true,
		"GET object uploadId": true, "PUT object uploadId": true, "POST object uploadId": true, "DELETE object uploadId": true, "POST object uploads": true,
		"GET object versionId": true, "HEAD object versionId": true, "DELETE object versionId": true,
		"GET object partNumber": true, "HEAD object partNumber": true, "GET service prefix": true, "GET bucket prefix": true,
	}
	subresources := strings.Fields(`accelerate acl analytics append attributes cors delete encryption intelligent-tiering inventory legal-hold lifecycle
		list-type location logging metadataConfiguration metadataInventoryTable metadataTable metadataJournalTable metrics notification object-lock
		ownershipControls partNumber policy policyStatus prefix publicAccessBlock renameObject replication requestPayment restore retention select
		select-type session tagging torrent uploadId uploads versionId versioning versions website abac encryption-customer ?`)
	for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
		for place, path := range map[string]string{"service": "/", "bucket": "/photos", "object": "/photos/dir/a"} {
			for _, sub := range subresources {
				name := method + " " + place + " " + sub
				resp, body := w.do(method, path+"?"+url.QueryEscape(sub)+"=1", "")
				got := resp.StatusCode
				if done[name] {
					if got == 501 || got >= 500 {
						t.Errorf("%s: got %s %s", name, resp.Status, body)
					}
					continue
				}
				if got != 501 && got != 405 {
					t.Errorf("%s: got %s %s", name, resp.Status, body)
				}
			}
		}
	}
	for _, sub := range []string{"uploadId=x&uploads", "tagging&acl", "versionId=null&tagging=", "partNumber=1&x=2", "partNumber=1&uploads"} {
		if resp, body := w.do("PUT", "/photos/dir/a?"+sub, "other"); resp.StatusCode < 400 {
			t.Errorf("PUT ?%s: got %s %s", sub, resp.Status, body)
		}
	}
	for _, header := range []string{"X-Amz-Write-Offset-Bytes", "X-Amz-Server-Side-Encryption-Customer-Key", "X-Amz-Object-Lock-Mode", "X-Amz-Website-Redirect-Location", "X-Amz-Grant-Read", "X-Amz-Rename-Source"} {
		if resp, body := w.do("PUT", "/photos/dir/a", "other", header, "1"); resp.StatusCode < 400 {
			t.Errorf("PUT with %s: got %s %s", header, resp.Status, body)
		}
	}
	for _, method := range []string{"PATCH", "LOCK", "TRACE", "OPTIONS"} {
		if resp, body := w.do(method, "/photos/dir/a", ""); resp.StatusCode < 400 {
			t.Errorf("%s: got %s %s", method, resp.Status, body)
		}
	}
	resp, body := w.do("DELETE", "/photos", "", "X-Minio-Force-Delete", "true")
	want(t, "forced deletion", refusal(resp, body), "409 BucketNotEmpty")
	want(t, "keys", w.list(), "[dir/a]")
	want(t, "content", w.get("dir/a"), "content")
}

// A body that fails in any way is not stored, and what was there stays.
func TestBadBodies(t *testing.T) {
	w := newWorld(t, config{})
	w.put("a", "before")
	for _, tt := range []struct {
		name, body, want string
		headers          []string
	}{
		{"hash", "after", "400 XAmzContentSHA256Mismatch", []string{"X-Amz-Content-Sha256", hexSHA256("other")}},
		{"hash of an empty body", "", "400 XAmzContentSHA256Mismatch", []string{"X-Amz-Content-Sha256", hexSHA256("other")}},
		{"MD5", "after", "400 BadDigest", []string{"Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA=="}},
		{"malformed MD5", "after", "400 InvalidDigest", []string{"Content-Md5", "AAAA"}},
		{"CRC32", "after", "400 BadDigest", []string{"X-Amz-Checksum-Crc32", "AAAAAA=="}},
		{"no decoded length", "5\r\nafter\r\n0\r\n\r\n", "411 MissingContentLength", []string{"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}},
		{"chunk too short", "5\r\nafter\r\n0\r\n\r\n", "400 IncompleteBody", []string{"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length", "6"}},
		{"wrong trailer", "5\r\nafter\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "400 BadDigest", []string{"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length", "5", "X-Amz-Trailer", "x-amz-checksum-crc32"}},
		{"unsigned chunk", "5\r\nafter\r\n0\r\n\r\n", "403 SignatureDoesNotMatch", []string{"X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "X-Amz-Decoded-Content-Length", "5"}},
		{"metadata", "after", "400 MetadataTooLarge", []string{"X-Amz-Meta-A", strings.Repeat("a", 2048)}},
		{"public", "after", "400 AccessControlListNotSupported", []string{"X-Amz-Acl", "public-read"}},
	} {
		resp, body := w.do("PUT", "/photos/a", tt.body, tt.headers...)
		want(t, tt.name, refusal(resp, body), tt.want)
		resp, body = w.do("PUT", "/photos/new", tt.body, tt.headers...)
		want(t, tt.name, refusal(resp, body), tt.want)
		want(t, tt.name+": keys", w.list(), "[a]")
		want(t, tt.name+": content", w.get("a"), "before")
	}
	resp, body := w.do("DELETE", "/photos/a", "5\r\nafter\r\n0\r\n\r\n", "X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length", "5")
	want(t, "chunks for a deletion", refusal(resp, body), "400 InvalidRequest")
	want(t, "keys", w.list(), "[a]")
}

// TestChunks sends what botocore does over HTTPS: chunks of HTTP and of AWS, and no
// Content-Length.
func TestChunks(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		data := random(2_500_000)
		h := crc32.NewIEEE()
		h.Write(data)
		var body bytes.Buffer
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1<<20)
			fmt.Fprintf(&body, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		sum := base64.StdEncoding.EncodeToString(h.Sum(nil))
		fmt.Fprintf(&body, "0\r\nx-amz-checksum-crc32:%s\r\n\r\n", sum)
		r := w.request("PUT", "/photos/a", "", "X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length", fmt.Sprint(len(data)),
			"X-Amz-Trailer", "x-amz-checksum-crc32", "Content-Encoding", "aws-chunked", "X-Amz-Sdk-Checksum-Algorithm", "CRC32", "Expect", "100-continue")
		r.ContentLength, r.Body = -1, io.NopCloser(&body)
		r.Header.Del("Authorization")
		w.sign(r, secretKey, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", time.Now())
		resp, answer := w.send(r)
		if resp.StatusCode != 200 || resp.Header.Get("X-Amz-Checksum-Crc32") != sum {
			t.Fatalf("got %s %v %s", resp.Status, resp.Header, answer)
		}
		want(t, "content", w.get("a") == string(data), true)
		head, err := w.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("photos"), Key: aws.String("a"), ChecksumMode: "ENABLED"})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "checksum", aws.ToString(head.ChecksumCRC32), sum)
		want(t, "encoding", aws.ToString(head.ContentEncoding), "")
	})
}

// A client that goes away in the middle of an upload changes nothing.
func TestCutUpload(t *testing.T) {
	handled := make(chan struct{}, 1)
	w := newWorld(t, config{wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if r.Header.Get("X-Amz-Meta-Cut") != "" {
					handled <- struct{}{}
				}
			}()
			h.ServeHTTP(w, r)
		})
	}})
	w.put("a", "before")
	for _, mode := range []string{"UNSIGNED-PAYLOAD", hexSHA256(strings.Repeat("x", 1<<20))} {
		for _, key := range []string{"a", "new"} {
			r := w.request("PUT", "/photos/"+key, "", "X-Amz-Content-Sha256", mode, "X-Amz-Meta-Cut", "1")
			r.ContentLength = 1 << 20
			r.Header.Del("Authorization")
			w.sign(r, secretKey, mode, time.Now())
			conn, err := net.Dial("tcp", r.URL.Host)
			if err != nil {
				t.Fatal(err)
			}
			var wire bytes.Buffer
			fmt.Fprintf(&wire, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.URL.EscapedPath(), r.URL.Host, r.ContentLength)
			r.Header.Write(&wire)
			wire.WriteString("\r\n" + strings.Repeat("x", 1<<19))
			if _, err := conn.Write(wire.Bytes()); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			<-handled
		}
	}
	want(t, "keys", w.list(), "[a]")
	want(t, "content", w.get("a"), "before")
}

// What can be refused is refused before the body is asked for.
func TestExpect(t *testing.T) {
	w := newWorld(t, config{})
	w.put("a", "before")
	for _, tt := range []struct {
		name string
		edit func(*http.Request)
		want int
	}{
		{"bad signature", func(r *http.Request) { w.sign(r, "wrong", "UNSIGNED-PAYLOAD", time.Now()) }, 403},
		{"precondition", func(r *http.Request) {
			r.Header.Set("If-None-Match", "*")
			w.sign(r, secretKey, "UNSIGNED-PAYLOAD", time.Now())
		}, 412},
		{"quota", func(r *http.Request) {
			w.keys.principals["SBOWNER"].Access.Quota = 8
			w.sign(r, secretKey, "UNSIGNED-PAYLOAD", time.Now())
		}, 403},
		{"no bucket", func(r *http.Request) {
			w.keys.principals["SBOWNER"].Access.Quota = 0
			r.URL.Path, r.URL.RawPath = "/none/a", ""
			w.sign(r, secretKey, "UNSIGNED-PAYLOAD", time.Now())
		}, 404},
		{"good", func(r *http.Request) { w.sign(r, secretKey, "UNSIGNED-PAYLOAD", time.Now()) }, 100},
		{"empty", func(r *http.Request) {
			r.ContentLength = 0
			w.sign(r, secretKey, "UNSIGNED-PAYLOAD", time.Now())
		}, 100},
	} {
		r := w.request("PUT", "/photos/a", "", "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD", "Expect", "100-continue")
		r.Header.Del("Authorization")
		r.ContentLength = 10
		tt.edit(r)
		conn, err := net.Dial("tcp", r.URL.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.URL.EscapedPath(), r.URL.Host, r.ContentLength)
		r.Header.Write(conn)
		io.WriteString(conn, "\r\n")
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d", tt.want)) {
			t.Errorf("%s: got %q, %v", tt.name, line, err)
		}
	}
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
	want(t, "read-only", try("SBREADER"), ", , 403 AccessDenied, 403 AccessDenied, 403 AccessDenied")
	want(t, "upload-only", try("SBPHONE"), "403 AccessDenied, 403 AccessDenied, , 403 AccessDenied, 403 AccessDenied")
	want(t, "another user", try("SBOTHER"), "404 NoSuchBucket, 404 NoSuchBucket, 404 NoSuchBucket, 404 NoSuchBucket, 404 NoSuchBucket")
	want(t, "keys", w.list(), "[a by-sbphone]")
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
