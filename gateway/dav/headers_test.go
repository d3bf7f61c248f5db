package dav

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"net/http"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

func TestParseIf(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []ifList // nil: not an If header
	}{
		{"(<a:b>)", []ifList{{"", []ifCondition{{false, "a:b", ""}}}}},
		{` ( <a:b>  ["e"] ) `, []ifList{{"", []ifCondition{{false, "a:b", ""}, {false, "", "e"}}}}},
		{`(["e"])(Not <DAV:no-lock>)`, []ifList{{"", []ifCondition{{false, "", "e"}}}, {"", []ifCondition{{true, "DAV:no-lock", ""}}}}},
		{`([W/"e"]) (not["f"])`, []ifList{{"", []ifCondition{{false, "", "e"}}}, {"", []ifCondition{{true, "", "f"}}}}},
		{`</dav/a%20b> (<t:1>) (<t:2>) <http://other/dav/c> (<t:3>)`, []ifList{{"/dav/a b", []ifCondition{{false, "t:1", ""}}}, {"/dav/a b", []ifCondition{{false, "t:2", ""}}}, {"/dav/c", []ifCondition{{false, "t:3", ""}}}}},
		{"", nil}, {"()", nil}, {"(", nil}, {"(<a>", nil}, {"<a>", nil}, {"(<>)", nil}, {"(Not)", nil}, {`(["e)`, nil}, {"([e])", nil},
		{"(<a:b>) </x> (<c:d>)", nil}, // a mix of both
		{"</x> (<c:d>) junk", nil},    //
		{"<mailto:x> (<a:b>)", nil},   // no path
		{strings.Repeat("(<a:b>)", 65), nil},
		{"(" + strings.Repeat("<a:b>", 65) + ")", nil},
	} {
		got, ok := parseIf(c.in)
		if !ok {
			got = nil
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("parseIf(%.40q): got %v, want %v", c.in, got, c.want)
		}
	}
}

// FuzzParseIf: a header that is one stays the same when it is written out and read
// again.
func FuzzParseIf(f *testing.F) {
	for _, s := range []string{"(<a:b>)", `</a%20b> (Not <t:1> ["e"]) (["f"])`, `([W/"e"])(<c:d>)`, "<http://h/x>(<y>)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lists, ok := parseIf(s)
		if !ok {
			return
		}
		var b strings.Builder
		for _, l := range lists {
			if l.tag != "" {
				b.WriteString("<" + string(appendPath(nil, l.tag)) + "> ")
			}
			b.WriteString("(")
			for _, c := range l.conditions {
				if c.not {
					b.WriteString("Not ")
				}
				if c.token != "" {
					b.WriteString("<" + c.token + ">")
				} else {
					b.WriteString(`["` + c.etag + `"]`)
				}
			}
			b.WriteString(")")
		}
		again, ok := parseIf(b.String())
		if !ok || !reflect.DeepEqual(again, lists) {
			t.Errorf("%q became %q: got %v, want %v", s, b.String(), again, lists)
		}
	})
}

