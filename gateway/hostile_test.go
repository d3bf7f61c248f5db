package gateway_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// TestHostileRequests: what no honest client sends, byte by byte. It is refused, what came
// with it is not stored, and what stands behind it on the connection is not taken for another
// request, or a proxy in front would give one client's answer to another.
func TestHostileRequests(t *testing.T) {
	s := openSite(t, membucket.New(), memkv.New(), nil)
	addr, stop := serve(t, s.Config.Handler, nil, nil)
	defer stop()
	auth := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+s.password)) + "\r\n"
	put := "PUT /dav/photos/hostile.jpg HTTP/1.1\r\nHost: photos\r\n" + auth
	list := "PROPFIND /dav/photos/ HTTP/1.1\r\nHost: photos\r\nDepth: 0\r\n" + auth
	const smuggled = "DELETE /dav/photos/keep.jpg HTTP/1.1\r\nHost: photos\r\n"
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	if code, _ := s.raw(t, addr, "PUT /dav/photos/keep.jpg HTTP/1.1\r\nHost: photos\r\n"+auth+"Content-Length: 4\r\n\r\nkeep"); code != 201 {
		t.Fatalf("PUT: got status %d", code)
	}
	for name, tt := range map[string]struct {
		send string
		want []int // one of
	}{
		"a header of 1 MiB":         {list + "X-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", []int{431}},
		"10,000 headers":            {list + many(10_000, "X-Many-%d: x\r\n") + "\r\n", []int{431}},
		"a header without an end":   {list + strings.Repeat("x", 1<<20), []int{431, 400}},
		"a path of 1 MiB":           {"PROPFIND /dav/" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: photos\r\n" + auth + "\r\n", []int{431, 414}},
		"a long If":                 {put + "If: " + strings.Repeat("(<urn:x>) ", 5000) + "\r\nContent-Length: 1\r\n\r\nx", []int{400}},
		"NUL in a header":           {list + "X-Nul: a\x00b\r\n\r\n", []int{400}},
		"a folded header":           {list + "X-Fold: a\r\n b\r\n\r\n", []int{207, 400}},
		"blank before the colon":    {put + "Content-Length : 4\r\n\r\nhost", []int{400}},
		"two lengths":               {put + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nhost", []int{400}},
		"a length with a sign":      {put + "Content-Length: +4\r\n\r\nhost", []int{400}},
		"a negative length":         {put + "Content-Length: -4\r\n\r\nhost", []int{400}},
		"a length beyond 64 bits":   {put + "Content-Length: 99999999999999999999\r\n\r\nhost", []int{400}},
		"another transfer coding":   {put + "Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nhost\r\n0\r\n\r\n", []int{400, 501}},
		"chunked twice":             {put + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhost\r\n0\r\n\r\n", []int{400, 501}},
		"no chunk size":             {put + "Transfer-Encoding: chunked\r\n\r\n\r\nhost\r\n0\r\n\r\n", []int{400}},
		"a chunk size that is none": {put + "Transfer-Encoding: chunked\r\n\r\n-4\r\nhost\r\n0\r\n\r\n", []int{400}},
		"a chunk size of 17 digits": {put + "Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nhost\r\n0\r\n\r\n", []int{400}},
		"a chunk that is longer":    {put + "Transfer-Encoding: chunked\r\n\r\n4\r\nhostile\r\n0\r\n\r\n", []int{400}},
		"chunk extensions": {put + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("e", 4000)+"\r\nx\r\n", 100) + "0\r\n\r\n",
			[]int{400, 413}},
		"length and chunked": {put + "Content-Length: 500\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled + auth + "\r\n", []int{400, 201}},
		"no host":            {"PROPFIND /dav/photos/ HTTP/1.1\r\n" + auth + "\r\n", []int{400}},
		"two hosts":          {list + "Host: other\r\n\r\n", []int{400}},
	} {
		code, rest := s.raw(t, addr, tt.send)
		ok := false
		for _, want := range tt.want {
			ok = ok || code == want
		}
		if !ok {
			t.Errorf("%s: got status %d, want %v", name, code, tt.want)
		}
		if strings.Contains(rest, "HTTP/1.1 204") {
			t.Errorf("%s: what stood behind it was done", name)
		}
		want := 404
		if code == 201 {
			want = 200
		}
		if got, _ := s.get("/dav/photos/hostile.jpg"); got != want {
			t.Errorf("%s: afterwards the file has status %d, want %d", name, got, want)
		}
		s.raw(t, addr, "DELETE /dav/photos/hostile.jpg HTTP/1.1\r\nHost: photos\r\n"+auth+"\r\n")
	}
	if code, got := s.get("/dav/photos/keep.jpg"); code != 200 || got != "keep" {
		t.Errorf("another file: got status %d, %q", code, got)
	}
}

// raw sends bytes to addr, and a last request after them on the same connection. It returns
// the status of the first answer, 0 if there is none, and the others.
func (s *site) raw(t *testing.T, addr, text string) (code int, rest string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go io.WriteString(c, text+"OPTIONS /dav/ HTTP/1.1\r\nHost: photos\r\nConnection: close\r\n\r\n") // the server may hang up first
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, ""
	}
	io.Copy(io.Discard, res.Body)
	all, _ := io.ReadAll(r)
	return res.StatusCode, string(all)
}
