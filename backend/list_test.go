package backend_test

import (
	"fmt"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
)

func TestListObjects(t *testing.T) {
	b := newBox(t)
	all := []string{"a", "a-b/1", "a.b/1", "a/1", "a/2/3", "a/2/4", "b/c/d", "z"}
	for _, k := range all {
		if k == "a" {
			continue
		}
		b.put("photos/"+k, k)
	}
	all = all[1:]
	if _, err := b.Mkdir(t.Context(), "photos/m", nil); err != nil {
		t.Fatal(err)
	}
	all = append(all[:6:6], "m/", "z")
	keys, _, _ := b.keys(backend.ListOptions{})
	if fmt.Sprint(keys) != fmt.Sprint(all) {
		t.Errorf("got  %q\nwant %q", keys, all)
	}
	keys, prefixes, _ := b.keys(backend.ListOptions{Delimiter: "/"})
	if fmt.Sprint(keys, prefixes) != "[z] [a-b/ a.b/ a/ b/ m/]" {
		t.Errorf("delimiter: got %q %q", keys, prefixes)
	}
	keys, prefixes, _ = b.keys(backend.ListOptions{Delimiter: "/", Prefix: "a/"})
	if fmt.Sprint(keys, prefixes) != "[a/1] [a/2/]" {
		t.Errorf("prefix: got %q %q", keys, prefixes)
	}
	keys, prefixes, _ = b.keys(backend.ListOptions{Delimiter: "/", Prefix: "a"})
	if fmt.Sprint(keys, prefixes) != "[] [a-b/ a.b/ a/]" {
		t.Errorf("bare prefix: got %q %q", keys, prefixes)
	}
	keys, prefixes, _ = b.keys(backend.ListOptions{Delimiter: "2"})
	if fmt.Sprint(keys, prefixes) != "[a-b/1 a.b/1 a/1 b/c/d m/ z] [a/2]" {
		t.Errorf("odd delimiter: got %q %q", keys, prefixes)
	}
	for _, o := range []backend.ListOptions{{}, {Delimiter: "/"}, {Prefix: "a"}, {Prefix: "a/", Delimiter: "/"}, {Delimiter: "2"}} {
		wantKeys, wantPrefixes, _ := b.keys(o)
		for size := 1; size < 5; size++ {
			var gotKeys, gotPrefixes []string
			o.Max, o.After = size, ""
			for {
				k, p, page := b.keys(o)
				gotKeys, gotPrefixes = append(gotKeys, k...), append(gotPrefixes, p...)
				if len(k)+len(p) > size {
					t.Fatalf("page of %d has %d", size, len(k)+len(p))
				}
				if !page.More {
					break
				}
				o.After = page.Next
			}
			if fmt.Sprint(gotKeys, gotPrefixes) != fmt.Sprint(wantKeys, wantPrefixes) {
				t.Errorf("%+v in pages of %d: got %q %q, want %q %q", o, size, gotKeys, gotPrefixes, wantKeys, wantPrefixes)
			}
		}
	}
}

func TestImplicitCollectionsGo(t *testing.T) {
	b := newBox(t)
	b.put("photos/a/b/c", "x")
	if err := b.Delete(t.Context(), "photos/a/b/c", &backend.DeleteOptions{Prune: true}); err != nil {
		t.Fatal(err)
	}
	if keys, _, _ := b.keys(backend.ListOptions{}); len(keys) != 0 {
		t.Errorf("left: %q", keys)
	}
}
