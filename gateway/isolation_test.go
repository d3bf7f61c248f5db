package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// A probe is a request with placeholders for identifiers of another tenant. It is sent by
// two tenants who have the same: by one with the other's identifiers, by the second with
// ones of the same form that nobody has. Nobody must be able to tell the answers apart.
type probe struct {
	face         string // "dav", "s3", "page"
	method, path string
	header       []string
	body         string
	// loose is for cursors, which may be refused where one nobody made is not, and for pages
	// full of what is the asker's own. What must not get out is the same.
	loose bool
}

// identifiers of a tenant, by placeholder.
type identifiers map[string]string

func (i identifiers) in(s string) string {
	for name, value := range i {
		s = strings.ReplaceAll(s, "{"+name+"}", value)
	}
	return s
}

// out puts the placeholders back, so that answers that repeat what was asked are alike.
func (i identifiers) out(s string) string {
	names := make([]string, 0, len(i))
	for name := range i {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(i[b]) - len(i[a]) }) // the longest first
	for _, name := range names {
		if v := i[name]; v != "" {
			s = strings.ReplaceAll(s, url.QueryEscape(v), "{"+name+"}")
			s = strings.ReplaceAll(s, v, "{"+name+"}")
		}
	}
	return s
}

// like is an identifier of the same form that nobody has.
func like(s string) string {
	b := []byte(s)
	changed := 0
	for i := len(b) - 3; i >= 0 && changed < 3; i-- {
		switch c := b[i]; {
		case c >= 'b' && c <= 'y', c >= 'B' && c <= 'Y', c >= '3' && c <= '6':
			b[i], changed = c-1, changed+1
		case c == 'a', c == 'A', c == '2':
			b[i], changed = c+1, changed+1
		}
	}
	return string(b)
}

