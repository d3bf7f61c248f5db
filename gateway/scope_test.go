package gateway_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/browse"
)

var update = flag.Bool("update", false, "write deploy/scopes.md anew")

// A scoped is an app password of one scope, on every face. The page takes no app
// passwords; there its scope is tried as that of a session.
type scoped struct {
	*tenant
	name  string
	where string // "in" or "out": the folder that is tried
	api   http.Handler
}

func (s *scoped) onPage(method, path, body string, header ...string) answer {
	s.h.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	p := &auth.Principal{UID: s.UID, Login: s.Login, Session: "s", Access: backend.Access{Mode: s.key.Mode, Root: s.key.Root}}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
	return answer{w.Code, w.Header(), w.Body.String()}
}

var faceNames = []string{"WebDAV", "S3", "page"}

// A verb is something to do to a file that is there ("old…") or is not ("new…"). A nil
// function means that the face has no such verb.
type verb struct {
	name string
	do   [3]func(s *scoped, old *backend.Entry, fresh string) answer
}

func ino(e *backend.Entry) string { return string(e.Ino) }

var verbs = []verb{
	{"list a folder", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, _ string) answer {
			dir, _ := old.Key.Split()
			return seen(s.dav("PROPFIND", "/dav/"+string(dir)+"/", "", "Depth", "1"), old)
		},
		func(s *scoped, old *backend.Entry, _ string) answer {
			return seenKey(s.s3("GET", "/photos?list-type=2&prefix="+url.QueryEscape(strings.TrimPrefix(string(old.Key), "photos/")), ""), old)
		},
		nil, // the timeline has pictures only
	}},
	{"see that a file is there", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, _ string) answer {
			return s.dav("HEAD", "/dav/"+string(old.Key), "")
		},
		func(s *scoped, old *backend.Entry, _ string) answer { return s.s3("HEAD", "/"+string(old.Key), "") },
		func(s *scoped, old *backend.Entry, _ string) answer {
			return s.onPage("GET", "/api/item/"+ino(old), "")
		},
	}},
	{"read a file", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, _ string) answer { return s.dav("GET", "/dav/"+string(old.Key), "") },
		func(s *scoped, old *backend.Entry, _ string) answer { return s.s3("GET", "/"+string(old.Key), "") },
		func(s *scoped, old *backend.Entry, _ string) answer { return s.onPage("GET", "/o/"+ino(old), "") },
	}},
	{"create a file", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, _ *backend.Entry, fresh string) answer { return s.dav("PUT", "/dav/"+fresh, "new") },
		func(s *scoped, _ *backend.Entry, fresh string) answer { return s.s3("PUT", "/"+fresh, "new") },
		nil, // it decides on the folder itself
	}},
	{"create by a multipart upload", [3]func(*scoped, *backend.Entry, string) answer{
		nil,
		func(s *scoped, _ *backend.Entry, fresh string) answer {
			a := s.s3("POST", "/"+fresh+"?uploads=", "")
			_, id, _ := strings.Cut(a.body, "<UploadId>")
			id, _, _ = strings.Cut(id, "<")
			if a.code != 200 {
				return a
			}
			at := "/" + fresh + "?partNumber=1&uploadId=" + url.QueryEscape(id)
			if a = s.s3("PUT", at, "new"); a.code != 200 {
				return a
			}
			done := "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + a.head.Get("ETag") + "</ETag></Part></CompleteMultipartUpload>"
			return s.s3("POST", "/"+fresh+"?uploadId="+url.QueryEscape(id), done)
		},
		nil,
	}},
	{"overwrite a file", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, _ string) answer {
			return s.dav("PUT", "/dav/"+string(old.Key), "over")
		},
		func(s *scoped, old *backend.Entry, _ string) answer { return s.s3("PUT", "/"+string(old.Key), "over") },
		nil, // it never does
	}},
	{"delete a file", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, _ string) answer {
			return s.dav("DELETE", "/dav/"+string(old.Key), "")
		},
		func(s *scoped, old *backend.Entry, _ string) answer { return s.s3("DELETE", "/"+string(old.Key), "") },
		func(s *scoped, old *backend.Entry, _ string) answer {
			return s.onPage("DELETE", "/api/item/"+ino(old), "")
		},
	}},
	{"delete several", [3]func(*scoped, *backend.Entry, string) answer{
		nil,
		func(s *scoped, old *backend.Entry, _ string) answer {
			body := "<Delete><Object><Key>" + strings.TrimPrefix(string(old.Key), "photos/") + "</Key></Object></Delete>"
			sum := md5.Sum([]byte(body))
			a := s.s3("POST", "/photos?delete=", body, "Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
			if a.code == 200 && strings.Contains(a.body, "<Code>") {
				a.code = 403
			}
			return a
		},
		nil,
	}},
	{"copy a file", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, fresh string) answer {
			return s.dav("COPY", "/dav/"+string(old.Key), "", "Destination", s.h.web.URL+"/dav/"+fresh)
		},
		func(s *scoped, old *backend.Entry, fresh string) answer {
			return s.s3("PUT", "/"+fresh, "", "X-Amz-Copy-Source", "/"+string(old.Key))
		},
		nil,
	}},
	{"move a file", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, fresh string) answer {
			return s.dav("MOVE", "/dav/"+string(old.Key), "", "Destination", s.h.web.URL+"/dav/"+fresh)
		}, nil, nil,
	}},
	{"make a folder", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, _ *backend.Entry, fresh string) answer { return s.dav("MKCOL", "/dav/"+fresh, "") },
		func(s *scoped, _ *backend.Entry, fresh string) answer { return s.s3("PUT", "/"+fresh+"/", "") },
		nil,
	}},
	{"set properties or tags", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, _ string) answer {
			a := s.dav("PROPPATCH", "/dav/"+string(old.Key), `<?xml version="1.0"?><propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">1</x></prop></set></propertyupdate>`)
			if a.code == 207 && !strings.Contains(a.body, "200 OK") {
				a.code = 403
			}
			return a
		},
		func(s *scoped, old *backend.Entry, _ string) answer {
			return s.s3("PUT", "/"+string(old.Key)+"?tagging=", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>")
		},
		nil,
	}},
	{"lock a file", [3]func(*scoped, *backend.Entry, string) answer{
		func(s *scoped, old *backend.Entry, _ string) answer {
			return s.dav("LOCK", "/dav/"+string(old.Key), `<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`)
		}, nil, nil,
	}},
	{"bring back from the trash", [3]func(*scoped, *backend.Entry, string) answer{
		nil, nil,
		func(s *scoped, old *backend.Entry, _ string) answer {
			owner, err := s.h.backend.Library(s.h.t.Context(), s.UID, backend.Access{})
			if err == nil {
				err = owner.Delete(s.h.t.Context(), old.Key, nil)
			}
			if err != nil {
				s.h.t.Fatal(err)
			}
			return s.onPage("POST", "/api/trash/"+ino(old)+"/restore", "")
		},
	}},
}

