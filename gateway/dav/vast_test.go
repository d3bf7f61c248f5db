package dav_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// A vast index has one collection with n members, of which only one is stored: the others
// are made of it as they are read.
type vast struct {
	kv.Store
	n    int
	p    string // partition of the collection
	d    []byte // record of the one
	read atomic.Int64
}

func (v *vast) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	if p != v.p || v.d == nil {
		rows, more, err := v.Store.Scan(ctx, p, from, to, rev, n)
		for _, row := range rows {
			if row.S == "one.jpg" {
				v.p, v.d = p, row.D
			}
		}
		return rows, more, err
	}
	first := 0
	if from != "" {
		fmt.Sscanf(from, "%d.jpg", &first)
		first++ // from is what follows the last that was read
	}
	var rows []kv.Row
	for i := first; i < v.n && len(rows) < n; i++ {
		rows = append(rows, kv.Row{Key: kv.Key{P: p, S: fmt.Sprintf("%08d.jpg", i)}, V: 1, D: v.d})
	}
	v.read.Add(int64(len(rows)))
	return rows, first+len(rows) < v.n, ctx.Err()
}

// newVast is a share over it.
func newVast(t *testing.T, n int) (http.Handler, *vast) {
	t.Helper()
	x := &vast{Store: memkv.New(), n: n}
	b := backend.New(membucket.New(), x, nil)
	lib, err := b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := lib.Put(t.Context(), "photos/one.jpg", strings.NewReader("1"), 1, nil); err != nil {
		t.Fatal(err)
	}
	for range lib.Members(t.Context(), "photos") {
	}
	h := dav.New(b, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(auth.With(r.Context(), &auth.Principal{UID: uid, Login: "ana"})))
	}), x
}

// TestDepthInfinityOfAMillion is refused after a look at as many as are allowed.
func TestDepthInfinityOfAMillion(t *testing.T) {
	h, x := newVast(t, 1_000_000)
	for _, depth := range []string{"infinity", ""} {
		x.read.Store(0)
		r := httptest.NewRequest("PROPFIND", "/dav/", nil)
		r.Header.Set("Depth", depth)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "<D:propfind-finite-depth/>") {
			t.Errorf("Depth %q: got status %d, %.200s", depth, w.Code, w.Body)
		}
		if n := x.read.Load(); n > 51_000 {
			t.Errorf("Depth %q: %d rows were read to refuse what is over 50,000", depth, n)
		}
	}
}

// TestLargeListing streams a listing of 60,000 files, in memory that does not grow, and is
// whole. To a client that goes away in the middle nothing more is read for.
func TestLargeListing(t *testing.T) {
	const files = 60_000
	h, x := newVast(t, files)
	s := httptest.NewServer(h)
	defer s.Close()
	list := func() *http.Response {
		r, err := http.NewRequest("PROPFIND", s.URL+"/dav/photos/", strings.NewReader(asked["davfs2"]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Depth", "1")
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	inUse := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	res := list()
	defer res.Body.Close()
	d := xml.NewDecoder(res.Body)
	n, most := 0, int64(0)
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d entries: %v", n, err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "response" {
			if n++; n%20_000 == 0 {
				most = max(most, inUse()-before)
			}
		}
	}
	if n != files+1 {
		t.Errorf("got %d entries, want %d", n, files+1)
	}
	if most > 16<<20 {
		t.Errorf("%d bytes of memory are in use meanwhile", most)
	}

	x.read.Store(0)
	res = list()
	if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	s.Close() // waits for the request to end
	if n := x.read.Load(); n > files/2 {
		t.Errorf("%d entries were read for a client that has gone", n)
	}
}
