package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestToolInstalled starts the program where it finds no ffmpeg, and then where it does: a
// film that was there already gets its poster, without anybody asking.
func TestToolInstalled(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "film.mp4")
	if text, err := exec.CommandContext(t.Context(), ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=5", "-t", "1", "-y", name).CombinedOutput(); err != nil {
		t.Skipf("ffmpeg makes no film: %v %s", err, text)
	}
	film, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	t.Cleanup(func() { extraEnv = nil })
	extraEnv = []string{"PATH=" + filepath.Join(dir, "nothing")}
	srv := serveIn(t, data)
	page, err := signIn(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	c := newClients(t, srv, page)
	c.putDAV("photos/film.mp4", film)
	look := func() (why, thumb string) {
		t.Helper()
		body, err := page.do("GET", c.srv.web+"/api/timeline", nil)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Items []struct{ NoPreview, Thumb string }
		}
		if err := json.Unmarshal(body, &got); err != nil || len(got.Items) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		return got.Items[0].NoPreview, got.Items[0].Thumb
	}
	// ask is what an address of the API answers.
	ask := func(method, path string) string {
		t.Helper()
		body, err := page.do(method, c.srv.web+path, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") })
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	c.timeline(1)
	if why, _ := look(); !strings.Contains(why, "without ffmpeg") {
		t.Errorf("without ffmpeg: %q", why)
	}
	if said := ask("GET", "/api/previews"); !strings.Contains(said, "film.mp4") || !strings.Contains(said, "without ffmpeg") {
		t.Errorf("previews: %s", said)
	}
	if said := ask("POST", "/api/item/"+c.inoOf("photos/film.mp4")+"/preview"); !strings.Contains(said, `"ready":false`) {
		t.Errorf("tried again: %s", said)
	}
	await(t, func() bool { return strings.Contains(ask("GET", "/api/jobs"), `{"user":"owner","waiting":0}`) })
	if err := srv.stop(); err != nil {
		t.Fatal(err)
	}
	extraEnv = nil
	c.srv = serveIn(t, data)
	if page, err = signIn(strings.TrimSpace(shoebox(t, "login-link", "-data-dir", data))); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { _, thumb := look(); return thumb != "" })
	if why, thumb := look(); why != "" {
		t.Errorf("with ffmpeg: %q", why)
	} else if _, err := page.do("GET", c.srv.web+thumb, nil); err != nil {
		t.Error(err)
	}
	if said := ask("GET", "/api/previews"); strings.Contains(said, "film.mp4") {
		t.Errorf("previews: %s", said)
	}
	if text := shoebox(t, "jobs", "list", "-data-dir", data); !strings.HasPrefix(text, "0 waiting, 0 running, 0 given up") {
		t.Errorf("jobs: %s", text)
	}
}