// TestIsolation: nothing a tenant can send with another's identifiers gives out bytes,
// names or existence, or changes anything.
func TestIsolation(t *testing.T) {
	h := newHouse(t)
	const secret = "canary-content-of-ana"
	ana := h.tenant("canary.ana", account.MintOptions{})
	eves := []*tenant{h.tenant("evea", account.MintOptions{}), h.tenant("eveb", account.MintOptions{})}
	for _, eve := range eves {
		eve.put("photos/mine.txt", "what eve has")
		eve.put("photos/dir/too.txt", "what eve has, too")
	}
	// What no probe names, so that it can come from ana's tree only.
	unspoken := ana.put("photos/canary-dir/unspoken-name.txt", secret+" unspoken")
	if _, err := ana.library().Mkdir(t.Context(), "unspoken-library", nil); err != nil {
		t.Fatal(err)
	}
	second, _, err := h.accounts.Mint(t.Context(), ana.UID, account.MintOptions{Label: "unspoken-label", DAV: true})
	if err != nil {
		t.Fatal(err)
	}
	silent := []string{"unspoken", secret, string(unspoken.Ino), unspoken.ETag, unspoken.Object, second.ID}
	file := ana.put("photos/canary-dir/canary-name.jpg", secret)
	folder, err := ana.library().Stat(t.Context(), "photos/canary-dir")
	if err != nil {
		t.Fatal(err)
	}
	gone := ana.put("photos/canary-gone.txt", secret+"-gone")
	if err := ana.library().Delete(t.Context(), gone.Key, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ana.library().Mkdir(t.Context(), "canary-library", nil); err != nil {
		t.Fatal(err)
	}
	ana.put("photos/canary-old.txt", secret+"-old")
	ana.put("photos/canary-old.txt", secret+"-newer")
	locked := ana.dav("LOCK", "/dav/photos/canary-dir/canary-name.jpg", `<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`)
	upload := ana.s3("POST", "/photos/canary-upload.bin?uploads=", "")
	_, uploadID, _ := strings.Cut(upload.body, "<UploadId>")
	uploadID, _, _ = strings.Cut(uploadID, "<")
	if part := ana.s3("PUT", "/photos/canary-upload.bin?partNumber=1&uploadId="+url.QueryEscape(uploadID), secret); part.code != 200 {
		t.Fatal(part)
	}
	list := ana.s3("GET", "/photos?list-type=2&max-keys=1", "")
	cursor := between(list.body, "<NextContinuationToken>", "<")
	versions := ana.s3("GET", "/photos?versions=&prefix=canary-old", "")
	version := between(versions.body[strings.LastIndex(versions.body, "<VersionId>")+1:], "VersionId>", "<")
	sessions, err := h.accounts.Sessions(t.Context(), ana.UID)
	if err != nil {
		t.Fatal(err)
	}
	trash, err := ana.library().Trash(t.Context(), "", 1)
	if err != nil || len(trash) != 1 {
		t.Fatal(trash, err)
	}
	sum := sha256.Sum256([]byte(secret))
	theirs := identifiers{
		"ino": string(file.Ino), "number": fmt.Sprint(file.Ino.Number()), "dirIno": string(folder.Ino), "goneIno": string(gone.Ino), "object": file.Object, "etag": file.ETag,
		"token": strings.Trim(locked.head.Get("Lock-Token"), "<>"), "upload": uploadID, "cursor": cursor, "version": version,
		"trashCursor": trash[0].Cursor, "uid": ana.UID, "login": ana.Login, "key": ana.key.ID, "session": sessions[0].ID,
		"name": "canary-name.jpg", "dir": "canary-dir", "library": "canary-library", "gone": "canary-gone.txt",
		"sha": hex.EncodeToString(sum[:]), "presigned": strings.TrimPrefix(ana.presign("GET", "/photos/canary-dir/canary-name.jpg"), h.s3.URL),
	}
	nobodys := identifiers{}
	for name, v := range theirs {
		if v == "" {
			t.Fatalf("there is no %s", name)
		}
		nobodys[name] = like(v)
		if nobodys[name] == v {
			t.Fatalf("%s %q has nothing like it", name, v)
		}
	}
	nobodys["token"] = theirs["token"][:len(theirs["token"])-12] + like(theirs["token"][len(theirs["token"])-12:])
	for i, ids := range []identifiers{theirs, nobodys} { // what of an answer is of the asker
		ids["self"], ids["selfUID"], ids["selfKey"] = eves[i].Login, eves[i].UID, eves[i].key.ID
	}
	before := inventory(ana)

	sent, leaks := 0, 0
	for _, p := range probes() {
		var answers [2]answer
		var asked [2]string
		for i, ids := range []identifiers{theirs, nobodys} {
			var header []string
			for _, s := range p.header {
				header = append(header, ids.in(s))
			}
			body, path := ids.in(p.body), ids.in(p.path)
			asked[i] = path + strings.Join(header, " ") + body
			switch p.face {
			case "dav":
				answers[i] = eves[i].dav(p.method, path, body, header...)
			case "s3":
				answers[i] = eves[i].s3(p.method, path, body, header...)
			case "page":
				answers[i] = eves[i].page(p.method, path, body, header...)
			}
			sent++
			if p.method == "LOCK" { // so that it is in nobody's way
				if err := h.backend.DropLocks(t.Context(), eves[i].UID, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, canary := range silent {
			if strings.Contains(answers[0].body, canary) && !strings.Contains(asked[0], canary) {
				leaks++
				t.Errorf("%s %s %s: the answer has ana's %q:\n%.500s", p.face, p.method, p.path, canary, answers[0].body)
			}
		}
		if !p.loose {
			if a, b := shape(answers[0], theirs), shape(answers[1], nobodys); a != b {
				leaks++
				t.Errorf("%s %s %s %q: ana's identifier and nobody's give different answers: %s", p.face, p.method, p.path, p.header, differ(a, b))
			}
		}
		if leaks > 5 {
			t.FailNow()
		}
	}
	if sent < 2000 {
		t.Errorf("%d probes only", sent)
	}
	if after := inventory(ana); after != before {
		t.Errorf("what ana has was changed:\n%s\n%s", before, after)
	}
	if a := ana.dav("GET", "/dav/photos/canary-dir/canary-name.jpg", ""); a.body != secret {
		t.Errorf("ana's file is %q", a.body)
	}
	if _, _, err := h.accounts.Check(t.Context(), ana.password); err != nil {
		t.Errorf("ana's app password: %v", err)
	}
	t.Logf("%d probes, %d leaks", sent, leaks)
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// inventory is all that a tenant has, as text.
func inventory(x *tenant) string {
	x.h.t.Helper()
	var b strings.Builder
	ctx := x.h.t.Context()
	l := x.library()
	for _, dir := range []backend.Key{"", "photos", "photos/canary-dir", "canary-library"} {
		for e, err := range l.Members(ctx, dir) {
			if err != nil {
				x.h.t.Fatal(err)
			}
			fmt.Fprintln(&b, e.Key, e.Ino, e.ETag, e.Changed.UnixMilli())
		}
	}
	trash, err := l.Trash(ctx, "", 100)
	if err != nil {
		x.h.t.Fatal(err)
	}
	for _, t := range trash {
		fmt.Fprintln(&b, "trash", t.Entry.Key)
	}
	locks, err := l.Locks(ctx, "photos", true)
	if err != nil {
		x.h.t.Fatal(err)
	}
	for _, k := range locks {
		fmt.Fprintln(&b, "lock", k.Token, k.Expires.Unix())
	}
	passwords, err := x.h.accounts.AppPasswords(ctx, x.UID)
	if err != nil {
		x.h.t.Fatal(err)
	}
	sessions, err := x.h.accounts.Sessions(ctx, x.UID)
	if err != nil {
		x.h.t.Fatal(err)
	}
	a := x.s3("GET", "/photos?uploads=", "")
	parts := x.s3("GET", "/photos/canary-upload.bin?uploadId="+url.QueryEscape(between(a.body, "<UploadId>", "<")), "")
	fmt.Fprintln(&b, len(passwords), len(sessions), strings.Count(a.body, "<Upload>"), strings.Count(parts.body, "<Part>"))
	return b.String()
}

// differ is where two texts begin to be different.
func differ(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	from := max(0, i-120)
	return fmt.Sprintf("%s\n…%.300s\n…%.300s", a[:3]+" and "+b[:3], a[from:], b[from:])
}

var volatile = regexp.MustCompile(`(?s)<(RequestId|VersionId|LastModified|Initiated|UploadId|creationdate|D:creationdate|D:getlastmodified)>[^<]*<|opaquelocktoken:[0-9a-f-]+|"(ino|changed|modified|created|taken|etag|thumb|view|deleted)":"[^"]*"|/(o|i|api/item)/[a-z2-7]{16}[^"\n]*|\d{4}-\d\d-\d\dT[0-9:.]+Z|Second-\d+|<[a-zA-Z:]*(fileid|id)>[^<]*<|GMT|tag[a-z]*>[^<]*<`)

// shape is what of an answer must not depend on whether something exists.
func shape(a answer, ids identifiers) string {
	var b strings.Builder
	fmt.Fprintln(&b, a.code)
	for _, name := range []string{"Etag", "Location", "Content-Type", "Lock-Token", "X-Amz-Version-Id", "X-Amz-Delete-Marker", "Dav", "Allow", "Content-Range", "X-Amz-Copy-Source-Version-Id"} {
		v := a.head.Get(name)
		if name == "Lock-Token" || name == "X-Amz-Version-Id" || a.code < 300 && name == "Etag" {
			v = fmt.Sprint(v != "")
		}
		fmt.Fprintln(&b, name, volatile.ReplaceAllString(ids.out(v), "*"))
	}
	b.WriteString(volatile.ReplaceAllString(ids.out(a.body), "*"))
	return b.String()
}

func probes() []probe {
	var all []probe
	add := func(p probe) { all = append(all, p) }

	// WebDAV: every method on ways to another's tree, with another's conditions, locks and
	// destinations.
	const lockinfo = `<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`
	const propset = `<?xml version="1.0"?><propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">1</x></prop></set></propertyupdate>`
	methods := []string{"OPTIONS", "GET", "HEAD", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK", "POST"}
	paths := []string{
		"/dav/photos/{dir}/{name}", "/dav/photos/{dir}/", "/dav/photos/{gone}", "/dav/{library}/", "/dav/{library}/{name}", "/dav/{login}/photos/{dir}/{name}",
		"/dav/{uid}/photos/{dir}/{name}", "/dav/../{login}/photos/{dir}/{name}", "/dav/%2e%2e/{uid}/photos", "/dav/photos/..%2f..%2f{uid}/{name}",
		"/dav/photos/{ino}", "/dav/{object}", "/dav/photos/mine.txt", "/remote.php/dav/files/{login}/photos/{dir}/{name}", "/remote.php/dav/files/{self}/photos/{dir}/{name}",
		"/remote.php/webdav/photos/{dir}/{name}", "/remote.php/dav/uploads/{login}/{upload}/1",
		"/index.php/core/preview?fileId={number}&x=256&y=256", "/index.php/core/preview.png?file=/photos/{dir}/{name}",
		"/index.php/apps/files/api/v1/thumbnail/256/256/photos/{dir}/{name}",
	}
	headers := [][]string{
		nil,
		{"If", "(<{token}>)"},
		{"If", "</dav/photos/{dir}/{name}> (<{token}>)"},
		{"If", `(["{etag}"])`},
		{"Lock-Token", "<{token}>"},
		{"If-Match", `"{etag}"`},
		{"Destination", "/dav/photos/{dir}/{name}", "Depth", "0"},
		{"Destination", "/dav/{library}/{name}", "Overwrite", "F"},
		{"Destination", "/remote.php/dav/files/{login}/photos/x", "Depth", "infinity"},
	}
	for _, m := range methods {
		for _, path := range paths {
			for _, head := range headers {
				p := probe{face: "dav", method: m, path: path, header: head}
				switch m {
				case "PUT":
					p.body = "from eve"
				case "LOCK":
					p.body = lockinfo
				case "PROPPATCH":
					p.body = propset
				}
				if m == "PROPFIND" && len(head) == 0 {
					p.header = []string{"Depth", "1"}
				}
				if m == "DELETE" && path == "/dav/photos/mine.txt" || m == "MOVE" && path == "/dav/photos/mine.txt" {
					continue // her own file is there for the next probe
				}
				add(p)
			}
		}
	}

	// S3: every operation on another's names, uploads, versions, cursors and copy sources.
	for _, key := range []string{"/photos/{dir}/{name}", "/photos/{gone}", "/{library}/{name}", "/{uid}/photos/{name}", "/photos/mine.txt", "/photos/{object}", "/{login}/{name}"} {
		for _, op := range []struct{ method, query, body string }{
			{"GET", "", ""}, {"HEAD", "", ""}, {"PUT", "", "from eve"}, {"DELETE", "", ""}, {"GET", "attributes=", ""}, {"GET", "tagging=", ""},
			{"PUT", "tagging=", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"}, {"DELETE", "tagging=", ""}, {"GET", "acl=", ""},
			{"GET", "versionId={version}", ""}, {"HEAD", "versionId={version}", ""}, {"DELETE", "versionId={version}", ""}, {"GET", "partNumber=1", ""},
			{"PUT", "partNumber=1&uploadId={upload}", "from eve"}, {"PUT", "partNumber=2&uploadId={upload}", "from eve"}, {"GET", "uploadId={upload}", ""}, {"DELETE", "uploadId={upload}", ""},
			{"POST", "uploadId={upload}", "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"},
			{"GET", "legal-hold=", ""}, {"GET", "retention=", ""}, {"POST", "restore=", "<RestoreRequest><Days>1</Days></RestoreRequest>"},
		} {
			if op.method == "DELETE" && op.query == "" && key == "/photos/mine.txt" {
				continue
			}
			path := key
			if op.query != "" {
				path += "?" + op.query
			}
			for _, head := range [][]string{nil, {"If-Match", `"{etag}"`}, {"If-None-Match", `"{etag}"`}} {
				add(probe{face: "s3", method: op.method, path: path, header: head, body: op.body})
			}
		}
		for _, source := range []string{"/photos/{dir}/{name}", "photos/{dir}/{name}?versionId={version}", "/{library}/{name}", "/{uid}/photos/{dir}/{name}", "/photos/{gone}", "/photos/..%2F{uid}%2F{name}", "/{object}", "/photos/{ino}"} {
			add(probe{face: "s3", method: "PUT", path: key, header: []string{"X-Amz-Copy-Source", source}})
			add(probe{face: "s3", method: "PUT", path: key, header: []string{"X-Amz-Copy-Source", source, "X-Amz-Copy-Source-If-Match", `"{etag}"`}})
			add(probe{face: "s3", method: "PUT", path: key + "?partNumber=1&uploadId={upload}", header: []string{"X-Amz-Copy-Source", source}})
		}
	}
	for _, bucket := range []string{"/photos", "/{library}", "/{uid}", "/{login}"} {
		for _, q := range []string{"", "?list-type=2", "?list-type=2&prefix={dir}/", "?uploads=", "?versions=", "?versioning=", "?location=", "?prefix={dir}/&delimiter=/", "?list-type=2&start-after={dir}"} {
			for _, m := range []string{"GET", "HEAD"} {
				add(probe{face: "s3", method: m, path: bucket + q})
			}
		}
		for _, q := range []string{"?list-type=2&continuation-token={cursor}", "?marker={cursor}", "?uploads=&key-marker={dir}&upload-id-marker={upload}", "?versions=&key-marker={dir}&version-id-marker={version}"} {
			add(probe{face: "s3", method: "GET", path: bucket + q, loose: true})
		}
	}
	add(probe{face: "s3", method: "DELETE", path: "/{library}"})
	add(probe{face: "s3", method: "PUT", path: "/{library}"})
	add(probe{face: "s3", method: "DELETE", path: "/{library}"})
	add(probe{face: "s3", method: "GET", path: "/"})

	// The page and its API.
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	html := []string{"Accept", "text/html"}
	for _, id := range []string{"{ino}", "{dirIno}", "{goneIno}", "{object}", "{key}", "{uid}", "{session}", "{upload}", "..%2f{ino}", "{ino}%00"} {
		for _, p := range []probe{
			{method: "GET", path: "/o/" + id}, {method: "GET", path: "/o/" + id, header: []string{"Range", "bytes=0-3"}}, {method: "GET", path: "/o/" + id, header: []string{"If-None-Match", `"{etag}"`}},
			{method: "GET", path: "/i/" + id + "/thumb"}, {method: "GET", path: "/i/" + id + "/view"}, {method: "GET", path: "/api/item/" + id}, {method: "DELETE", path: "/api/item/" + id},
			{method: "POST", path: "/api/trash/" + id + "/restore"}, {method: "POST", path: "/trash/" + id + "/restore", header: form},
			{method: "DELETE", path: "/api/devices/" + id}, {method: "POST", path: "/devices/" + id + "/revoke", header: form},
			{method: "POST", path: "/account/sessions/" + id + "/end", header: form},
			{method: "DELETE", path: "/api/uploads/" + id}, {method: "POST", path: "/uploads/" + id + "/abort", header: form},
			{method: "POST", path: "/people/" + id + "/state", header: form, body: "state=suspended"}, {method: "POST", path: "/people/" + id + "/quota", header: form, body: "gb=1"},
			{method: "POST", path: "/api/devices", header: []string{"Content-Type", "application/json"}, body: `{"label":"x","root":"` + id + `"}`},
			{method: "POST", path: "/devices", header: form, body: "label=x&protocol=webdav&root=" + id},
		} {
			p.face = "page"
			add(p)
		}
	}
	for _, path := range []string{"/people/invite", "/people/withdraw"} {
		add(probe{face: "page", method: "POST", path: path, header: form, body: "email={login}%40example.org&issuer=https%3A%2F%2Fid.example"})
	}
	for _, token := range []string{"{token}", "{key}", "{ino}"} {
		add(probe{face: "page", method: "DELETE", path: "/api/locks/" + token})
		add(probe{face: "page", method: "POST", path: "/locks/" + token + "/break", header: form})
	}
	for _, path := range []string{"/", "/api/uploads", "/api/locks", "/tiles", "/devices", "/trash", "/account", "/people", "/api/timeline", "/api/trash", "/api/devices", "/api/activity"} {
		add(probe{face: "page", method: "GET", path: path, header: html, loose: true})
		for _, q := range []string{"?after={cursor}", "?after={trashCursor}", "?cursor={trashCursor}", "?before={cursor}", "?uid={uid}", "?root={dirIno}", "?ino={ino}"} {
			add(probe{face: "page", method: "GET", path: path + q, header: html, loose: true})
		}
	}
	add(probe{face: "page", method: "PUT", path: "/api/upload?name={name}&sha256={sha}", body: "not that"})
	add(probe{face: "page", method: "PUT", path: "/api/upload?name={name}&uid={uid}", body: "from eve"})
	return all
}

// TestForeignSignature: another's presigned URL, access key or session opens nothing when
// anything in it is eve's.
func TestForeignSignature(t *testing.T) {
	h := newHouse(t)
	ana, eve := h.tenant("ana", account.MintOptions{}), h.tenant("eve", account.MintOptions{})
	ana.put("photos/a.txt", "ana's")
	good := ana.presign("GET", "/photos/a.txt")
	if a := eve.do(h.request("GET", good, nil, nil)); a.code != 200 {
		t.Fatalf("a presigned URL is for whoever has it: %d", a.code)
	}
	u, err := url.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*url.URL, url.Values){
		"another key": func(u *url.URL, q url.Values) { u.Path = "/photos/b.txt" },
		"eve's key id": func(u *url.URL, q url.Values) {
			q.Set("X-Amz-Credential", strings.Replace(q.Get("X-Amz-Credential"), ana.key.AccessKeyID(), eve.key.AccessKeyID(), 1))
		},
		"a longer life":   func(u *url.URL, q url.Values) { q.Set("X-Amz-Expires", "604800") },
		"another bucket":  func(u *url.URL, q url.Values) { u.Path = "/other/a.txt" },
		"a sub-resource":  func(u *url.URL, q url.Values) { q.Set("tagging", "") },
		"another version": func(u *url.URL, q url.Values) { q.Set("versionId", "null") },
		"a later date": func(u *url.URL, q url.Values) {
			q.Set("X-Amz-Date", time.Now().Add(time.Minute).UTC().Format("20060102T150405Z"))
		},
	} {
		v, q := *u, u.Query()
		change(&v, q)
		v.RawQuery = q.Encode()
		if a := eve.do(h.request("GET", v.String(), nil, nil)); a.code != 403 {
			t.Errorf("%s: %d", name, a.code)
		}
	}
	for _, m := range []string{"PUT", "DELETE", "POST", "HEAD"} {
		if a := eve.do(h.request(m, good, nil, nil)); a.code != 403 && a.code != 429 { // there were many by now
			t.Errorf("%s: %d", m, a.code)
		}
	}
	both := h.request("GET", good, nil, nil)
	both.Header = eve.s3Request("GET", "/photos/a.txt", nil).Header
	if a := eve.do(both); a.code != 400 && a.code != 403 {
		t.Errorf("two credentials: %d", a.code)
	}
	r := eve.davRequest("GET", "/dav/photos/a.txt", nil)
	r.SetBasicAuth("ana", eve.password)
	if a := eve.do(r); a.code != http.StatusUnauthorized && a.code != http.StatusTooManyRequests {
		t.Errorf("ana's name with eve's password: %d", a.code)
	}
}
