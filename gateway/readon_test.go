package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/gateway"
)

// TestReadOn sends more than the connection's buffers hold to a face that refuses at
// once, the way nginx does: Connection: close, and no look at the answer before the
// body is sent.
func TestReadOn(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	})
	g := gateway.New(gateway.Faces{DAV: refuse, Page: refuse, S3: refuse}, nil)
	for name, h := range map[string]http.Handler{"web": g.Web(), "S3": g.S3()} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			c, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			const size = 16 << 20
			io.WriteString(c, "PUT /dav/photos/a.jpg HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 16777216\r\n\r\n")
			chunk := []byte(strings.Repeat("x", 1<<20))
			for n := 0; n < size; n += len(chunk) {
				if _, err := c.Write(chunk); err != nil {
					t.Fatalf("the connection broke after %d bytes: %v", n, err)
				}
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("the refusal is not there: %v", err)
			}
			if resp.StatusCode != http.StatusUnauthorized || resp.ContentLength < 0 {
				t.Errorf("got status %d, %d bytes, want 401 with its length", resp.StatusCode, resp.ContentLength)
			}
		})
	}
}
