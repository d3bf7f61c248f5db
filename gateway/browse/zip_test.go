package browse

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestZip(t *testing.T) {
	s := newSite(t, nil)
	at := time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC)
	var inos []string
	for _, key := range []string{"photos/2024/IMG_1.jpg", "photos/2023/img_1.JPG", "photos/Großmutter.jpg", `photos/a\b.jpg`} {
		inos = append(inos, string(s.put(key, "the content of "+key, "image/jpeg", at).Ino))
	}
	gone := s.put("photos/gone.jpg", "gone", "image/jpeg", at)
	s.body(s.do(s.ana, "DELETE", "/api/item/"+string(gone.Ino), nil), 204)
	ask := func(inos ...string) *http.Response {
		return s.do(s.ana, "POST", "/zip", strings.NewReader("ino="+strings.Join(inos, ",")), asForm, asPage)
	}
	res := ask(append(inos, string(gone.Ino))...)
	if name := res.Header.Get("Content-Disposition"); !strings.HasPrefix(name, "attachment; filename=shoebox-") || !strings.HasSuffix(name, ".zip") {
		t.Errorf("it is called %s", name)
	}
	body := s.body(res, 200)
	z, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ name, content string }{
		{"IMG_1.jpg", "photos/2024/IMG_1.jpg"}, {"img_1 (2).JPG", "photos/2023/img_1.JPG"}, {"Großmutter.jpg", "photos/Großmutter.jpg"}, {"a_b.jpg", `photos/a\b.jpg`},
	}
	if len(z.File) != len(want) {
		t.Fatalf("it has %d files, want %d", len(z.File), len(want))
	}
	for i, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil || f.Name != want[i].name || string(content) != "the content of "+want[i].content || !f.Modified.Equal(at) {
			t.Errorf("file %d is %s of %v with %q, %v", i, f.Name, f.Modified, content, err)
		}
	}

	// What cannot be read is an answer of its own, or a download that ends too early.
	s.bucket.broken = true
	if res := ask(inos...); res.StatusCode != 503 || res.Header.Get("Content-Disposition") != "" {
		t.Errorf("while the bucket is away: got %s", res.Status)
	}
	s.bucket.broken = false
	s.body(ask(string(gone.Ino)), 404)
	s.body(ask(""), 404)
	s.body(ask(make([]string, maxZip+1)...), 400)
	s.body(s.do(s.bo, "POST", "/zip", bytes.NewBufferString("ino="+inos[0]), asForm), 404)
}

func TestNamesInZip(t *testing.T) {
	taken := make(map[string]int)
	for _, tt := range [][2]string{
		{"a.jpg", "a.jpg"}, {"A.jpg", "A (2).jpg"}, {"a (2).jpg", "a (2) (2).jpg"}, {"a.JPG", "a (3).JPG"},
		{"\u00e9.jpg", "\u00e9.jpg"}, {"e\u0301.jpg", "e\u0301 (2).jpg"}, // one name to a Mac
		{`..\..\a.jpg`, ".._.._a.jpg"},
	} {
		if got := nameInZip(tt[0], taken); got != tt[1] {
			t.Errorf("%+q is called %+q, want %+q", tt[0], got, tt[1])
		}
	}
}