func TestParseETags(t *testing.T) {
	for _, c := range []struct {
		in           string
		strong, weak []string
	}{
		{`"a"`, []string{"a"}, []string{"a"}},
		{`"a", W/"b" ,"c,d"`, []string{"a", "c,d"}, []string{"a", "b", "c,d"}},
		{"*", []string{"*"}, []string{"*"}},
		{"JoplinIgnore-1234", nil, nil},
		{`junk, "a`, nil, nil},
		{`junk, "a"`, []string{"a"}, []string{"a"}},
		{"", nil, nil},
	} {
		if got := parseETags(c.in, false); !slices.Equal(got, c.strong) {
			t.Errorf("%q, strong: got %q, want %q", c.in, got, c.strong)
		}
		if got := parseETags(c.in, true); !slices.Equal(got, c.weak) {
			t.Errorf("%q, weak: got %q, want %q", c.in, got, c.weak)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"":                               10 * time.Minute,
		"Second-600":                     10 * time.Minute,
		"second-1":                       time.Second,
		"Second-0":                       time.Second,
		"Second-3600":                    time.Hour,
		"Second-4100000000":              time.Hour,
		"Second-99999999999999999999999": time.Hour,
		"Infinite":                       time.Hour,
		"Infinite, Second-4100000000":    time.Hour,
		"Extension-1, Second-30":         30 * time.Second,
		"Second--5":                      10 * time.Minute,
		"nonsense":                       10 * time.Minute,
	} {
		if got := parseTimeout(in); got != want {
			t.Errorf("parseTimeout(%q): got %v, want %v", in, got, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	want := time.Date(2018, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []string{"Tue, 02 Jan 2018 03:04:05 GMT", "2018-01-02T03:04:05Z", "2018-01-02T04:04:05+01:00", "1514862245", "1514862245.000"} {
		if got, ok := parseTime(s); !ok || !got.Equal(want) {
			t.Errorf("parseTime(%q): got %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "yesterday", "99999999999999", "1e9", "-", "1.x"} {
		if got, ok := parseTime(s); ok {
			t.Errorf("parseTime(%q): got %v, want none", s, got)
		}
	}
}

func testRequest(opt Options) *request {
	h := New(nil, &opt).(*handler)
	r, _ := http.NewRequest("MOVE", "http://shoebox.test/dav/photos/a", nil)
	return &request{handler: h, r: r, principal: &auth.Principal{Login: "ana"}}
}

func TestDestination(t *testing.T) {
	open, strict := testRequest(Options{}), testRequest(Options{Hosts: []string{"photos.example"}})
	for _, c := range []struct {
		in           string
		key          backend.Key
		open, strict bool
	}{
		{"/dav/photos/b", "photos/b", true, true},
		{"http://shoebox.test/dav/photos/b/", "photos/b", true, true},
		{"https://PHOTOS.example/dav/photos/%C3%A9%20%23", "photos/é #", true, true},
		{"http://other.example/dav/photos/b", "photos/b", true, false},
		{"http://shoebox.test/davx/photos/b", "", false, false},
		{"http://shoebox.test/dav/photos/../b", "", false, false},
		{"http://shoebox.test/dav/photos//b", "", false, false},
		{"http://shoebox.test/dav/photos/b?x", "", false, false},
		{"http://shoebox.test/dav/photos/b#x", "", false, false},
		{"photos/b", "", false, false},
		{"mailto:x", "", false, false},
		{"", "", false, false},
	} {
		for q, want := range map[*request]bool{open: c.open, strict: c.strict} {
			key, err := q.parseDestination(c.in)
			if (err == nil) != want || err == nil && key != c.key {
				t.Errorf("parseDestination(%q), hosts %q: got %q, %v; want %v", c.in, q.opt.Hosts, key, err, want)
			}
		}
	}
}

func TestLoginInPrefix(t *testing.T) {
	q := testRequest(Options{Prefix: "/remote.php/dav/files/{login}/"})
	if key, err := q.parsePath("/remote.php/dav/files/ana/photos/a"); key != "photos/a" || err != nil {
		t.Errorf("got %q, %v", key, err)
	}
	if key, err := q.parsePath("/remote.php/dav/files/ben/photos/a"); err == nil {
		t.Errorf("another user's path: got %q, want an error", key)
	}
	if got, want := q.href("photos/é", true), "/remote.php/dav/files/ana/photos/%C3%A9/"; got != want {
		t.Errorf("href: got %s, want %s", got, want)
	}
}

// FuzzPath: what is taken for a key comes back from its href, byte for byte, and
// nothing that a cleaning server would read otherwise is taken.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/dav/photos/a b", "/dav", "/dav/../x", "/dav/a//b", "/dav/é#?%;&+'\"", "http://h/dav/x%2Fy", "/dav/%00"} {
		f.Add(s)
	}
	q := testRequest(Options{})
	f.Fuzz(func(t *testing.T, s string) {
		key, err := q.parsePath(s)
		if err == nil {
			for name := range strings.SplitSeq(string(key), "/") {
				if key != "" && (name == "" || name == "." || name == "..") {
					t.Errorf("%q: got key %q", s, key)
				}
			}
			again, err := q.parseDestination("http://h" + q.href(key, strings.HasSuffix(s, "/")))
			if err != nil || again != key {
				t.Errorf("%q: key %q, href %q, again %q, %v", s, key, q.href(key, false), again, err)
			}
		}
		if key, err := q.parseDestination(s); err == nil {
			if again, err := q.parsePath("/dav/" + string(key)); err != nil || again != key {
				t.Errorf("Destination %q: key %q, again %q, %v", s, key, again, err)
			}
		}
	})
}
