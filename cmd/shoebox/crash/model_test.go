package crash

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An op is one operation of a client. Paths are below the client's own collection,
// or, if Shared, below that of all.
type op struct {
	Kind   string `json:"op"` // put, mkcol, move, copy, delete, get, bad
	Face   string `json:"face"`
	Path   string `json:"path"`
	To     string `json:"to,omitempty"`
	SHA    string `json:"sha,omitempty"` // of the body sent, or that must come
	Shared bool   `json:"shared,omitempty"`
	Gen    int    `json:"gen"`              // which collection of the client
	Create bool   `json:"create,omitempty"` // only if there is nothing (If-None-Match: *)
}

func (o op) writes() bool { return o.Kind != "get" && o.Kind != "bad" }

// A tree is the files and collections that must be there: path → SHA-256 of the
// content, or "/" of a collection. "" is the client's collection itself.
type tree map[string]string

func below(path, dir string) bool {
	return path == dir || dir == "" || strings.HasPrefix(path, dir+"/")
}

// after is the tree once o is done.
func (t tree) after(o op) tree {
	n := maps.Clone(t)
	switch o.Kind {
	case "put":
		n[o.Path] = o.SHA
	case "mkcol":
		n[o.Path] = "/"
	case "delete":
		maps.DeleteFunc(n, func(p, _ string) bool { return below(p, o.Path) })
	case "move", "copy":
		maps.DeleteFunc(n, func(p, _ string) bool { return below(p, o.To) })
		for p, v := range t {
			if below(p, o.Path) {
				if o.Kind == "move" {
					delete(n, p)
				}
				n[o.To+strings.TrimPrefix(p, o.Path)] = v
			}
		}
	}
	return n
}

// A plot is one collection of one client, and what is not known about it: at most
// one operation, after which the client takes another collection.
type plot struct {
	client, gen int
	sure        tree
	pending     *op
}

func (p *plot) root() string { return fmt.Sprintf("c%02d-%d", p.client, p.gen) }

// A fault is what is wrong after a crash.
type fault struct {
	kind string // lost, torn, visible
	text string
}

// outcomes are the trees that may be there: that of all that was acknowledged, and that
// with the one operation that has no verdict done, whole.
func (p *plot) outcomes() []tree {
	if p.pending == nil {
		return []tree{p.sure}
	}
	return []tree{p.sure, p.sure.after(*p.pending)}
}

// compare says what of got can not be. If got is none of the outcomes, it is compared with
// the one to which the least is lost: what another operation left behind must not
// make one that has no verdict, and was not done, look like a loss.
func (p *plot) compare(got tree, bodies map[string]bool) (faults []fault) {
	least := -1
	for _, want := range p.outcomes() {
		fs := p.differences(got, want, bodies)
		if len(fs) == 0 {
			return nil
		}
		bad := len(fs)
		for _, f := range fs {
			if f.kind != "visible" {
				bad += 1000
			}
		}
		if least < 0 || bad < least {
			least, faults = bad, fs
		}
	}
	if p.pending != nil {
		faults[0].text += fmt.Sprintf(" (pending: %+v)", *p.pending)
	}
	return faults
}

// differences are those of got from want.
func (p *plot) differences(got, want tree, bodies map[string]bool) (faults []fault) {
	for path, v := range got {
		switch {
		case v != "/" && !bodies[v]:
			faults = append(faults, fault{"torn", p.root() + "/" + path + " is nothing that was written"})
		case want[path] == "":
			faults = append(faults, fault{"visible", p.root() + "/" + path + " should not be there"})
		case want[path] != v:
			faults = append(faults, fault{"lost", p.root() + "/" + path + " has other content"})
		}
	}
	for path := range want {
		if got[path] == "" {
			faults = append(faults, fault{"lost", p.root() + "/" + path + " is not there"})
		}
	}
	return faults
}

// compareShared checks the files that all clients write: each is a register, and its
// content must be that of a write which no acknowledged write follows. "" is absent.
func compareShared(events []event, got tree, bodies map[string]bool) (faults []fault) {
	byPath, refused := map[string][]event{}, map[string]bool{}
	for _, e := range events {
		switch {
		case !e.Shared || !e.writes():
		case e.State == "ok" || e.State == "unknown":
			byPath[e.Path] = append(byPath[e.Path], e)
		case e.State == "refused" && e.SHA != "":
			refused[e.SHA] = true
		}
	}
	for path, es := range byPath {
		allowed := map[string]bool{}
		followed := func(end int64) bool {
			return slices.ContainsFunc(es, func(o event) bool { return o.State == "ok" && o.Begin > end })
		}
		if !followed(0) {
			allowed[""] = true
		}
		for _, e := range es {
			v := e.SHA
			if e.Kind == "delete" {
				v = ""
			}
			// What has no answer may come to light at any time.
			if e.State == "unknown" || !followed(e.End) {
				allowed[v] = true
			}
		}
		v := got[path]
		switch {
		case allowed[v]:
		case v != "" && !bodies[v]:
			faults = append(faults, fault{"torn", "shared/" + path})
		case refused[v]:
			faults = append(faults, fault{"visible", fmt.Sprintf("shared/%s is %.8q, which was refused", path, v)})
		default:
			faults = append(faults, fault{"lost", fmt.Sprintf("shared/%s is %.8q, may be %d others", path, v, len(allowed))})
		}
	}
	for path := range got {
		if path != "" && byPath[path] == nil {
			faults = append(faults, fault{"visible", "shared/" + path + " should not be there"})
		}
	}
	return faults
}

// createdTwice finds creations of a shared file that succeeded though it was there.
func createdTwice(events []event) (wrongs []string) {
	for _, b := range events {
		if !b.Create || b.State != "ok" {
			continue
		}
		for _, a := range events {
			if a.Path != b.Path || !a.Shared || a.Kind != "put" || a.State != "ok" || a.End > b.Begin {
				continue
			}
			gone := slices.ContainsFunc(events, func(d event) bool {
				return d.Path == b.Path && d.Shared && d.Kind == "delete" && d.Begin < b.End &&
					(d.State == "unknown" || d.State == "ok" && d.End > a.Begin)
			})
			if !gone {
				wrongs = append(wrongs, fmt.Sprintf("%s was created while it was there", b.Path))
				break
			}
		}
	}
	return wrongs
}
