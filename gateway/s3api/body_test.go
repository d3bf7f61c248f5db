package s3api_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

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
