package dav

import (
	"encoding/xml"
	"strconv"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// A propFunc appends the value of a live property of e, as XML. It says false if e
// has no such property.
type propFunc func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool)

// A liveProp is a property that we make, and that no client can set to anything.
type liveProp struct {
	name  xml.Name
	all   bool // part of allprop: those of RFC 4918, without what costs a look elsewhere
	value propFunc
}

var liveProps = []liveProp{
	{dav("resourcetype"), true, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		if e.Dir {
			dst = append(dst, "<D:collection/>"...)
		}
		return dst, true
	}},
	{dav("displayname"), true, func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool) {
		if e.Key == "" && e.Name == "" {
			return appendText(dst, l.principal.Login), true
		}
		return appendText(dst, e.Name), true
	}},
	{dav("getcontentlength"), true, ofFile(func(dst []byte, e *backend.Entry) []byte { return strconv.AppendInt(dst, e.Size, 10) })},
	{dav("getlastmodified"), true, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		return appendHTTPTime(dst, e.Modified), !e.Modified.IsZero()
	}},
	{dav("creationdate"), true, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		return e.Created.UTC().AppendFormat(dst, "2006-01-02T15:04:05Z"), !e.Created.IsZero()
	}},
	{dav("getcontenttype"), true, ofFile(func(dst []byte, e *backend.Entry) []byte {
		return appendText(dst, shownType(e))
	})},
	{dav("getetag"), true, func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool) {
		dst = append(dst, '"')
		dst = appendText(dst, l.etag(e))
		return append(dst, '"'), true
	}},
	{dav("supportedlock"), true, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		return append(dst, "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"+
			"<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"...), true
	}},
	{dav("lockdiscovery"), true, func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool) {
		for i := range l.locks {
			if k := &l.locks[i]; k.Ino == e.Ino || k.Infinite && k.Key.Contains(e.Key) {
				dst = l.appendLock(dst, k)
			}
		}
		return dst, true
	}},
	{dav("quota-available-bytes"), false, ofQuota(func(l *listing) int64 { return l.free })},
	{dav("quota-used-bytes"), false, ofQuota(func(l *listing) int64 { return l.usage.Bytes })},
	{dav("lastmodified"), false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		return strconv.AppendInt(dst, e.Modified.Unix(), 10), !e.Modified.IsZero()
	}},

	{oc("checksums"), false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		// A list in one element, blank between: as ownCloud has it, and rclone reads it.
		if e.Dir || e.SHA1 == "" && e.MD5 == "" {
			return dst, false
		}
		dst = append(dst, "<oc:checksum>"...)
		if e.SHA1 != "" {
			dst = append(append(dst, "SHA1:"...), e.SHA1...)
			if e.MD5 != "" {
				dst = append(dst, ' ')
			}
		}
		if e.MD5 != "" {
			dst = append(append(dst, "MD5:"...), e.MD5...)
		}
		return append(dst, "</oc:checksum>"...), true
	}},
	{oc("permissions"), false, func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool) {
		switch {
		case l.readOnly:
			return append(dst, 'G'), true
		case e.Key == "":
			return append(dst, "GCK"...), true
		case e.Dir:
			return append(dst, "GDNVCK"...), true
		}
		return append(dst, "GDNVW"...), true
	}},
	{oc("id"), false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) { return append(dst, e.Ino...), true }},
	{oc("fileid"), false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		// Clients of the ownCloud kind read a number of 63 bits.
		return strconv.AppendUint(dst, e.Ino.Number(), 10), true
	}},
	{oc("size"), false, func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool) {
		if e.Dir && e.Key == "" && l.usage != nil {
			return strconv.AppendInt(dst, l.usage.Bytes, 10), true
		}
		return strconv.AppendInt(dst, e.Size, 10), !e.Dir
	}},
	{oc("owner-id"), false, ofPrincipal(func(l *listing) string { return l.principal.Login })},
	{oc("owner-display-name"), false, ofPrincipal(func(l *listing) string { return l.principal.Name })},

	{nc("has-preview"), false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		return strconv.AppendBool(dst, len(e.Media.Variants) > 0), true
	}},
	{nc("creation_time"), false, unixTime(func(e *backend.Entry) time.Time { return e.Created })},
	{nc("upload_time"), false, unixTime(func(e *backend.Entry) time.Time { return e.Changed })},
	{nc("is-encrypted"), false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) { return append(dst, '0'), true }},
	{nc("mount-type"), false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) { return dst, true }},

	// Explorer sets these two, and reads back what it has set.
	{xml.Name{Space: nsMicrosoft, Local: "Win32LastModifiedTime"}, false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		return appendHTTPTime(dst, e.Modified), !e.Modified.IsZero()
	}},
	{xml.Name{Space: nsMicrosoft, Local: "Win32CreationTime"}, false, func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		return appendHTTPTime(dst, e.Created), !e.Created.IsZero()
	}},
}

// liveColumns finds a live property by name.
var liveColumns = func() map[xml.Name]column {
	m := make(map[xml.Name]column)
	for _, p := range liveProps {
		m[p.name] = column{newTag(p.name), p.name, p.value}
	}
	return m
}()

// protectedNames are live properties that we do not have.
var protectedNames = map[xml.Name]bool{dav("getcontentlanguage"): true}

func isLive(name xml.Name) bool { return liveColumns[name].value != nil || protectedNames[name] }

func oc(local string) xml.Name { return xml.Name{Space: nsOwnCloud, Local: local} }
func nc(local string) xml.Name { return xml.Name{Space: nsNextcloud, Local: local} }

func ofFile(f func([]byte, *backend.Entry) []byte) propFunc {
	return func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		if e.Dir {
			return dst, false
		}
		return f(dst, e), true
	}
}

// ofQuota: quotas are of collections, and all of them have the user's (RFC 4331 §3).
func ofQuota(f func(*listing) int64) propFunc {
	return func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool) {
		if !e.Dir {
			return dst, false
		}
		if l.usage == nil {
			return dst, l.namesOnly
		}
		return strconv.AppendInt(dst, f(l), 10), true
	}
}

func ofPrincipal(f func(*listing) string) propFunc {
	return func(dst []byte, l *listing, e *backend.Entry) ([]byte, bool) { return appendText(dst, f(l)), true }
}

func unixTime(f func(*backend.Entry) time.Time) propFunc {
	return func(dst []byte, _ *listing, e *backend.Entry) ([]byte, bool) {
		t := f(e)
		return strconv.AppendInt(dst, t.Unix(), 10), !t.IsZero()
	}
}
