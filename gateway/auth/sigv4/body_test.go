package sigv4_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// The chunked examples of Amazon S3 API Reference, "Transferring Payload in
// Multiple Chunks" and "Including Trailing Headers": 65 KiB of the letter a.
func TestPublishedChunks(t *testing.T) {
	data := strings.Repeat("a", 66560)
	chunks := func(signatures ...string) string {
		return "10000;chunk-signature=" + signatures[0] + "\r\n" + data[:65536] + "\r\n" +
			"400;chunk-signature=" + signatures[1] + "\r\n" + data[65536:] + "\r\n" +
			"0;chunk-signature=" + signatures[2] + "\r\n"
	}
	plain := chunks("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
		"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
		"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9") + "\r\n"
	trailing := chunks("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
		"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
		"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992") +
		"x-amz-checksum-crc32c:sOO8/Q==\r\n" +
		"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
	for _, tt := range []struct {
		name string
		r    *http.Request
	}{
		{"signed chunks", request(t, "PUT", "http://s3.amazonaws.com/examplebucket/chunkObject.txt", plain,
			"Content-Encoding", "aws-chunked", "X-Amz-Decoded-Content-Length", "66560", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY",
			"X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "X-Amz-Date", "20130524T000000Z",
			"Authorization", authorization("content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
				"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"))},
		{"signed trailer", request(t, "PUT", "http://s3.amazonaws.com/examplebucket/chunkObject.txt", trailing,
			"Content-Encoding", "aws-chunked", "X-Amz-Decoded-Content-Length", "66560", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY",
			"X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "X-Amz-Date", "20130524T000000Z", "X-Amz-Trailer", "x-amz-checksum-crc32c",
			"Authorization", authorization("content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
				"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := sigv4.Verify(tt.r, lookup, at(docTime))
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := read(v, tt.r); err != nil || got != data {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

// hasher gives minio-go the interface it wants.
type hasher struct{ hash.Hash }

func (hasher) Close() {}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func crc32c(b []byte) string {
	h := sigv4.CRC32C.New()
	h.Write(b)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// streamed is data sent by minio-go in signed chunks, as a server receives it.
func streamed(t testing.TB, data []byte, trailer bool, now time.Time) *http.Request {
	t.Helper()
	r, err := http.NewRequest("PUT", "http://s3.example/photos/a.jpg", io.NopCloser(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	if trailer {
		r.Trailer = http.Header{"X-Amz-Checksum-Crc32c": {crc32c(data)}}
	}
	r = signer.StreamingSignV4(r, docKey, docSecret, "", "auto", int64(len(data)), now, hasher{sha256.New()})
	return received(t, r)
}

var sizes = []int{0, 1, 8191, 8192, 65535, 65536, 65537, 300000}

func TestMinioChunks(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, trailer := range []bool{false, true} {
		for _, size := range sizes {
			data := random(size)
			r := streamed(t, data, trailer, now)
			v, err := sigv4.Verify(r, lookup, at(now))
			if err != nil {
				t.Fatal(err)
			}
			got, b, err := read(v, r)
			if err != nil || got != string(data) {
				t.Errorf("trailer %v, %d bytes: got %d bytes, %v", trailer, size, len(got), err)
				continue
			}
			if b.Size() != int64(size) {
				t.Errorf("got size %d, want %d", b.Size(), size)
			}
			if a, sum := b.Checksum(); trailer && (a != sigv4.CRC32C || sum != crc32c(data)) {
				t.Errorf("got checksum %s %s", a, sum)
			}
		}
	}
}

// chunked frames data as aws-chunked without signatures.
func chunked(data []byte, size int, trailer string) string {
	var b strings.Builder
	for len(data) > 0 {
		n := min(size, len(data))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, data[:n])
		data = data[n:]
	}
	return b.String() + "0\r\n" + trailer + "\r\n"
}

// put is a PUT signed by the AWS SDK whose payload has the mode given.
func put(t testing.TB, body, mode string, length bool, headers ...string) (*sigv4.Verified, *http.Request) {
	t.Helper()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	r, err := http.NewRequest("PUT", "https://s3.example/photos/a.jpg", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if !length {
		r.ContentLength = -1
		r.Body = io.NopCloser(io.MultiReader(r.Body)) // net/http must not find out
	}
	r = signed(t, r, mode, now)
	v, err := sigv4.Verify(r, lookup, at(now))
	if err != nil {
		t.Fatal(err)
	}
	return v, r
}

func TestUnsignedChunks(t *testing.T) {
	for _, length := range []bool{true, false} {
		for _, size := range sizes {
			data := random(size)
			body := chunked(data, 64<<10, "x-amz-checksum-crc32c:"+crc32c(data)+"\r\n")
			v, r := put(t, body, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", length,
				"X-Amz-Trailer", "x-amz-checksum-crc32c", "X-Amz-Decoded-Content-Length", strconv.Itoa(size), "X-Amz-Sdk-Checksum-Algorithm", "CRC32C")
			got, b, err := read(v, r)
			if err != nil || got != string(data) {
				t.Errorf("length %v, %d bytes: got %d bytes, %v", length, size, len(got), err)
				continue
			}
			if a, sum := b.Checksum(); a != sigv4.CRC32C || sum != crc32c(data) {
				t.Errorf("got checksum %s %s", a, sum)
			}
		}
	}
}

// Each row is a body that is refused, or the empty code if it is accepted.
func TestBody(t *testing.T) {
	const text = "Welcome to Amazon S3."
	sum := md5.Sum([]byte(text))
	goodMD5 := base64.StdEncoding.EncodeToString(sum[:])
	b64 := func(a sigv4.Algorithm, s string) string {
		h := a.New()
		h.Write([]byte(s))
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	const unsignedChunks = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	decoded := func(n int, more ...string) []string {
		return append([]string{"X-Amz-Decoded-Content-Length", strconv.Itoa(n)}, more...)
	}
	trailer := "x-amz-checksum-crc32:" + b64(sigv4.CRC32, text) + "\r\n"
	announced := decoded(len(text), "X-Amz-Trailer", "x-amz-checksum-crc32")
	type row struct {
		name, body, mode string
		headers          []string
		want             string
	}
	rows := []row{
		{"hash", text, hexSHA256(text), nil, ""},
		{"hash of another body", text, hexSHA256("x"), nil, "XAmzContentSHA256Mismatch"},
		{"hash of an empty body", "", hexSHA256("x"), nil, "XAmzContentSHA256Mismatch"},
		{"empty", "", emptyHash, nil, ""},
		{"unsigned", text, "UNSIGNED-PAYLOAD", nil, ""},
		{"MD5", text, "UNSIGNED-PAYLOAD", []string{"Content-Md5", goodMD5}, ""},
		{"wrong MD5", text + "x", "UNSIGNED-PAYLOAD", []string{"Content-Md5", goodMD5}, "BadDigest"},
		{"wrong MD5 of an empty body", "", "UNSIGNED-PAYLOAD", []string{"Content-Md5", goodMD5}, "BadDigest"},
		{"malformed MD5", text, "UNSIGNED-PAYLOAD", []string{"Content-Md5", "AAAA"}, "InvalidDigest"},
		{"SHA-256 serves twice", text, hexSHA256(text), []string{"X-Amz-Checksum-Sha256", b64(sigv4.SHA256, text)}, ""},
		{"two checksums", text, hexSHA256(text), []string{"X-Amz-Checksum-Sha256", b64(sigv4.SHA256, text), "X-Amz-Checksum-Sha1", b64(sigv4.SHA1, text)}, "InvalidRequest"},
		{"unknown checksum", text, hexSHA256(text), []string{"X-Amz-Checksum-Blake3", "AAAA"}, "InvalidRequest"},
		{"short checksum", text, hexSHA256(text), []string{"X-Amz-Checksum-Crc32", "AAAA"}, "InvalidRequest"},
		{"other algorithm", text, hexSHA256(text), []string{"X-Amz-Checksum-Crc32", b64(sigv4.CRC32, text), "X-Amz-Sdk-Checksum-Algorithm", "SHA1"}, "InvalidRequest"},
		{"algorithm in lower case", text, hexSHA256(text), []string{"X-Amz-Checksum-Crc32", b64(sigv4.CRC32, text), "X-Amz-Sdk-Checksum-Algorithm", "crc32"}, ""},
		{"trailer out of place", text, hexSHA256(text), []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, "InvalidRequest"},
		{"decoded length differs", text, hexSHA256(text), decoded(3), "InvalidArgument"},

		{"chunks", chunked([]byte(text), 1<<20, trailer), unsignedChunks, announced, ""},
		{"chunks, no final line end", strings.TrimSuffix(chunked([]byte(text), 1<<20, trailer), "\r\n"), unsignedChunks, announced, ""},
		{"no decoded length", chunked([]byte(text), 1<<20, trailer), unsignedChunks, []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}, "MissingContentLength"},
		{"decoded length malformed", chunked([]byte(text), 1<<20, ""), unsignedChunks, []string{"X-Amz-Decoded-Content-Length", "-1"}, "InvalidArgument"},
		{"trailer missing", chunked([]byte(text), 1<<20, ""), unsignedChunks, announced, "MalformedTrailerError"},
		{"trailer wrong", chunked([]byte(text), 1<<20, "x-amz-checksum-crc32:AAAAAA==\r\n"), unsignedChunks, announced, "BadDigest"},
		{"trailer malformed", chunked([]byte(text), 1<<20, "x-amz-checksum-crc32:A\r\n"), unsignedChunks, announced, "MalformedTrailerError"},
		{"trailer not announced", chunked([]byte(text), 1<<20, trailer), unsignedChunks, decoded(len(text)), "MalformedTrailerError"},
		{"trailer of another name", chunked([]byte(text), 1<<20, "x-amz-checksum-crc32c:"+b64(sigv4.CRC32C, text)+"\r\n"), unsignedChunks, announced, "MalformedTrailerError"},
		{"trailer twice", chunked([]byte(text), 1<<20, trailer+trailer), unsignedChunks, announced, "MalformedTrailerError"},
		{"trailer without end", chunked([]byte(text), 1<<20, strings.Repeat("\r\n", 3000)), unsignedChunks, announced, "InvalidRequest"},
		{"trailer that is no checksum", chunked([]byte(text), 1<<20, "expires:0\r\n"), unsignedChunks, decoded(len(text), "X-Amz-Trailer", "expires"), "InvalidRequest"},
		{"more after the trailer", chunked([]byte(text), 1<<20, trailer) + "x", unsignedChunks, announced, "IncompleteBody"},
		{"fewer bytes", chunked([]byte(text), 1<<20, ""), unsignedChunks, decoded(len(text) + 1), "IncompleteBody"},
		{"more bytes", chunked([]byte(text), 1<<20, ""), unsignedChunks, decoded(len(text) - 1), "InvalidRequest"},
		{"more chunks", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", unsignedChunks, decoded(2), "InvalidRequest"},
		{"no bytes wanted", "2\r\nab\r\n0\r\n\r\n", unsignedChunks, decoded(0), "InvalidRequest"},
		{"small chunk within", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", unsignedChunks, decoded(3), "InvalidChunkSizeError"},
		{"cut in the data", "4\r\nab", unsignedChunks, decoded(4), "IncompleteBody"},
		{"cut behind the data", "2\r\nab", unsignedChunks, decoded(2), "IncompleteBody"},
		{"cut before the closing chunk", "2\r\nab\r\n", unsignedChunks, decoded(2), "IncompleteBody"},
		{"cut in the size", "2", unsignedChunks, decoded(2), "IncompleteBody"},
		{"nothing", "", unsignedChunks, decoded(2), "IncompleteBody"},
		{"size that lies", "2\r\nabc\r\n0\r\n\r\n", unsignedChunks, decoded(2), "InvalidRequest"},
		{"size with a sign", "+2\r\nab\r\n0\r\n\r\n", unsignedChunks, decoded(2), "InvalidRequest"},
		{"size with 0x", "0x2\r\nab\r\n0\r\n\r\n", unsignedChunks, decoded(2), "InvalidRequest"},
		{"no size", "\r\nab\r\n0\r\n\r\n", unsignedChunks, decoded(2), "InvalidRequest"},
		{"huge size", "ffffffffffffffff\r\nab\r\n0\r\n\r\n", unsignedChunks, decoded(2), "InvalidRequest"},
		{"extension", "2;a=b\r\nab\r\n0\r\n\r\n", unsignedChunks, decoded(2), "InvalidRequest"},
		{"long line", strings.Repeat("0", 5000), unsignedChunks, decoded(2), "InvalidRequest"},
	}
	for _, a := range sigv4.Algorithms {
		rows = append(rows,
			row{string(a), text, hexSHA256(text), []string{a.Header(), b64(a, text)}, ""},
			row{string(a) + " wrong", text, hexSHA256(text), []string{a.Header(), b64(a, "x")}, "BadDigest"},
			row{string(a) + " trailer", chunked([]byte(text), 1<<20, a.Header()+":"+b64(a, text)+"\r\n"), unsignedChunks, decoded(len(text), "X-Amz-Trailer", a.Header()), ""},
			row{string(a) + " trailer wrong", chunked([]byte(text), 1<<20, a.Header()+":"+b64(a, "x")+"\r\n"), unsignedChunks, decoded(len(text), "X-Amz-Trailer", a.Header()), "BadDigest"})
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			v, r := put(t, tt.body, tt.mode, true, tt.headers...)
			got, b, err := read(v, r)
			if c := code(t, err); c != tt.want {
				t.Fatalf("got %q (%v), want %q", c, err, tt.want)
			}
			if b == nil {
				return
			}
			if tt.want == "" {
				if err := b.Finish(); err != nil {
					t.Errorf("Finish: %v", err)
				}
				return
			}
			if len(got) >= int(b.Size()) && b.Size() > 0 {
				t.Errorf("all %d bytes were given out of a body that failed", len(got))
			}
			if _, err := b.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("a further Read gave %v", err)
			}
			if err := b.Finish(); err == nil {
				t.Error("Finish accepted it")
			}
		})
	}
}

// A consumer that reads no more than Size bytes is told before the last.
func TestLastByte(t *testing.T) {
	v, r := put(t, "hello", hexSHA256("jello"), true)
	b, err := sigv4.NewBody(v, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.ReadFull(iotest.OneByteReader(b), make([]byte, 5))
	if n != 4 || code(t, err) != "XAmzContentSHA256Mismatch" {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// A body whose client went away is not complete, whatever the mode.
func TestCut(t *testing.T) {
	for _, mode := range []string{"UNSIGNED-PAYLOAD", hexSHA256("hello")} {
		v, r := put(t, "hello", mode, true)
		gone := errors.New("connection reset")
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(gone)))
		got, _, err := read(v, r)
		if got != "hel" || code(t, err) != "IncompleteBody" || !errors.Is(err, gone) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	// One that stalled is asked for again: clients take RequestTimeout for that.
	v, r := put(t, "hello", "UNSIGNED-PAYLOAD", true)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(os.ErrDeadlineExceeded)))
	if _, _, err := read(v, r); code(t, err) != "RequestTimeout" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled: got %v", err)
	}
	v, r = put(t, "hello", "UNSIGNED-PAYLOAD", false)
	if _, _, err := read(v, r); code(t, err) != "MissingContentLength" {
		t.Errorf("no length: got %v", err)
	}
}

// No changed byte of a signed stream is accepted, nor chunks in another order.
func TestTamperedChunks(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	data := random(3*65536 + 100)
	for _, trailer := range []bool{false, true} {
		good := streamed(t, data, trailer, now)
		wire, err := io.ReadAll(good.Body)
		if err != nil {
			t.Fatal(err)
		}
		v, err := sigv4.Verify(good, lookup, at(now))
		if err != nil {
			t.Fatal(err)
		}
		accepts := func(body []byte) bool {
			r := good.Clone(context.Background())
			r.Body = io.NopCloser(bytes.NewReader(body))
			b, err := sigv4.NewBody(v, r, nil)
			if err != nil {
				return false
			}
			got, err := io.ReadAll(b)
			if err == nil && !bytes.Equal(got, data) {
				t.Error("other data was accepted")
			}
			return err == nil
		}
		if !accepts(wire) {
			t.Fatal("the good stream was refused")
		}
		// Every byte of the framing, and a sample of the data.
		header := len("10000;chunk-signature=") + 64 + 2
		tail := len(wire) - 400
		for i := 0; i < len(wire); i++ {
			if i > header && i < tail && i%997 != 0 {
				continue
			}
			bad := bytes.Clone(wire)
			bad[i] ^= 1
			if accepts(bad) {
				t.Errorf("trailer %v: a change of byte %d (%q) was accepted", trailer, i, wire[i])
			}
		}
		chunk := header + 65536 + 2
		swapped := bytes.Join([][]byte{wire[chunk : 2*chunk], wire[:chunk], wire[2*chunk:]}, nil)
		dropped := wire[chunk:]
		doubled := bytes.Join([][]byte{wire[:chunk], wire}, nil)
		for i, body := range [][]byte{swapped, dropped, doubled, wire[:len(wire)-200], wire[:chunk]} {
			if accepts(body) {
				t.Errorf("trailer %v: case %d was accepted", trailer, i)
			}
		}
	}
}

// FuzzChunks sends anything as a chunked body: it is refused, or it has exactly
// the length that was announced and framing it again gives the same data.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("2\r\nab\r\n0\r\n\r\n"), 2)
	f.Add([]byte("0\r\n"), 0)
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		if size < 0 || size > 1<<20 {
			return
		}
		try := func(body []byte) ([]byte, error) {
			r := &http.Request{Method: "PUT", Body: io.NopCloser(iotest.HalfReader(bytes.NewReader(body))), ContentLength: int64(len(body)), Header: http.Header{
				"X-Amz-Decoded-Content-Length": {strconv.Itoa(size)},
			}}
			b, err := sigv4.NewBody(&sigv4.Verified{Mode: sigv4.UnsignedChunks}, r, nil)
			if err != nil {
				t.Fatal(err)
			}
			return io.ReadAll(b)
		}
		data, err := try(body)
		if err != nil {
			code(t, err)
			return
		}
		if len(data) != size {
			t.Fatalf("got %d bytes, want %d", len(data), size)
		}
		if again, err := try([]byte(chunked(data, 8192, ""))); err != nil || !bytes.Equal(again, data) {
			t.Errorf("framed again: %v", err)
		}
	})
}

// FuzzVerify signs what it is given by the specification, written out plainly
// here, and demands that it is accepted, and that it is refused with one more
// parameter.
func FuzzVerify(f *testing.F) {
	f.Add("/photos/a b+c%20é//..", "prefix=a&b", "summer  by  the sea")
	f.Add("/", "", "")
	f.Add("/%", "a=%00&a=&=", "\t")
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, path, query, meta string) {
		r, err := http.NewRequest("GET", "https://s3.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = "/"+path, query
		if strings.ContainsFunc(meta, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return
		}
		r.Header.Set("X-Amz-Meta-Album", meta)
		r.Header.Set("X-Amz-Date", "20260701T120000Z")
		r.Header.Set("X-Amz-Content-Sha256", emptyHash)
		canonical, err := sigv4.CanonicalForTest(r.URL.RawQuery)
		if err != nil {
			code(t, err)
			return
		}
		if again, err := sigv4.CanonicalForTest(canonical); err != nil || again != canonical {
			t.Fatalf("canonical query %q becomes %q, %v", canonical, again, err)
		}
		words := strings.Join(strings.FieldsFunc(meta, func(c rune) bool { return c == ' ' }), " ")
		full := "GET\n" + r.URL.EscapedPath() + "\n" + canonical + "\nhost:s3.example\nx-amz-content-sha256:" + emptyHash +
			"\nx-amz-date:20260701T120000Z\nx-amz-meta-album:" + words + "\n\nhost;x-amz-content-sha256;x-amz-date;x-amz-meta-album\n" + emptyHash
		key := []byte("AWS4" + docSecret)
		for _, s := range []string{"20260701", "auto", "s3", "aws4_request", "AWS4-HMAC-SHA256\n20260701T120000Z\n20260701/auto/s3/aws4_request\n" + hexSHA256(full)} {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(s))
			key = h.Sum(nil)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+docKey+"/20260701/auto/s3/aws4_request, "+
			"SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-album, Signature="+hex.EncodeToString(key))
		if _, err := sigv4.Verify(r, lookup, at(now)); err != nil {
			if c := code(t, err); c != "InvalidArgument" && c != "InvalidToken" { // the query may have a signature in it
				t.Fatalf("%s %s: %v", r.URL, meta, err)
			}
			return
		}
		r.URL.RawQuery += "&acl"
		if _, err := sigv4.Verify(r, lookup, at(now)); err == nil {
			t.Error("one more parameter was accepted")
		}
	})
}
