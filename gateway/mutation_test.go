package gateway_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

var racing bool // under the race detector

// A wire is a request as it is sent.
type wire struct {
	method, host, target string // target is path and query
	header               http.Header
	body                 []byte
}

func (w wire) clone() wire {
	w.header, w.body = w.header.Clone(), bytes.Clone(w.body)
	return w
}

// send gives the request to the S3 face. ok is false if it is no HTTP.
func (w wire) send(ctx context.Context, h http.Handler) (code int, ok bool) {
	u, err := url.ParseRequestURI(w.target)
	if err != nil || u.Host != "" || strings.ContainsAny(w.host, " /?#@") {
		return 0, false
	}
	r, err := http.NewRequestWithContext(ctx, w.method, "http://x/", bytes.NewReader(w.body))
	if err != nil {
		return 0, false
	}
	r.URL, r.RequestURI, r.Host, r.Header, r.RemoteAddr, r.ContentLength = u, w.target, w.host, w.header, "127.0.0.1:4000", int64(len(w.body))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code, true
}

// same says whether two requests mean the same, by what a signature covers.
func (w wire) same(o wire) bool {
	a, err := url.ParseRequestURI(w.target)
	b, err2 := url.ParseRequestURI(o.target)
	if err != nil || err2 != nil || w.method != o.method || w.host != o.host || !bytes.Equal(w.body, o.body) || a.Path != b.Path {
		return false
	}
	words := func(h http.Header) string {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(h)) {
			fmt.Fprintln(&b, name, strings.Join(strings.Fields(strings.Join(h[name], ",")), " "))
		}
		return b.String()
	}
	return a.Query().Encode() == b.Query().Encode() && words(w.header) == words(o.header)
}

// refused are the answers to what was not let in: nothing was looked up for it.
var refused = map[int]bool{400: true, 403: true, 405: true, 411: true, 429: true, 501: true}