func seenKey(a answer, e *backend.Entry) answer {
	if a.code < 300 && !strings.Contains(a.body, "<Key>"+strings.TrimPrefix(string(e.Key), "photos/")+"<") {
		a.code = 404
	}
	return a
}

// seen makes of a listing without the entry one that was refused.
func seen(a answer, e *backend.Entry) answer {
	_, name := e.Key.Split()
	if a.code < 300 && !strings.Contains(a.body, name+"</") { // as <Key> or <href> ends
		a.code = 404
	}
	return a
}

// TestScopes: what a scope allows is the same on every face, and as deploy/scopes.md says.
func TestScopes(t *testing.T) {
	h := newHouse(t)
	owner := h.tenant("ana", account.MintOptions{})
	if _, err := owner.library().Mkdir(t.Context(), "photos/out", nil); err != nil {
		t.Fatal(err)
	}
	in, err := owner.library().Mkdir(t.Context(), "photos/in", nil)
	if err != nil {
		t.Fatal(err)
	}
	api := browse.New(h.backend, h.accounts, nil)
	var columns []*scoped
	for _, c := range []struct {
		name, where string
		o           account.MintOptions
	}{
		{"read-write", "in", account.MintOptions{}},
		{"read-only", "in", account.MintOptions{Mode: backend.ReadOnly}},
		{"upload-only", "in", account.MintOptions{Mode: backend.UploadOnly}},
		{"read-write, folder: within", "in", account.MintOptions{Root: in.Ino}},
		{"… outside", "out", account.MintOptions{Root: in.Ino}},
		{"read-only, folder: within", "in", account.MintOptions{Root: in.Ino, Mode: backend.ReadOnly}},
		{"… outside", "out", account.MintOptions{Root: in.Ino, Mode: backend.ReadOnly}},
		{"upload-only, folder: within", "in", account.MintOptions{Root: in.Ino, Mode: backend.UploadOnly}},
		{"… outside", "out", account.MintOptions{Root: in.Ino, Mode: backend.UploadOnly}},
	} {
		columns = append(columns, &scoped{h.tenant("ana", c.o), c.name, c.where, api})
	}

	var table bytes.Buffer
	table.WriteString("<!-- Written by go test ./gateway -run TestScopes -update. -->\n\n# What an app password may do\n\n" +
		"Every cell was tried on each face that has the verb, with the same outcome. What is outside the\nfolder of an app password does not exist for it.\n\n| |")
	for _, c := range columns {
		table.WriteString(" " + c.name + " |")
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	n := 0
	for i, v := range verbs {
		var faces []string
		for f, do := range v.do {
			if do != nil {
				faces = append(faces, faceNames[f])
			}
		}
		fmt.Fprintf(&table, "| %s (%s) |", v.name, strings.Join(faces, ", "))
		for j, c := range columns {
			outcome := ""
			for f, do := range v.do {
				if do == nil {
					continue
				}
				n++
				at := fmt.Sprintf("photos/%s/%d-%d-%d", c.where, i, j, f)
				old := owner.put(backend.Key(at+"-old.txt"), "old content")
				a := do(c, old, at+"-new.txt")
				got := "no"
				switch {
				case a.code < 300:
					got = "yes"
				case a.code != 403 && a.code != 404 && a.code != 409:
					t.Errorf("%s, %s, %s: answered %d: %s", v.name, c.name, faceNames[f], a.code, a.body)
				}
				if c.where == "out" && strings.Contains(a.body, "old content") {
					t.Errorf("%s, %s, %s: content got out", v.name, c.name, faceNames[f])
				}
				// What was refused has changed nothing.
				if e, err := owner.library().Stat(t.Context(), old.Key); got == "no" && v.name != "bring back from the trash" && (err != nil || e.ETag != old.ETag) {
					t.Errorf("%s, %s, %s: refused, and done: %v", v.name, c.name, faceNames[f], err)
				}
				if outcome == "" {
					outcome = got
				} else if outcome != got {
					t.Errorf("%s, %s: %s on %s with %d, but %s before", v.name, c.name, got, faceNames[f], a.code, outcome)
				}
			}
			table.WriteString(" " + outcome + " |")
		}
		table.WriteString("\n")
	}
	t.Logf("%d probes", n)
	const golden = "../deploy/scopes.md"
	if *update {
		if err := os.WriteFile(golden, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(table.Bytes(), want) {
		t.Errorf("got\n%s", table.Bytes())
	}
}

// TestScopeProtocol: an app password of one protocol does not open the other, and none
// opens the page.
func TestScopeProtocol(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		o       account.MintOptions
		dav, s3 int
	}{
		{account.MintOptions{DAV: true}, 207, 403},
		{account.MintOptions{S3: true}, 403, 200},
		{account.MintOptions{DAV: true, S3: true}, 207, 200},
	} {
		ana := h.tenant("ana", tt.o)
		if a := ana.dav("PROPFIND", "/dav/", "", "Depth", "0"); a.code != tt.dav {
			t.Errorf("%+v: WebDAV answers %d, want %d", tt.o, a.code, tt.dav)
		}
		if a := ana.s3("GET", "/", ""); a.code != tt.s3 {
			t.Errorf("%+v: S3 answers %d, want %d", tt.o, a.code, tt.s3)
		}
		if a := ana.do(ana.davRequest("GET", "/api/devices", nil)); a.code != 401 {
			t.Errorf("the page answers %d to an app password", a.code)
		}
	}
}

// TestQuotaEverywhere: what is over the quota is refused on every face, by bytes and by
// files, and as RFC 4331 tells it.
func TestQuotaEverywhere(t *testing.T) {
	for _, tt := range []struct {
		name         string
		bytes, files int64
	}{{"bytes", 20, 0}, {"files", 0, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			ana := h.tenant("ana", account.MintOptions{})
			ana.put("photos/a.txt", "fifteen bytes..")
			if err := h.accounts.SetQuota(t.Context(), ana.UID, tt.bytes, tt.files); err != nil {
				t.Fatal(err)
			}
			const more = "ten bytes."
			for _, tc := range []struct {
				name string
				a    answer
				code int
			}{
				{"PUT", ana.dav("PUT", "/dav/photos/b.txt", more), 507},
				{"COPY", ana.dav("COPY", "/dav/photos/a.txt", "", "Destination", h.web.URL+"/dav/photos/c.txt"), 507},
				{"PutObject", ana.s3("PUT", "/photos/b.txt", more), 403},
				{"CopyObject", ana.s3("PUT", "/photos/c.txt", "", "X-Amz-Copy-Source", "/photos/a.txt"), 403},
				{"upload", ana.page("PUT", "/api/upload?name=b.txt", more), 507},
			} {
				if tc.a.code != tc.code || tc.code == 403 && !strings.Contains(tc.a.body, "QuotaExceeded") {
					t.Errorf("%s: %d %s", tc.name, tc.a.code, tc.a.body)
				}
			}
			if a := ana.dav("PROPFIND", "/dav/photos/", `<propfind xmlns="DAV:"><prop><quota-available-bytes/><quota-used-bytes/></prop></propfind>`, "Depth", "0"); tt.bytes > 0 &&
				(!strings.Contains(a.body, "quota-available-bytes>5<") || !strings.Contains(a.body, "quota-used-bytes>15<")) {
				t.Errorf("PROPFIND: %s", a.body)
			}
			if a := ana.page("GET", "/trash", "", "Accept", "text/html"); !strings.Contains(a.body, "<meter") {
				t.Errorf("the page tells no quota: %s", a.body)
			}
		})
	}
}
