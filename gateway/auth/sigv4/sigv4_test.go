package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsv4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// The credentials and the date of the examples in Amazon S3 API Reference,
// "Authenticating Requests".
const (
	docKey    = "AKIAIOSFODNN7EXAMPLE"
	docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	docScope  = docKey + "/20130524/us-east-1/s3/aws4_request"
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var docTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func lookup(_ context.Context, id string) (string, error) {
	if id != docKey {
		return "", fmt.Errorf("no such key: %w", sigv4.ErrUnknownKey)
	}
	return docSecret, nil
}

func at(t time.Time) *sigv4.Options {
	return &sigv4.Options{
		Now:    func() time.Time { return t },
		Secure: func(*http.Request) bool { return true },
	}
}

// received is r as a server gets it.
func received(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	got.RemoteAddr = "192.0.2.1:4711"
	return got
}

func request(t testing.TB, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return received(t, r)
}

func authorization(signedHeaders, signature string) string {
	return "AWS4-HMAC-SHA256 Credential=" + docScope + ",SignedHeaders=" + signedHeaders + ",Signature=" + signature
}

// code is the S3 code of err, "" if it is nil.
func code(t testing.TB, err error) string {
	t.Helper()
	if err == nil || err == io.EOF {
		return ""
	}
	var e *sigv4.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v, want a *sigv4.Error", err, err)
	}
	if e.Status < 400 || e.Message == "" {
		t.Errorf("%s: status %d, message %q", e.Code, e.Status, e.Message)
	}
	return e.Code
}

// read reads the body as a consumer does.
func read(v *sigv4.Verified, r *http.Request) (string, *sigv4.Body, error) {
	b, err := sigv4.NewBody(v, r, nil)
	if err != nil {
		return "", nil, err
	}
	data, err := io.ReadAll(b)
	return string(data), b, err
}

// The signatures below are those that the documentation prints.
func TestPublishedExamples(t *testing.T) {
	const base = "http://examplebucket.s3.amazonaws.com"
	for _, tt := range []struct {
		name string
		r    *http.Request
		body string
	}{
		{"GET object with Range", request(t, "GET", base+"/test.txt", "",
			"Range", "bytes=0-9", "X-Amz-Content-Sha256", emptyHash, "X-Amz-Date", "20130524T000000Z",
			"Authorization", authorization("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")), ""},
		{"PUT object", request(t, "PUT", base+"/test$file.text", "Welcome to Amazon S3.",
			"Date", "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Date", "20130524T000000Z", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY",
			"X-Amz-Content-Sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			"Authorization", authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")), "Welcome to Amazon S3."},
		{"GET lifecycle", request(t, "GET", base+"/?lifecycle", "",
			"X-Amz-Content-Sha256", emptyHash, "X-Amz-Date", "20130524T000000Z",
			"Authorization", authorization("host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")), ""},
		{"GET list", request(t, "GET", base+"/?max-keys=2&prefix=J", "",
			"X-Amz-Content-Sha256", emptyHash, "X-Amz-Date", "20130524T000000Z",
			"Authorization", authorization("host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")), ""},
		{"presigned GET", request(t, "GET", base+"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="+url.QueryEscape(docScope)+
			"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", ""), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := sigv4.Verify(tt.r, lookup, at(docTime))
			if err != nil {
				t.Fatal(err)
			}
			if v.AccessKeyID != docKey || v.Region != "us-east-1" || !v.Time.Equal(docTime) {
				t.Errorf("got %+v", v)
			}
			if v.Presigned && !v.Expires.Equal(docTime.Add(24*time.Hour)) {
				t.Errorf("got expiry %v", v.Expires)
			}
			if got, _, err := read(v, tt.r); err != nil || got != tt.body {
				t.Errorf("got body %q, %v, want %q", got, err, tt.body)
			}
		})
	}
}

