package dav_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

func TestLockProtects(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "A")
	s.put("/dav/photos/free.jpg", "F")
	token := s.lock("/dav/photos/a.jpg", "Timeout: Infinite, Second-4100000000")
	with, wrong := "If: (<"+token+">)", "If: (<opaquelocktoken:none>)"

	got := s.want(423, "PUT", "/dav/photos/a.jpg", "B")
	if !strings.Contains(got.body, "<D:lock-token-submitted><D:href>/dav/photos/a.jpg</D:href></D:lock-token-submitted>") {
		t.Errorf("423: got %s", got.body)
	}
	s.want(412, "PUT", "/dav/photos/a.jpg", "B", wrong)
	s.want(423, "PUT", "/dav/photos/a.jpg", "B", "If: (Not <DAV:no-lock>)") // true, but not its token
	s.want(423, "DELETE", "/dav/photos/a.jpg", "")
	s.want(423, "PROPPATCH", "/dav/photos/a.jpg", setProp(`<x xmlns="urn:x">y</x>`))
	s.want(423, "MOVE", "/dav/photos/a.jpg", "", "Destination: /dav/photos/b.jpg")
	s.want(423, "MOVE", "/dav/photos/free.jpg", "", "Destination: /dav/photos/a.jpg")
	s.want(423, "COPY", "/dav/photos/free.jpg", "", "Destination: /dav/photos/a.jpg")
	s.want(423, "DELETE", "/dav/photos/", "") // something below is locked
	s.want(423, "MOVE", "/dav/photos/", "", "Destination: /dav/archive/")
	s.want(201, "COPY", "/dav/photos/a.jpg", "", "Destination: /dav/photos/copy.jpg")
	got = s.want(423, "LOCK", "/dav/photos/a.jpg", lockBody)
	if !strings.Contains(got.body, "<D:no-conflicting-lock>") {
		t.Errorf("423: got %s", got.body)
	}
	s.want(423, "LOCK", "/dav/photos/", lockBody) // Depth: infinity over it

	s.want(204, "PUT", "/dav/photos/a.jpg", "B", with)
	s.want(204, "PUT", "/dav/photos/a.jpg", "B", "If: </dav/photos/a.jpg> (<"+token+">)")
	s.want(204, "PUT", "/dav/photos/a.jpg", "B", "If: <http://behind.a.proxy/dav/photos/a.jpg> (<"+token+">)")
	s.want(412, "PUT", "/dav/photos/a.jpg", "B", "If: </dav/photos/free.jpg> (<"+token+">)")
	s.want(207, "PROPPATCH", "/dav/photos/a.jpg", setProp(`<x xmlns="urn:x">y</x>`), with)

	s.want(409, "UNLOCK", "/dav/photos/free.jpg", "", "Lock-Token: <"+token+">")
	s.want(412, "LOCK", "/dav/photos/free.jpg", "", with) // refresh from elsewhere
	got = s.want(200, "LOCK", "/dav/photos/a.jpg", "", with, "Timeout: Second-60")
	if !strings.Contains(got.body, "<D:timeout>Second-60</D:timeout>") || got.Header.Get("Lock-Token") != "" {
		t.Errorf("refresh: got Lock-Token %q, %s", got.Header.Get("Lock-Token"), got.body)
	}
	s.want(204, "UNLOCK", "/dav/photos/a.jpg", "", "Lock-Token: <"+token+">")
	s.want(204, "PUT", "/dav/photos/a.jpg", "C")
}

// TestLockGoes: a lock ends with what it is on, and a MOVE does not take it along.
func TestLockGoes(t *testing.T) {
	s := newShare(t, nil)
	for _, c := range []struct{ method, header string }{{"DELETE", "Depth: infinity"}, {"MOVE", "Destination: /dav/photos/moved"}} {
		s.put("/dav/photos/a", "A")
		token := s.lock("/dav/photos/a")
		if got := s.do(c.method, "/dav/photos/a", "", c.header, "If: (<"+token+">)"); got.StatusCode/100 != 2 {
			t.Errorf("%s with the token: got status %d: %s", c.method, got.StatusCode, got.body)
		}
		s.want(201, "PUT", "/dav/photos/a", "B")
	}
	s.want(204, "PUT", "/dav/photos/moved", "C")
}

