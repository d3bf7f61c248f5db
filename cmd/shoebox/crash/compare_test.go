package crash

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// kindsOf counts faults by kind, as "lost 1, visible 2".
func kindsOf(fs []fault) string {
	n := map[string]int{}
	for _, f := range fs {
		n[f.kind]++
	}
	text := ""
	for _, k := range slices.Sorted(maps.Keys(n)) {
		text += fmt.Sprintf("%s %d ", k, n[k])
	}
	return text
}

// TestCompare is the checker's own test: it must see what is wrong, and only that.
func TestCompare(t *testing.T) {
	sent := map[string]bool{"A": true, "B": true, "C": true}
	sure := tree{"": "/", "d": "/", "d/a": "A", "d/b": "B", "e": "/", "f": "C"}
	with := func(change ...string) tree { // path, content, ...; no content takes it away
		n := maps.Clone(sure)
		for i := 0; i < len(change); i += 2 {
			if n[change[i]] = change[i+1]; change[i+1] == "" {
				delete(n, change[i])
			}
		}
		return n
	}
	put := &op{Kind: "put", Path: "g", SHA: "B"}
	over := &op{Kind: "put", Path: "f", SHA: "A"}
	move := &op{Kind: "move", Path: "f", To: "e/f"}
	copied := &op{Kind: "copy", Path: "d", To: "h"}
	gone := &op{Kind: "delete", Path: "f"}
	for _, c := range []struct {
		name    string
		pending *op
		got     tree
		want    string
	}{
		{"as it was told", nil, sure, ""},
		{"a file is gone", nil, with("f", ""), "lost 1 "},
		{"an older content", nil, with("f", "A"), "lost 1 "},
		{"never sent", nil, with("f", "?"), "torn 1 "},
		{"nobody's", nil, with("g", "A"), "visible 1 "},
		{"a put not done", put, sure, ""},
		{"a put done", put, with("g", "B"), ""},
		{"a put of something else", put, with("g", "A"), "visible 1 "},
		{"overwritten or not", over, with("f", "A"), ""},
		{"overwritten with another", over, with("f", "B"), "lost 1 "},
		{"a file gone while another has no verdict", put, with("f", ""), "lost 1 "},
		{"moved", move, with("f", "", "e/f", "C"), ""},
		{"moved, and gone from both", move, with("f", ""), "lost 1 "},
		{"moved, and in both", move, with("e/f", "C"), "visible 1 "},
		{"copied", copied, with("h", "/", "h/a", "A", "h/b", "B"), ""},
		{"copied in part", copied, with("h", "/", "h/a", "A"), "visible 2 "},
		{"copied in part, and a file gone", copied, with("h", "/", "h/a", "A", "f", ""), "lost 1 visible 2 "},
		{"copied, and more", copied, with("h", "/", "h/a", "A", "h/b", "B", "h/x", "A"), "visible 1 "},
		{"deleted or not", gone, with("f", ""), ""},
		{"deleted, and another gone", gone, with("f", "", "d/a", ""), "lost 1 "},

		// What once was counted as lost: a copy of a collection had been refused after a part of
		// it was made, and the next operation, which has no verdict, was not done.
		{"a refused copy in part, and a put not done", put, with("h", "/", "h/a", "A"), "visible 2 "},
		{"a refused copy in part, and a move not done", move, with("h", "/", "h/a", "A"), "visible 2 "},
		{"a refused copy in part, and a put done", put, with("h", "/", "h/a", "A", "g", "B"), "visible 2 "},
		{"a refused copy in part, and a file gone", put, with("h", "/", "h/a", "A", "f", ""), "lost 1 visible 2 "},
	} {
		p := &plot{sure: sure, pending: c.pending}
		if got := kindsOf(p.compare(c.got, sent)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestCompareShared is the same for the files that all clients write.
func TestCompareShared(t *testing.T) {
	sent := map[string]bool{"A": true, "B": true, "C": true}
	e := func(begin, end int64, state, kind, sha string) event {
		return event{Begin: begin, End: end, State: state, op: op{Kind: kind, Path: "s", SHA: sha, Shared: true}}
	}
	for _, c := range []struct {
		name   string
		events []event
		got    string // "" is absent
		want   string
	}{
		{"the last", []event{e(1, 2, "ok", "put", "A"), e(3, 4, "ok", "put", "B")}, "B", ""},
		{"not the last", []event{e(1, 2, "ok", "put", "A"), e(3, 4, "ok", "put", "B")}, "A", "lost 1 "},
		{"either of two at once", []event{e(1, 3, "ok", "put", "A"), e(2, 4, "ok", "put", "B")}, "A", ""},
		{"gone", []event{e(1, 2, "ok", "put", "A")}, "", "lost 1 "},
		{"deleted", []event{e(1, 2, "ok", "put", "A"), e(3, 4, "ok", "delete", "")}, "", ""},
		{"back from the dead", []event{e(1, 2, "ok", "put", "A"), e(3, 4, "ok", "delete", "")}, "A", "lost 1 "},
		{"no verdict, late", []event{e(1, 2, "unknown", "put", "A"), e(3, 4, "ok", "put", "B")}, "A", ""},
		{"no verdict, never", []event{e(1, 2, "ok", "put", "A"), e(3, 4, "unknown", "delete", "")}, "A", ""},
		{"refused, and there", []event{e(1, 2, "ok", "put", "A"), e(3, 4, "refused", "put", "B")}, "B", "visible 1 "},
		{"refused, and rightly not there", []event{e(1, 2, "ok", "put", "A"), e(3, 4, "refused", "put", "B")}, "A", ""},
		{"refused alone", []event{e(1, 2, "refused", "put", "B")}, "B", "visible 1 "},
		{"never sent", []event{e(1, 2, "ok", "put", "A")}, "?", "torn 1 "},
	} {
		got := tree{"": "/"}
		if c.got != "" {
			got["s"] = c.got
		}
		if got := kindsOf(compareShared(c.events, got, sent)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