// TestMutations: of an operation signed in any place and payload mode, nothing that the
// signature covers can be changed: operation × mode × place × field × byte.
func TestMutations(t *testing.T) {
	if racing {
		t.Skip("it does one thing after the other, seventy thousand times")
	}
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{})
	face := h.s3.Config.Handler
	host := strings.TrimPrefix(h.s3.URL, "http://")
	for _, name := range []string{"a.txt", "canary-dir/b.txt", "gone.txt"} {
		ana.put(backend.Key("photos/"+name), "content of "+name)
	}
	upload := func() string {
		u, err := ana.library().CreateUpload(t.Context(), "photos/canary-upload.bin", nil)
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	const deletes = "<Delete><Object><Key>nothing</Key></Object></Delete>"
	sum := md5.Sum([]byte(deletes))
	type operation struct {
		method, target, body string
		header               []string
	}
	operations := []operation{
		{"GET", "/", "", nil},
		{"GET", "/photos/a.txt", "", nil},
		{"GET", "/photos/a.txt", "", []string{"Range", "bytes=1-3"}},
		{"HEAD", "/photos/canary-dir/b.txt", "", nil},
		{"GET", "/photos/a.txt?response-content-type=text%2Fplain", "", nil},
		{"GET", "/photos?list-type=2&prefix=canary-dir%2F&max-keys=5", "", nil},
		{"GET", "/photos?versions=&prefix=a", "", nil},
		{"GET", "/photos?location=", "", nil},
		{"GET", "/photos?uploads=", "", nil},
		{"GET", "/photos/a.txt?tagging=", "", nil},
		{"PUT", "/photos/new.txt", "what is new", []string{"X-Amz-Meta-Album", "summer"}},
		{"PUT", "/photos/copy.txt", "", []string{"X-Amz-Copy-Source", "/photos/a.txt"}},
		{"DELETE", "/photos/gone.txt", "", nil},
		{"POST", "/photos?delete=", deletes, []string{"Content-MD5", base64.StdEncoding.EncodeToString(sum[:])}},
		{"POST", "/photos/begun.bin?uploads=", "", nil},
		{"PUT", "/photos/canary-upload.bin?partNumber=1&uploadId=" + upload(), "a part", nil},
		{"DELETE", "/photos/canary-upload.bin?uploadId=" + upload(), "", nil},
		{"PUT", "/photos/a.txt?tagging=", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>", nil},
	}
	if _, err := ana.library().Mkdir(t.Context(), "canary-library", nil); err != nil { // inventory looks into it
		t.Fatal(err)
	}
	modes := []struct {
		name    string
		covered bool // the body is part of what is signed, or of a checksum that is sent
		applies func(operation) bool
		sign    func(operation) wire
	}{
		{"header, hashed", true, func(operation) bool { return true }, func(o operation) wire {
			sum := sha256.Sum256([]byte(o.body))
			return ana.signed(host, o.method, o.target, o.body, hex.EncodeToString(sum[:]), o.header)
		}},
		{"header, not hashed", false, func(o operation) bool { return o.method == "PUT" }, func(o operation) wire {
			return ana.signed(host, o.method, o.target, o.body, "UNSIGNED-PAYLOAD", o.header)
		}},
		{"query", false, func(o operation) bool { return o.header == nil }, func(o operation) wire {
			u, err := url.Parse(ana.presign(o.method, o.target))
			if err != nil {
				t.Fatal(err)
			}
			return wire{o.method, host, u.RequestURI(), http.Header{}, []byte(o.body)}
		}},
		{"signed chunks", true, func(o operation) bool {
			return o.method == "PUT" && o.body != "" && !strings.Contains(o.target, "tagging")
		}, func(o operation) wire {
			r := h.request(o.method, h.s3.URL+o.target, strings.NewReader(o.body), o.header)
			r.ContentLength = int64(len(o.body))
			r = signer.StreamingSignV4(r, ana.key.AccessKeyID(), ana.password, "", "auto", int64(len(o.body)), time.Now().UTC(), hasher{sha256.New()})
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return wire{o.method, host, r.URL.RequestURI(), r.Header, body}
		}},
	}
	total, good := 0, 0
	for _, mode := range modes {
		for _, o := range operations {
			if !mode.applies(o) {
				continue
			}
			name := mode.name + ": " + o.method + " " + o.target
			right := mode.sign(o)
			if strings.Contains(o.target, "uploadId") && o.method == "DELETE" { // each can be aborted once
				path, _, _ := strings.Cut(o.target, "uploadId=")
				o.target = path + "uploadId=" + upload()
				right = mode.sign(o)
			}
			if strings.HasSuffix(o.target, "gone.txt") {
				ana.put("photos/gone.txt", "here again")
			}
			if code, ok := right.clone().send(t.Context(), face); !ok || code >= 300 {
				t.Fatalf("%s: as it was signed it is answered %d", name, code)
			}
			good++
			before := inventory(ana)
			for what, wrong := range mutants(right, mode.covered) {
				if wrong.same(right) {
					continue
				}
				code, ok := wrong.clone().send(t.Context(), face)
				if !ok {
					continue
				}
				if total++; !refused[code] {
					t.Errorf("%s: with another %s it is answered %d\n%s\n%q", name, what, code, wrong.target, wrong.header)
				}
			}
			if after := inventory(ana); after != before {
				t.Errorf("%s: a mutant changed something:\n%s\n%s", name, before, after)
			}
			// A hundred failures from this address later, what is right is let in.
			if code, _ := right.clone().send(t.Context(), face); o.method == "GET" && code >= 300 {
				t.Errorf("%s: afterwards it is answered %d", name, code)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	t.Logf("%d signed requests, %d mutations, accepted: 0", good, total)
	if total < 50_000 {
		t.Errorf("%d mutations only", total)
	}
}

// signed is a request with a signature in its header.
func (t *tenant) signed(host, method, target, body, payload string, header []string) wire {
	t.h.t.Helper()
	r := t.h.request(method, "http://"+host+target, strings.NewReader(body), header)
	r.Header.Set("X-Amz-Content-Sha256", payload)
	s := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := s.SignHTTP(t.h.t.Context(), t.credentials(), r, payload, "s3", "auto", time.Now()); err != nil {
		t.h.t.Fatal(err)
	}
	return wire{method, host, r.URL.RequestURI(), r.Header, []byte(body)}
}

// mutants are requests that differ from a signed one in one thing, by what that is.
func mutants(right wire, covered bool) func(yield func(string, wire) bool) {
	return func(yield func(string, wire) bool) {
		on := true
		give := func(what string, change func(*wire)) {
			if on {
				w := right.clone()
				change(&w)
				on = yield(what, w)
			}
		}
		// flips are a text with one bit changed, in all ways.
		flips := func(s string, bits []byte, f func(string)) {
			for i := range len(s) {
				for _, bit := range bits {
					b := []byte(s)
					b[i] ^= bit
					f(string(b))
				}
			}
		}
		few, all := []byte{1, 4}, []byte{1, 2, 4, 8, 16, 32, 64}
		for _, m := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
			give("method", func(w *wire) { w.method = m })
		}
		flips(right.host, few, func(s string) { give("host", func(w *wire) { w.host = s }) })
		bits := few
		if right.header.Get("Authorization") == "" { // the signature is here
			bits = all
		}
		flips(right.target, bits, func(s string) { give("target", func(w *wire) { w.target = s }) })
		path, query, _ := strings.Cut(right.target, "?")
		params := strings.Split(query, "&")
		for i, p := range params {
			if p == "" {
				continue
			}
			rest := slices.Delete(slices.Clone(params), i, i+1)
			give("target without "+p, func(w *wire) { w.target = path + "?" + strings.Join(rest, "&") })
			give("target with twice "+p, func(w *wire) { w.target += "&" + p })
		}
		for _, p := range []string{"acl=", "tagging=", "uploads=", "versionId=x", "partNumber=1", "X-Amz-Expires=604800", "X-Amz-Security-Token=x"} {
			give("target with "+p, func(w *wire) { w.target = path + "?" + strings.Trim(query+"&"+p, "&") })
		}
		for name, values := range right.header {
			if signedHeader(right, name) {
				flips(values[0], few, func(s string) { give(name, func(w *wire) { w.header[name] = []string{s} }) })
				give(name+", gone", func(w *wire) { delete(w.header, name) })
				give(name+", twice", func(w *wire) { w.header[name] = append(w.header[name], "x") })
			}
		}
		if a := right.header.Get("Authorization"); a != "" {
			flips(a, all, func(s string) { give("Authorization", func(w *wire) { w.header.Set("Authorization", s) }) })
		}
		for _, p := range []string{"X-Amz-Copy-Source", "X-Amz-Acl", "X-Amz-Meta-More", "X-Amz-Tagging"} {
			give(p+" that is not signed", func(w *wire) { w.header.Add(p, "/photos/a.txt") })
		}
		if covered && len(right.body) > 0 {
			flips(string(right.body), []byte{1, 2, 64}, func(s string) { give("body", func(w *wire) { w.body = []byte(s) }) })
			give("body, longer", func(w *wire) { w.body = append(w.body, 'x') })
		}
	}
}

// signedHeader says whether the signature names a header.
func signedHeader(w wire, name string) bool {
	_, list, _ := strings.Cut(w.header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	return slices.Contains(strings.Split(list, ";"), strings.ToLower(name))
}

// hasher is what minio's signer wants of a hash.
type hasher struct{ hash.Hash }

func (hasher) Close() {}
