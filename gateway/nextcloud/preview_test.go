package nextcloud_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// TestPreviews asks in each way that apps do.
func TestPreviews(t *testing.T) {
	s := newServer(t)
	files := "/remote.php/dav/files/ana"
	s.want(201, "MKCOL", files+"/InstantUpload/", "")
	for _, name := range []string{"seen one.jpg", "plain.txt"} {
		s.want(201, "PUT", files+"/InstantUpload/"+strings.ReplaceAll(name, " ", "%20"), "content of "+name)
	}
	e, err := s.lib.Stat(t.Context(), "photos/InstantUpload/seen one.jpg")
	if err != nil {
		t.Fatal(err)
	}
	m := backend.Media{Processed: true, Width: 4000, Height: 3000}
	for _, v := range []string{"thumb", "view"} {
		if err := s.b.PutVariant(t.Context(), s.user.UID, e.Object, v, "r1", "webp", "image/webp", []byte(v+" of one")); err != nil {
			t.Fatal(err)
		}
		m.Variants = append(m.Variants, v+"-r1.webp")
	}
	if err := s.b.Finish(t.Context(), s.user.UID, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m}}); err != nil {
		t.Fatal(err)
	}

	const ask = `<d:propfind xmlns:d="DAV:" xmlns:nc="http://nextcloud.org/ns" xmlns:oc="http://owncloud.org/ns"><d:prop><oc:fileid/><nc:has-preview/></d:prop></d:propfind>`
	one := s.want(207, "PROPFIND", files+"/InstantUpload/seen%20one.jpg", ask, "Depth: 0").body
	plain := s.want(207, "PROPFIND", files+"/InstantUpload/plain.txt", ask, "Depth: 0").body
	if !strings.Contains(one, "<nc:has-preview>true<") || !strings.Contains(plain, "<nc:has-preview>false<") {
		t.Errorf("has-preview: got %s and %s", one, plain)
	}
	number := func(body string) string { return regexp.MustCompile(`<oc:fileid>(\d+)<`).FindStringSubmatch(body)[1] }

	const thumbnail = "/index.php/apps/files/api/v1/thumbnail"
	var tag string
	for _, tt := range []struct{ path, want string }{
		{thumbnail + "/256/256/InstantUpload/seen%20one.jpg", "thumb of one"},
		{thumbnail + "/256/256/photos/InstantUpload/seen%20one.jpg", "thumb of one"},
		{thumbnail + "/1080/2160/InstantUpload/seen%20one.jpg", "view of one"},
		{"/index.php/core/preview.png?file=%2FInstantUpload%2Fseen%20one.jpg&x=128&y=128&a=1", "thumb of one"},
		{"/index.php/core/preview.png?file=/photos/InstantUpload/seen+one.jpg&x=1000&y=1000", "view of one"},
		{"/index.php/core/preview?fileId=" + number(one) + "&x=540&y=1080&a=1&mode=cover&forceIcon=0", "view of one"},
		{"/index.php/core/preview?fileId=" + number(one) + "&x=256&y=256", "thumb of one"},
	} {
		got := s.want(200, "GET", tt.path, "")
		if got.body != tt.want || got.Header.Get("Content-Type") != "image/webp" || !strings.HasPrefix(got.Header.Get("Cache-Control"), "private") {
			t.Errorf("%s: got %q, %v, want %q", tt.path, got.body, got.Header, tt.want)
		}
		tag = got.Header.Get("ETag")
		s.want(304, "GET", tt.path, "", "If-None-Match: "+tag)
		if head := s.want(200, "HEAD", tt.path, ""); head.Header.Get("Content-Length") != got.Header.Get("Content-Length") {
			t.Errorf("HEAD %s: got %v", tt.path, head.Header)
		}
		s.want(401, "GET", tt.path, "", "Anonymous: yes")
		s.want(401, "GET", tt.path, "", "Cookie: "+s.cookie) // an app password, not a session
	}
	for path, code := range map[string]int{
		thumbnail + "/256/256/InstantUpload/plain.txt":           404,
		thumbnail + "/256/256/InstantUpload/none.jpg":            404,
		thumbnail + "/256/256/InstantUpload":                     404,
		thumbnail + "/256/256/":                                  404,
		thumbnail + "/x":                                         404,
		thumbnail + "/256/256/photos/../photos/InstantUpload":    400,
		"/index.php/core/preview?fileId=" + number(plain):        404,
		"/index.php/core/preview?fileId=12345":                   404,
		"/index.php/core/preview?fileId=-1":                      404,
		"/index.php/core/preview":                                404,
		"/index.php/core/preview.png?file=/a%00b":                400,
		"/core/preview?fileId=" + number(one) + "&x=256&y=256":   404,
		"/index.php/core/preview/x?fileId=" + number(one) + "&x": 404,
	} {
		s.want(code, "GET", path, "")
	}
	s.want(405, "POST", "/index.php/core/preview?fileId="+number(one), "")

	// Who may only upload sees nothing.
	_, secret, err := s.accounts.Mint(t.Context(), s.user.UID, account.MintOptions{Label: "frame", DAV: true, Mode: backend.UploadOnly})
	if err != nil {
		t.Fatal(err)
	}
	mine := s.password
	s.password = string(secret)
	s.want(403, "GET", thumbnail+"/256/256/InstantUpload/seen%20one.jpg", "")
	s.want(403, "GET", "/index.php/core/preview?fileId="+number(one), "")
	// Who is let into one collection sees nothing of another, by its number either, nor that
	// an earlier answer still holds.
	elsewhere, err := s.lib.Mkdir(t.Context(), "photos/elsewhere", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err = s.accounts.Mint(t.Context(), s.user.UID, account.MintOptions{Label: "elsewhere", DAV: true, Root: elsewhere.Ino})
	if err != nil {
		t.Fatal(err)
	}
	s.password = string(secret)
	for _, path := range []string{thumbnail + "/256/256/InstantUpload/seen%20one.jpg", "/index.php/core/preview?fileId=" + number(one)} {
		s.want(403, "GET", path, "", "If-None-Match: "+tag)
	}
	s.password = mine

	// In the trash it is not there.
	if err := s.lib.Delete(t.Context(), "photos/InstantUpload/seen one.jpg", nil); err != nil {
		t.Fatal(err)
	}
	s.want(404, "GET", "/index.php/core/preview?fileId="+number(one)+"&x=256&y=256", "")
}