// TestSaveByMove is how Windows' programs save: the temporary file is locked and
// moved over the original, with one token for both.
func TestSaveByMove(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.doc", "old")
	token := s.lock("/dav/photos/a.tmp", "Depth: 0")
	s.want(204, "PUT", "/dav/photos/a.tmp", "new", "If: (<"+token+">)")
	s.want(204, "MOVE", "/dav/photos/a.tmp", "", s.dest("/dav/photos/a.doc"), "Overwrite: T", "If: (<"+token+">)")
	s.content("/dav/photos/a.doc", "new")
	s.gone("/dav/photos/a.tmp")
}

// TestLockNewName: it makes an empty file, and the bucket none.
func TestLockNewName(t *testing.T) {
	s := newShare(t, nil)
	got := s.want(201, "LOCK", "/dav/photos/n%C3%A9w%20%26.jpg", lockBody, "Depth: 0", "Timeout: Second-600")
	if !strings.Contains(got.body, "<D:lockroot><D:href>/dav/photos/n%C3%A9w%20%26.jpg</D:href></D:lockroot>") ||
		!strings.Contains(got.body, "<D:timeout>Second-600</D:timeout>") || !strings.Contains(got.body, `<D:owner><D:href xmlns:D="DAV:">ana's laptop</D:href></D:owner>`) {
		t.Errorf("got %s", got.body)
	}
	e, err := s.lib.Stat(t.Context(), "photos/néw &.jpg")
	if err != nil || !e.ByLock || e.Object != "" || e.Size != 0 {
		t.Errorf("entry: got %+v, %v", e, err)
	}
	s.content("/dav/photos/n%C3%A9w%20%26.jpg", "")
	token := strings.Trim(got.Header.Get("Lock-Token"), "<>")
	s.want(204, "PUT", "/dav/photos/n%C3%A9w%20%26.jpg", "x", "If: (<"+token+">)")
}

// TestLockedCollection: a lock of Depth 0 protects which members there are, one of
// infinite depth all that is below (RFC 4918 §7.4).
func TestLockedCollection(t *testing.T) {
	s := newShare(t, nil)
	s.mkcol("/dav/photos/d")
	s.put("/dav/photos/d/f", "F")
	token := s.lock("/dav/photos/d", "Depth: 0")
	with := "If: </dav/photos/d> (<" + token + ">)"
	s.want(204, "PUT", "/dav/photos/d/f", "changed") // no change of membership
	s.want(423, "PUT", "/dav/photos/d/g", "new")
	s.want(423, "MKCOL", "/dav/photos/d/e", "")
	s.want(423, "DELETE", "/dav/photos/d/f", "")
	s.want(423, "LOCK", "/dav/photos/d/h", lockBody)
	s.want(423, "COPY", "/dav/photos/d/f", "", "Destination: /dav/photos/d/g")
	s.want(201, "PUT", "/dav/photos/d/g", "new", with)
	s.want(204, "DELETE", "/dav/photos/d/g", "", with)
	s.want(204, "UNLOCK", "/dav/photos/d", "", "Lock-Token: <"+token+">")

	token = s.lock("/dav/photos/d")
	s.want(423, "PUT", "/dav/photos/d/f", "x")
	s.want(423, "LOCK", "/dav/photos/d/f", lockBody)
	s.want(204, "PUT", "/dav/photos/d/f", "x", "If: (<"+token+">)")
	got := s.want(207, "PROPFIND", "/dav/photos/d/f", `<D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/></D:prop></D:propfind>`, "Depth: 0")
	if !strings.Contains(got.body, token) || !strings.Contains(got.body, "<D:lockroot><D:href>/dav/photos/d") {
		t.Errorf("lockdiscovery below: got %s", got.body)
	}
	s.want(204, "UNLOCK", "/dav/photos/d/f", "", "Lock-Token: <"+token+">") // any path it covers
}

// TestLockDuringPut: a lock that comes while a body is on its way holds it up at the
// commit.
func TestLockDuringPut(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "original")
	if _, err := s.lib.Stat(t.Context(), "photos/a.jpg"); err != nil {
		t.Fatal(err)
	}
	body := &slow{parts: []string{"half", "rest"}, between: func() { s.lock("/dav/photos/a.jpg") }}
	if got := s.stream("PUT", "/dav/photos/a.jpg", body); got != 423 {
		t.Errorf("got status %d, want 423", got)
	}
	s.content("/dav/photos/a.jpg", "original")
}

