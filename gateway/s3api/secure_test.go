package s3api

import (
	"crypto/tls"
	"net/http/httptest"
	"testing"
)

// TestSecure: without an Options.Secure, no header makes a connection a safe one.
func TestSecure(t *testing.T) {
	for _, c := range []struct {
		name, from string
		tls        bool
		header     []string
		want       bool
	}{
		{"loopback", "127.0.0.1:4000", false, nil, true},
		{"loopback, IPv6", "[::1]:4000", false, nil, true},
		{"TLS", "203.0.113.7:4000", true, nil, true},
		{"plain", "203.0.113.7:4000", false, nil, false},
		{"plain, that says it is not", "203.0.113.7:4000", false, []string{"X-Forwarded-Proto", "https"}, false},
		{"a proxy on this machine", "127.0.0.1:4000", false, []string{"X-Forwarded-For", "203.0.113.7"}, false},
		{"one that speaks HTTPS, it says", "127.0.0.1:4000", false, []string{"X-Forwarded-Proto", "https"}, false},
		{"one that says it as RFC 7239 has it", "127.0.0.1:4000", false, []string{"Forwarded", "for=203.0.113.7;proto=https"}, false},
	} {
		r := httptest.NewRequest("PUT", "/photos/a.jpg", nil)
		if r.RemoteAddr = c.from; c.tls {
			r.TLS = new(tls.ConnectionState)
		}
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		if got := secure(r); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
