package dav

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestParseXMLRefuses(t *testing.T) {
	for _, s := range []string{
		"", "text", "<a>", "<a></b>", "</a>", "<a/><b/>", "<a/>text", "<a><b></a></b>",
		`<!DOCTYPE a [<!ENTITY e "e">]><a>&e;</a>`, "<a>&e;</a>",
		`<D:a/>`, `<a b:c=""/>`, `<a xmlns:b=""/>`, `<a xmlns:xmlns="x"/>`, `<a xmlns:xml="urn:x"/>`,
		`<?xml version="1.0" encoding="utf-16"?><a/>`, "<a>\xff</a>", "<a>\x00</a>",
		strings.Repeat("<a>", 33) + strings.Repeat("</a>", 33),
		"<a " + strings.Repeat(`x="" `, 33) + "/>",
		// Well-formed to encoding/xml; listed as part of a dead property, no client could read it.
		`<:a/>`, `<a:/>`, `<a:b:c xmlns:a="urn:x"/>`, `<a:1 xmlns:a="urn:x"/>`, `<a:-b xmlns:a="urn:x"/>`, `<a:·b xmlns:a="urn:x"/>`,
		`<a :b=""/>`, `<a b:1="" xmlns:b="urn:x"/>`, `<a b="" b=""/>`, `<a xmlns="urn:x" xmlns="urn:y"/>`,
		`<a xmlns:b="urn:x" xmlns:c="urn:x" b:d="" c:d=""/>`,
		`<xml:a/>`, `<a xmlns="http://www.w3.org/XML/1998/namespace"/>`, `<b:a xmlns:b="http://www.w3.org/XML/1998/namespace"/>`,
		`<a xmlns="http://www.w3.org/2000/xmlns/"/>`, `<b:a xmlns:b="http://www.w3.org/2000/xmlns/"/>`,
	} {
		if e, err := parseXML([]byte(s)); err == nil {
			t.Errorf("%.60q: got %v, want an error", s, e)
		}
	}
	for _, s := range []string{`<a xml:lang="de" xmlns:xml="http://www.w3.org/XML/1998/namespace"/>`, `<_a/>`, `<ü xmlns:é="urn:x" é:a1-b.c="" a=""/>`, `<a xmlns:b="urn:x" b:d="" d=""/>`} {
		if _, err := parseXML([]byte(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	deepest := strings.Repeat("<a>", 32) + strings.Repeat("</a>", 32)
	if _, err := parseXML([]byte(deepest)); err != nil {
		t.Errorf("32 levels: %v", err)
	}
}

func TestAppendInner(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<x>text</x>`, `text`},
		{`<x> a &lt; b &amp; c </x>`, ` a &lt; b &amp; c `},
		{`<p:x xmlns:p="urn:p"><p:y p:a="1" b="2"><z/></p:y></p:x>`, `<y xmlns="urn:p" xmlns:a0="urn:p" a0:a="1" b="2"><z xmlns=""/></y>`},
		{`<x xmlns="urn:p"><y><z xmlns=""/></y></x>`, `<y xmlns="urn:p"><z xmlns=""/></y>`},
		{`<x xmlns="DAV:"><y><z xmlns="urn:p"><y xmlns="DAV:"/></z></y></x>`, `<D:y xmlns:D="DAV:"><z xmlns="urn:p"><D:y/></z></D:y>`},
		{`<x><y xml:lang="de">ä</y></x>`, `<y xml:lang="de">ä</y>`},
		{`<x><![CDATA[<b>]]></x>`, `&lt;b&gt;`},
		{`<x><!-- c --><?pi?></x>`, ``},
	} {
		e, err := parseXML([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		} else if got := string(e.appendInner(nil)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

// FuzzXML: what was taken is taken again as it is echoed, and means the same; and
// encoding/xml thinks it well-formed.
func FuzzXML(f *testing.F) {
	for _, s := range []string{`<x xmlns="urn:p" xmlns:q="urn:q"><q:y q:a="&lt;" b='"'/>t&amp;</x>`, "<x>\r\n\t</x>", "<x>\u00e4<y><z/></y></x>", `<x xmlns:q="0"><q:0 A=""A=''/>0</x>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseXML([]byte(s))
		if err != nil {
			return
		}
		out := "<w>" + string(e.appendInner(nil)) + "</w>"
		d := xml.NewDecoder(strings.NewReader(out))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%q became %q: %v", s, out, err)
			}
		}
		again, err := parseXML([]byte(out))
		if err != nil {
			t.Fatalf("%q became %q: %v", s, out, err)
		}
		if second := "<w>" + string(again.appendInner(nil)) + "</w>"; second != out {
			t.Errorf("%q became %q, then %q", s, out, second)
		}
	})
}