// TestChangeDuringPut: so does another's write, for a client that said If-Match.
func TestChangeDuringPut(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "original")
	etag := s.do("HEAD", "/dav/photos/a.jpg", "").Header.Get("ETag")
	for _, header := range []string{"If-Match: " + etag, "If: ([" + etag + "])"} {
		s.put("/dav/photos/a.jpg", "original")
		body := &slow{parts: []string{"half", "rest"}, between: func() { s.put("/dav/photos/a.jpg", "other") }}
		if got := s.stream("PUT", "/dav/photos/a.jpg", body, header); got != 412 {
			t.Errorf("%s: got status %d, want 412", header, got)
		}
		s.content("/dav/photos/a.jpg", "other")
	}
	// Without conditions the last to end wins, and nobody sees a half.
	body := &slow{parts: []string{"half", "rest"}, between: func() { s.put("/dav/photos/a.jpg", "quick"); s.content("/dav/photos/a.jpg", "quick") }}
	if got := s.stream("PUT", "/dav/photos/a.jpg", body); got != 204 {
		t.Errorf("got status %d, want 204", got)
	}
	s.content("/dav/photos/a.jpg", "halfrest")
}

func TestLockTokensAreUUIDs(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a", "A")
	token := s.lock("/dav/photos/a")
	if !regexp.MustCompile(`^opaquelocktoken:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(token) {
		t.Errorf("got %q", token)
	}
	locks, err := s.lib.Locks(t.Context(), "photos/a", false)
	if err != nil || len(locks) != 1 || locks[0].By != "k1" || time.Until(locks[0].Expires) > 10*time.Minute {
		t.Errorf("got %+v, %v", locks, err)
	}
}

const sharedBody = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`

// TestSharedLocks: they live side by side, keep exclusive ones out, and the token of one
// of them is enough to write.
func TestSharedLocks(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a", "1")
	take := func(code int, body string) string {
		t.Helper()
		return s.want(code, "LOCK", "/dav/photos/a", body, "Depth: 0").Header.Get("Lock-Token")
	}
	one, two := take(200, sharedBody), take(200, sharedBody)
	if one == two || one == "" {
		t.Fatalf("got tokens %q, %q", one, two)
	}
	if got := take(423, lockBody); got != "" {
		t.Errorf("an exclusive one as well: %s", got)
	}
	found := s.want(207, "PROPFIND", "/dav/photos/a", asked["lock"], "Depth: 0").body
	if strings.Count(found, "<D:lockscope><D:shared/></D:lockscope><D:depth>") != 2 {
		t.Errorf("discovered: %s", found)
	}
	s.want(423, "PUT", "/dav/photos/a", "2")
	s.want(204, "PUT", "/dav/photos/a", "2", "If: ("+one+")")
	s.want(204, "UNLOCK", "/dav/photos/a", "", "Lock-Token: "+one)
	s.want(412, "PUT", "/dav/photos/a", "3", "If: ("+one+")")
	s.want(204, "PUT", "/dav/photos/a", "3", "If: ("+two+")")
	s.want(200, "LOCK", "/dav/photos/a", "", "If: ("+two+")")
	s.want(204, "UNLOCK", "/dav/photos/a", "", "Lock-Token: "+two)
	token := take(200, lockBody)
	take(423, sharedBody)
	s.want(204, "UNLOCK", "/dav/photos/a", "", "Lock-Token: "+token)
	for range 16 {
		take(200, sharedBody)
	}
	take(423, sharedBody) // there is an end to it
}

// TestTooManyLocks: a client that leaves its locks does not make each write slower without
// bound, and is told.
func TestTooManyLocks(t *testing.T) {
	s := newShare(t, nil)
	var last backend.Lock
	for i := range 500 {
		name := fmt.Sprintf("photos/%d", i)
		if _, _, err := s.lib.Put(t.Context(), backend.Key(name), strings.NewReader("x"), 1, nil); err != nil {
			t.Fatal(err)
		}
		var err error
		if last, err = s.lib.Lock(t.Context(), backend.Key(name), false, "", "k1", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.want(507, "LOCK", "/dav/photos/new", lockBody); !strings.Contains(got.body, "too many locks") {
		t.Errorf("got %s", got.body)
	}
	s.gone("/dav/photos/new")
	s.want(201, "PUT", "/dav/photos/other", "x")
	s.want(200, "LOCK", "/dav/"+string(last.Key), "", "If: (<"+last.Token+">)") // refreshed
	s.want(204, "UNLOCK", "/dav/"+string(last.Key), "", "Lock-Token: <"+last.Token+">")
	s.lock("/dav/photos/new")
}
