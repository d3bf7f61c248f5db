package dav

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// PROPPATCH is answered here, not by the package. That refuses a request which
// names a live property before any File sees it, so that no client could set a
// time.

const maxPropInner = 4 << 10 // bytes, as backend.Prop has it

// A patch is one property of a PROPPATCH, and what becomes of it.
type patch struct {
	name      xml.Name
	code      int // 0 while nothing is wrong with it
	condition string
}

func (q *request) proppatch() error {
	update, err := q.readXML()
	if err != nil {
		return err
	}
	if update == nil || update.name != dav("propertyupdate") {
		return errXML
	}
	e, err := q.lookup()
	if err != nil {
		return err
	}
	if err := q.watch(protected{key: q.key}); err != nil {
		return err
	}
	var all []patch
	var p backend.PropPatch
	for _, instruction := range update.elements() {
		remove := instruction.name == dav("remove")
		if !remove && instruction.name != dav("set") {
			continue // RFC 4918 §17: what is not known is passed over
		}
		for _, prop := range instruction.elements() {
			if prop.name != dav("prop") {
				continue
			}
			for _, v := range prop.elements() {
				all = append(all, patchOne(&p, v, remove))
			}
		}
	}
	if len(all) == 0 {
		return errXML
	}
	if len(p.Set) > backend.MaxProps {
		for i := range all {
			if all[i].code == 0 {
				all[i].code = http.StatusInsufficientStorage // RFC 4918 §9.2.1
			}
		}
	}
	failed := false
	for _, a := range all {
		failed = failed || a.code != 0
	}
	if !failed {
		if len(p.Set)+len(p.Remove) > 0 || p.Modified != nil || p.Created != nil {
			if q.entry, err = q.lib.SetProps(q.ctx, q.key, p, q.confirm(q.cond)); err != nil {
				return err
			}
		} else if err := check(q.cond, e); err != nil {
			return err
		}
	}
	// All or nothing (RFC 4918 §9.2).
	for i := range all {
		switch {
		case !failed:
			all[i].code = http.StatusOK
		case all[i].code == 0:
			all[i].code = http.StatusFailedDependency
		}
	}
	return q.answerPatches(e, all)
}

// patchOne adds one property to p. Later instructions win over earlier ones.
func patchOne(p *backend.PropPatch, v *element, remove bool) patch {
	a := patch{name: v.name}
	var when **time.Time
	switch v.name {
	case dav("getlastmodified"), dav("lastmodified"), xml.Name{Space: nsMicrosoft, Local: "Win32LastModifiedTime"}:
		when = &p.Modified
	case dav("creationdate"), xml.Name{Space: nsMicrosoft, Local: "Win32CreationTime"}, xml.Name{Space: nsNextcloud, Local: "creation_time"}:
		when = &p.Created
	case xml.Name{Space: nsOwnCloud, Local: "checksums"}:
		return a // rclone repeats them when it sets a time; ours are of the content
	}
	switch {
	case when != nil && !remove:
		t, ok := parseTime(v.text())
		if !ok {
			a.code = http.StatusConflict
			return a
		}
		*when = &t
		return a
	case when != nil || isLive(v.name):
		a.code = http.StatusForbidden
		a.condition = "<D:cannot-modify-protected-property/>" // RFC 4918 §16
		return a
	}
	for i := range p.Set {
		if p.Set[i].Name == v.name {
			p.Set = append(p.Set[:i], p.Set[i+1:]...)
			break
		}
	}
	for i := range p.Remove {
		if p.Remove[i] == v.name {
			p.Remove = append(p.Remove[:i], p.Remove[i+1:]...)
			break
		}
	}
	if remove {
		p.Remove = append(p.Remove, v.name)
		return a
	}
	inner := v.appendInner(nil)
	if len(inner) > maxPropInner {
		a.code = http.StatusInsufficientStorage
		return a
	}
	p.Set = append(p.Set, backend.Prop{Name: v.name, Lang: v.lang, Inner: inner})
	return a
}

// answerPatches answers with a propstat for each status that occurs.
func (q *request) answerPatches(e *backend.Entry, all []patch) error {
	b := []byte(multistatus + "<D:response><D:href>" + q.href(q.key, e.Dir) + "</D:href>")
	for _, code := range []int{http.StatusOK, http.StatusForbidden, http.StatusConflict, http.StatusFailedDependency, http.StatusInsufficientStorage} {
		condition, n := "", 0
		for _, a := range all {
			if a.code != code {
				continue
			}
			if n++; n == 1 {
				b = append(b, "<D:propstat><D:prop>"...)
			}
			b = append(b, newTag(a.name).empty...)
			condition = a.condition
		}
		if n == 0 {
			continue
		}
		b = append(b, "</D:prop><D:status>HTTP/1.1 "+strconv.Itoa(code)+" "+http.StatusText(code)+"</D:status>"...)
		if condition != "" {
			b = append(b, "<D:error>"+condition+"</D:error>"...)
		}
		b = append(b, "</D:propstat>"...)
	}
	b = append(b, "</D:response></D:multistatus>\n"...)
	h := q.w.Header()
	h.Set("Content-Type", xmlType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	q.w.WriteHeader(http.StatusMultiStatus)
	q.w.Write(b)
	return nil
}
