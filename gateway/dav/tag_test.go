package dav_test

import (
	"regexp"
	"testing"
)

// TestCollectionETag: a collection's tag changes with whatever changes below it, and is
// good for conditions.
func TestCollectionETag(t *testing.T) {
	s := newShare(t, nil)
	s.mkcol("/dav/photos/a")
	s.mkcol("/dav/photos/a/b")
	tagOf := func(path string) string {
		t.Helper()
		body := s.want(207, "PROPFIND", path, `<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>`, "Depth: 0").body
		m := regexp.MustCompile(`<D:getetag>([^<]+)</D:getetag>`).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("no tag in %s", body)
		}
		return m[1]
	}
	for name, change := range map[string]func(){
		"put":       func() { s.put("/dav/photos/a/b/x", "1") },
		"overwrite": func() { s.put("/dav/photos/a/b/x", "2") },
		"proppatch": func() { s.want(207, "PROPPATCH", "/dav/photos/a/b/x", win32) },
		"mkcol":     func() { s.mkcol("/dav/photos/a/b/c") },
	} {
		s.put("/dav/photos/a/b/x", "0")
		before := [3]string{tagOf("/dav"), tagOf("/dav/photos"), tagOf("/dav/photos/a")}
		if again := tagOf("/dav/photos/a"); again != before[2] {
			t.Errorf("the tag changes by itself: %s, %s", before[2], again)
		}
		change()
		after := [3]string{tagOf("/dav"), tagOf("/dav/photos"), tagOf("/dav/photos/a")}
		for i := range before {
			if before[i] == after[i] {
				t.Errorf("%s: the tag of level %d is still %s", name, i, before[i])
			}
		}
	}
	tag := tagOf("/dav/photos/a")
	s.want(412, "DELETE", "/dav/photos/a", "", `If-Match: "another"`)
	s.want(412, "DELETE", "/dav/photos/a", "", `If: (["another"])`)
	s.want(412, "DELETE", "/dav/photos/a", "", "If-None-Match: "+tag)
	s.want(204, "DELETE", "/dav/photos/a", "", "If-Match: "+tag, "If: (["+tag+"])")
}