// signed is a request signed by the AWS SDK.
func signed(t testing.TB, r *http.Request, hash string, now time.Time) *http.Request {
	t.Helper()
	r.Header.Set("X-Amz-Content-Sha256", hash)
	err := awsv4.NewSigner(func(o *awsv4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(context.Background(),
		aws.Credentials{AccessKeyID: docKey, SecretAccessKey: docSecret}, r, hash, "s3", "auto", now)
	if err != nil {
		t.Fatal(err)
	}
	return received(t, r)
}

func presigned(t testing.TB, r *http.Request, seconds string, now time.Time) *http.Request {
	t.Helper()
	q := r.URL.Query()
	q.Set("X-Amz-Expires", seconds)
	r.URL.RawQuery = q.Encode()
	signed, headers, err := awsv4.NewSigner(func(o *awsv4.SignerOptions) { o.DisableURIPathEscaping = true }).PresignHTTP(context.Background(),
		aws.Credentials{AccessKeyID: docKey, SecretAccessKey: docSecret}, r, "UNSIGNED-PAYLOAD", "s3", "auto", now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := http.NewRequest(r.Method, signed, r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range headers {
		if name != "Host" {
			s.Header[name] = values
		}
	}
	s.ContentLength = r.ContentLength
	return received(t, s)
}

func hexSHA256(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// What the AWS SDK signs is accepted, whatever the key and the query hold.
func TestSDK(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	paths := []string{"/", "/photos", "/photos/", "/photos/a.jpg", "/photos/2026/02 Été & co/IMG 0003 (1) +50%.jpg", "/photos/a+b=c;d,e'f!*().~_-",
		"/photos//twice/../up/./here", "/photos/%2F%25 percent", "/photos/日本語\u0301", "/photos/tab\tnew\nline\x7f", "/photos/@:?#[]"}
	queries := []string{"", "list-type=2&prefix=a%2Fb+c&delimiter=%2F", "prefix=%C3%A9&uploads", "a=2&a=1&A=3&a-b=4&a", "k=%2B%20%7E*()"}
	for _, path := range paths {
		for _, query := range queries {
			u := &url.URL{Scheme: "https", Host: "s3.example:9000", Path: path, RawQuery: query}
			r, err := http.NewRequest("GET", u.String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Amz-Meta-Album", "  summer   by the  sea ")
			r.Header.Set("Range", "bytes=1-2")
			if _, err := sigv4.Verify(signed(t, r, emptyHash, now), lookup, at(now)); err != nil {
				t.Errorf("header: %s: %v", u, err)
			}
			r.Header = http.Header{}
			if _, err := sigv4.Verify(presigned(t, r, "60", now), lookup, at(now)); err != nil {
				t.Errorf("presigned: %s: %v", u, err)
			}
		}
	}
}

func TestTime(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	header := func(r *http.Request) *http.Request { return signed(t, r, emptyHash, now) }
	query := func(seconds string) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request { return presigned(t, r, seconds, now) }
	}
	for _, tt := range []struct {
		name string
		sign func(*http.Request) *http.Request
		at   time.Duration
		cap  time.Duration
		want string
	}{
		{"on time", header, 0, 0, ""},
		{"slow clock", header, 15 * time.Minute, 0, ""},
		{"too slow", header, 15*time.Minute + time.Second, 0, "RequestTimeTooSkewed"},
		{"fast clock", header, -15 * time.Minute, 0, ""},
		{"too fast", header, -15*time.Minute - time.Second, 0, "RequestTimeTooSkewed"},
		{"URL within its life", query("3600"), 59 * time.Minute, 0, ""},
		{"URL expired", query("3600"), time.Hour, 0, "AccessDenied"},
		{"URL not valid yet", query("3600"), -16 * time.Minute, 0, "AccessDenied"},
		{"URL for a week", query("604800"), 7*24*time.Hour - 1, 0, ""},
		{"URL for more", query("604801"), 0, 0, "AuthorizationQueryParametersError"},
		{"URL for no time", query("0"), 0, 0, "AuthorizationQueryParametersError"},
		{"URL for less", query("-1"), 0, 0, "AuthorizationQueryParametersError"},
		{"URL within the cap", query("604800"), 59 * time.Minute, time.Hour, ""},
		{"URL beyond the cap", query("604800"), time.Hour, time.Hour, "AccessDenied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequest("GET", "https://s3.example/photos/a.jpg", nil)
			if err != nil {
				t.Fatal(err)
			}
			opt := at(now.Add(tt.at))
			opt.MaxExpires = tt.cap
			_, err = sigv4.Verify(tt.sign(r), lookup, opt)
			if got := code(t, err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Each row spoils one thing of a request that is otherwise good.
func TestRefused(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	replaceAuth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			a := r.Header.Get("Authorization")
			if !strings.Contains(a, old) {
				panic(a + " has no " + old)
			}
			r.Header.Set("Authorization", strings.Replace(a, old, new, 1))
		}
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	query := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, old) {
				panic(r.URL.RawQuery + " has no " + old)
			}
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, old, new, 1)
		}
	}
	for _, tt := range []struct {
		name  string
		place string // header, query
		spoil func(*http.Request)
		want  string
	}{
		{"nothing", "header", func(*http.Request) {}, ""},
		{"nothing", "query", func(*http.Request) {}, ""},
		{"method", "header", func(r *http.Request) { r.Method = "DELETE" }, "SignatureDoesNotMatch"},
		{"method", "query", func(r *http.Request) { r.Method = "PUT" }, "SignatureDoesNotMatch"},
		{"path", "header", func(r *http.Request) { r.URL.Path = "/photos/b.jpg" }, "SignatureDoesNotMatch"},
		{"path", "query", func(r *http.Request) { r.URL.Path = "/photos/b.jpg" }, "SignatureDoesNotMatch"},
		{"host", "header", func(r *http.Request) { r.Host = "other.example" }, "SignatureDoesNotMatch"},
		{"query added", "header", func(r *http.Request) { r.URL.RawQuery += "&acl" }, "SignatureDoesNotMatch"},
		{"query added", "query", func(r *http.Request) { r.URL.RawQuery += "&acl" }, "SignatureDoesNotMatch"},
		{"query twice", "query", func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Expires=5" }, "AuthorizationQueryParametersError"},
		{"query escape", "header", func(r *http.Request) { r.URL.RawQuery += "&a=%zz" }, "InvalidURI"},
		{"signed header changed", "header", set("X-Amz-Meta-Album", "winter"), "SignatureDoesNotMatch"},
		{"signed header gone", "header", func(r *http.Request) { r.Header.Del("X-Amz-Meta-Album") }, "SignatureDoesNotMatch"},
		{"unsigned copy source", "header", set("X-Amz-Copy-Source", "/a/b"), "AccessDenied"},
		{"unsigned copy source", "query", set("X-Amz-Copy-Source", "/a/b"), "AccessDenied"},
		{"payload hash", "header", set("X-Amz-Content-Sha256", strings.Repeat("0", 64)), "SignatureDoesNotMatch"},
		{"payload unsigned", "header", set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), "SignatureDoesNotMatch"},
		{"payload mode", "header", set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD"), "InvalidArgument"},
		{"no payload mode", "header", func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") }, "InvalidRequest"},
		{"date", "header", set("X-Amz-Date", "20260701T120001Z"), "SignatureDoesNotMatch"},
		{"date twice", "header", func(r *http.Request) { r.Header.Add("X-Amz-Date", "20260701T120000Z") }, "InvalidArgument"},
		{"date with a fraction", "header", set("X-Amz-Date", "20260701T120000.5Z"), "AccessDenied"},
		{"no date", "header", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, "AccessDenied"},
		{"Date unsigned", "header", func(r *http.Request) {
			r.Header.Del("X-Amz-Date")
			r.Header.Set("Date", now.Format(http.TimeFormat))
		}, "AccessDenied"},
		{"other day in the scope", "header", replaceAuth("/20260701/", "/20260630/"), "AuthorizationHeaderMalformed"},
		{"other day in the scope", "query", query("20260701%2F", "20260630%2F"), "AuthorizationQueryParametersError"},
		{"other region", "header", replaceAuth("/auto/", "/eu-west-1/"), "SignatureDoesNotMatch"},
		{"other service", "header", replaceAuth("/s3/", "/sts/"), "AuthorizationHeaderMalformed"},
		{"other terminator", "header", replaceAuth("/aws4_request", "/aws5_request"), "AuthorizationHeaderMalformed"},
		{"unknown key", "header", replaceAuth(docKey, "SBNOBODY"), "InvalidAccessKeyId"},
		{"unknown key", "query", query(docKey, "SBNOBODY"), "InvalidAccessKeyId"},
		{"no key", "header", replaceAuth(docKey, ""), "AuthorizationHeaderMalformed"},
		{"short scope", "header", replaceAuth("/auto/", "/"), "AuthorizationHeaderMalformed"},
		{"algorithm", "header", replaceAuth("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "InvalidRequest"},
		{"algorithm", "query", query("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "AuthorizationQueryParametersError"},
		{"no algorithm", "query", query("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""), "AuthorizationQueryParametersError"},
		{"no expiry", "query", query("X-Amz-Expires=60&", ""), "AuthorizationQueryParametersError"},
		{"expiry", "query", query("X-Amz-Expires=60", "X-Amz-Expires=61"), "SignatureDoesNotMatch"},
		{"date", "query", query("T120000Z", "T120001Z"), "SignatureDoesNotMatch"},
		{"date form", "query", query("T120000Z", "T120000"), "AuthorizationQueryParametersError"},
		{"host not signed", "header", replaceAuth("host;", ""), "AccessDenied"},
		{"host not signed", "query", query("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=range"), "AccessDenied"},
		{"header not signed", "header", replaceAuth(";x-amz-meta-album", ""), "AccessDenied"},
		{"signed headers in disorder", "header", replaceAuth("x-amz-content-sha256;x-amz-date", "x-amz-date;x-amz-content-sha256"), "AuthorizationHeaderMalformed"},
		{"upper case", "header", replaceAuth("SignedHeaders=accept", "SignedHeaders=Accept"), "AuthorizationHeaderMalformed"},
		{"short signature", "header", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-1])
		}, "AuthorizationHeaderMalformed"},
		{"empty signature", "query", func(r *http.Request) {
			r.URL.RawQuery = r.URL.RawQuery[:strings.Index(r.URL.RawQuery, "X-Amz-Signature=")+len("X-Amz-Signature=")]
		}, "AuthorizationQueryParametersError"},
		{"field twice", "header", func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")+", Signature=0")
		}, "AuthorizationHeaderMalformed"},
		{"field missing", "header", replaceAuth("SignedHeaders=", "Signed="), "AuthorizationHeaderMalformed"},
		{"two Authorization headers", "header", func(r *http.Request) { r.Header.Add("Authorization", "Basic eDp5") }, "InvalidArgument"},
		{"both places", "query", set("Authorization", "Basic eDp5"), "InvalidArgument"},
		{"both places", "header", func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" }, "InvalidArgument"},
		{"anonymous", "header", func(r *http.Request) { r.Header.Del("Authorization") }, "AccessDenied"},
		{"Basic", "header", set("Authorization", "Basic eDp5"), "InvalidRequest"},
		{"SigV2", "header", set("Authorization", "AWS "+docKey+":frJIUN8DYpKDtOLCwo//yllqDzg="), "InvalidRequest"},
		{"SigV2 query", "header", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "AWSAccessKeyId=" + docKey + "&Expires=1&Signature=x"
		}, "InvalidRequest"},
		{"token", "header", set("X-Amz-Security-Token", "t"), "InvalidToken"},
		{"token", "query", func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Security-Token=t" }, "InvalidToken"},
	} {
		t.Run(tt.place+": "+tt.name, func(t *testing.T) {
			r, err := http.NewRequest("GET", "https://s3.example/photos/a.jpg", nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.place == "header" {
				r.Header.Set("X-Amz-Meta-Album", "summer")
				r.Header.Set("Accept-Encoding", "identity")
				r = signed(t, r, emptyHash, now)
			} else {
				r = presigned(t, r, "60", now)
			}
			tt.spoil(r)
			_, err = sigv4.Verify(r, lookup, at(now))
			if got := code(t, err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

// No change of one byte of the header or the query is accepted.
func TestEveryByte(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	r, err := http.NewRequest("GET", "https://s3.example/photos/a.jpg?list-type=2&prefix=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	good := signed(t, r, emptyHash, now)
	auth := good.Header.Get("Authorization")
	try := func(what string, change func(r *http.Request)) {
		bad := good.Clone(context.Background())
		change(bad)
		if _, err := sigv4.Verify(bad, lookup, at(now)); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	for i := range len(auth) {
		for _, bit := range []byte{1, 2, 4, 8, 16, 32, 64} {
			changed := []byte(auth)
			changed[i] ^= bit
			try(string(changed), func(r *http.Request) { r.Header.Set("Authorization", string(changed)) })
		}
	}
	for i := range len(good.URL.RawQuery) {
		changed := []byte(good.URL.RawQuery)
		changed[i] ^= 1
		try(string(changed), func(r *http.Request) { r.URL.RawQuery = string(changed) })
	}
}

func TestLookup(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	r, err := http.NewRequest("GET", "https://s3.example/photos/a.jpg", nil)
	if err != nil {
		t.Fatal(err)
	}
	r = signed(t, r, emptyHash, now)
	down := errors.New("store is down")
	_, err = sigv4.Verify(r, func(context.Context, string) (string, error) { return "", down }, at(now))
	if !errors.Is(err, down) {
		t.Errorf("got %v, want the error of the lookup", err)
	}
	// An empty secret would let in anyone.
	_, err = sigv4.Verify(r, func(context.Context, string) (string, error) { return "", nil }, at(now))
	if got := code(t, err); got != "InvalidAccessKeyId" {
		t.Errorf("empty secret: got %q", got)
	}
}

// A body that is not signed is taken where nobody can change it.
func TestSecure(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		from, body, want string
	}{
		{"127.0.0.1:1", "x", ""},
		{"[::1]:1", "x", ""},
		{"192.0.2.1:1", "x", "AccessDenied"},
		{"192.0.2.1:1", "", ""},
		{"@", "x", "AccessDenied"},
	} {
		r, err := http.NewRequest("PUT", "http://s3.example/photos/a.jpg", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		r = signed(t, r, "UNSIGNED-PAYLOAD", now)
		r.RemoteAddr = tt.from
		_, err = sigv4.Verify(r, lookup, &sigv4.Options{Now: func() time.Time { return now }})
		if got := code(t, err); got != tt.want {
			t.Errorf("from %s, body %q: got %q, want %q", tt.from, tt.body, got, tt.want)
		}
	}
}
