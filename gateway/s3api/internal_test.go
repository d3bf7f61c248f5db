package s3api

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

func TestMtime(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want time.Time
		ok   bool
	}{
		{"0", time.Unix(0, 0), true},
		{"1556938921.987654321", time.Unix(1556938921, 987654321), true},
		{"1556938921.5", time.Unix(1556938921, 500000000), true},
		{"1556938921.9876543219", time.Unix(1556938921, 987654321), true},
		{"-1.5", time.Unix(-2, 500000000), true},
		{"", time.Time{}, false},
		{"yesterday", time.Time{}, false},
		{"1.-5", time.Time{}, false},
		{"1.5.5", time.Time{}, false},
		{"99999999999999", time.Time{}, false},
		{"9999999999999999999999", time.Time{}, false},
	} {
		got, ok := parseMtime(tt.in)
		if ok != tt.ok || !got.Equal(tt.want) && ok {
			t.Errorf("%q: got %v, %v, want %v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
	for _, want := range []time.Time{time.Unix(0, 0), time.Unix(1556938921, 987000000), time.Unix(-5, 250000000), time.Unix(253402300799, 0)} {
		if got, ok := parseMtime(formatMtime(want)); !ok || !got.Equal(want) {
			t.Errorf("%v: as %q it is %v, %v", want, formatMtime(want), got, ok)
		}
	}
}

func TestMtimeOf(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	told := map[string]string{mtime: "1000000000.123456789"}
	for _, tt := range []struct {
		name string
		e    backend.Entry
		want string
	}{
		{"by S3", backend.Entry{Header: told, Modified: time.Unix(1000000000, 123000000), Created: now}, "1000000000.123456789"},
		{"by S3, changed since by WebDAV", backend.Entry{Header: told, Modified: time.Unix(1000000005, 0), Created: now}, "1000000005"},
		{"by WebDAV", backend.Entry{Modified: time.Unix(1000000005, 0), Created: now}, "1000000005"},
		{"by nobody", backend.Entry{Modified: now, Created: now}, ""},
		{"another's idea", backend.Entry{Header: map[string]string{mtime: "noon"}, Modified: now, Created: now}, "noon"},
	} {
		if got := mtimeOf(&tt.e); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestETags(t *testing.T) {
	for list, want := range map[string][]string{
		"":                      nil,
		`"a"`:                   {"a"},
		"a":                     {"a"},
		`W/"a", "b-2" ,c, ,"d"`: {"a", "b-2", "c", "d"},
		"*":                     {"*"},
	} {
		if got := etags(list); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", list, got, want)
		}
	}
}

func TestWithoutChunked(t *testing.T) {
	for in, want := range map[string]string{"": "", "aws-chunked": "", "gzip": "gzip", "gzip,aws-chunked": "gzip", "AWS-Chunked, gzip, br": "gzip, br"} {
		if got := withoutChunked(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCombineCRC(t *testing.T) {
	data := []byte(strings.Repeat("the quick brown fox ", 500))
	for _, a := range sigv4.Algorithms {
		if !linear(a) {
			continue
		}
		sum := func(b []byte) uint64 {
			h := a.New()
			h.Write(b)
			return bigEndian(h.Sum(nil))
		}
		for _, cut := range []int{0, 1, 7, 8, 4096, len(data) - 1, len(data)} {
			if got, want := combineCRC(a, sum(data[:cut]), sum(data[cut:]), int64(len(data)-cut)), sum(data); got != want {
				t.Errorf("%s cut at %d: got %x, want %x", a, cut, got, want)
			}
		}
	}
}

// Every operation of the table has a body, and none is there twice.
func TestOperations(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range operations {
		id := o.method + " " + string(rune('0'+o.place)) + " " + o.sub
		if seen[id] || o.do == nil || o.name == "" {
			t.Errorf("operation %s (%s)", o.name, id)
		}
		seen[id] = true
	}
}

// A range that is taken lies within the object and is what the header says.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=5-", "bytes=-5", "bytes=-0", "bytes=0-18446744073709551615", "items=0-1", "bytes=1-0", "bytes=0-1,2-3", "bytes= 1-2"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		s, ok, err := parseRange(header, size)
		if ok && err != nil {
			t.Error("taken and refused")
		}
		if ok && (s.off < 0 || s.n < 1 || s.off+s.n > size) {
			t.Errorf("%q of %d: got %+v", header, size, s)
		}
	})
}

// What is encoded for a listing is read back as it was, by both ways that clients
// decode.
func FuzzEncodeKey(f *testing.F) {
	f.Add("a b+c/é%20")
	f.Fuzz(func(t *testing.T, key string) {
		e := encodeKey(key)
		a, err1 := url.QueryUnescape(e)
		b, err2 := url.PathUnescape(e)
		if err1 != nil || err2 != nil || a != key || b != key {
			t.Errorf("%q is %q, and back %q, %q", key, e, a, b)
		}
		if strings.ContainsFunc(e, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is %q", key, e)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add("", []byte("a"))
	q := &request{bucket: "photos", principal: principalOf("u")}
	f.Fuzz(func(t *testing.T, token string, key []byte) {
		if k, err := q.openToken(token); err == nil && q.token(k) != token {
			t.Errorf("%q is another form of a token", token)
		}
		if k, err := q.openToken(q.token(string(key))); len(key) > 0 && (err != nil || k != string(key)) {
			t.Errorf("%q: got %q, %v", key, k, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(q.token(string(key)))
		if err != nil || len(raw) != 8+len(key) {
			t.Errorf("%q: %v", key, err)
		}
	})
}

func principalOf(uid string) *auth.Principal { return &auth.Principal{UID: uid} }
