package auth

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestFail2ban: the shipped filter matches the line of a failure, in both formats of the
// log, takes the address out of it, and can not be made to take another.
func TestFail2ban(t *testing.T) {
	conf, err := os.ReadFile("../../deploy/fail2ban/shoebox.conf")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^failregex = (.*)$`).FindSubmatch(conf)
	if m == nil {
		t.Fatal("there is no failregex")
	}
	// As fail2ban does with <ADDR>.
	filter, err := regexp.Compile(strings.ReplaceAll(string(m[1]), "<ADDR>", `(?P<ip>[0-9a-fA-F:.]+)`))
	if err != nil {
		t.Fatal(err)
	}
	handlers := map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	}
	for format, handler := range handlers {
		for _, tt := range []struct{ addr, proto, key, reason string }{
			{"203.0.113.7:40000", "dav", "ABCDEFGHIJKLMNOP", "bad-secret"},
			{"203.0.113.7:40000", "s3", "", "unknown"},
			{"[2001:db8::1]:40000", "web", "", "bad-link"},
			{"203.0.113.7:40000", "oidc", "", "not-allowed"},
			{"203.0.113.7:40000", "dav", "x ip=198.51.100.1 proto=dav", "malformed"},
			{"203.0.113.7:40000", "dav", "", "auth: failed ip=198.51.100.1"},
		} {
			var log bytes.Buffer
			g := newGate(t, &Options{Logger: slog.New(handler(&log))})
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.addr
			g.Failed(r, tt.proto, tt.key, tt.reason)
			line := log.String()
			if format == "json" && json.Unmarshal(log.Bytes(), new(map[string]any)) != nil {
				t.Errorf("%q is not JSON", line)
			}
			got := filter.FindStringSubmatch(line)
			want := netip.MustParseAddrPort(tt.addr).Addr().String()
			switch {
			case got == nil && len(tt.key) <= 16 && !strings.Contains(tt.reason, " "):
				t.Errorf("%s: %q is not matched", format, line)
			case got != nil && got[filter.SubexpIndex("ip")] != want:
				t.Errorf("%s: %q is taken for one of %s", format, line, got[1])
			}
			if n := strings.Count(line, "\n"); n != 1 {
				t.Errorf("%d lines: %q", n, line)
			}
		}
		// What happens otherwise is no failure.
		var log bytes.Buffer
		l := slog.New(handler(&log))
		l.Info("request", "op", "dav GET", "principal", "auth: failed ip=198.51.100.1 proto=dav key=- reason=x", "status", 401)
		if filter.MatchString(log.String()) {
			t.Errorf("%s: %q is matched", format, log.String())
		}
	}
}
