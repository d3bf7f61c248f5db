package browse

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// The panel says all that is known of a photograph, in words and in numbers; the timeline
// does without.
func TestInfo(t *testing.T) {
	s := newSite(t, nil)
	e := s.put("photos/2024/a.heic", "\xff\xd8\xff\xe0a picture", "", time.Date(2024, 7, 14, 12, 0, 0, 0, time.UTC))
	m := backend.Media{
		Taken: time.Date(2024, 7, 14, 19, 5, 59, 0, time.UTC), Offset: 120, TakenFrom: "exif", Camera: "Apple iPhone 15 Pro",
		HasPlace: true, Lat: 52.51627, Lon: -13.37770, Width: 3024, Height: 4032, Variants: []string{"thumb-0badcafe.webp", "view-0badcafe.webp"},
	}
	m.SetDetails(backend.Details{
		Lens: "back triple camera", Exposure: time.Second / 125, Aperture: 1.78, ISO: 640, FocalLength: 6.86, FocalLength35: 24,
		HasAltitude: true, Altitude: 34.4, StoredWidth: 4032, StoredHeight: 3024, ContentID: "C0A5", BurstID: "B0A5", Motion: true,
		Rating: 4, Keywords: []string{"Oma", "Garten <b>"},
	})
	if err := s.b.Finish(t.Context(), s.ana.UID, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m}}); err != nil {
		t.Fatal(err)
	}
	got := decode[item](s, s.do(s.ana, "GET", "/api/item/"+string(e.Ino), nil), 200)
	facts := make(map[string]string)
	for _, f := range got.Info {
		facts[f.Title] = f.Value
		if f.Title == "Place" && !strings.HasPrefix(f.Href, "https://www.openstreetmap.org/?mlat=52.51627&mlon=-13.37770") {
			t.Errorf("the place leads to %q", f.Href)
		}
	}
	for title, want := range map[string]string{
		"Taken":    "Sunday, 14 July 2024, 21:05 (UTC+02:00)",
		"Camera":   "Apple iPhone 15 Pro",
		"Lens":     "back triple camera",
		"Exposure": "1/125 s · f/1.8 · ISO 640 · 6.9 mm (as 24 mm)",
		"Place":    "52.51627, -13.37770, 34 m",
		"Size":     "3024 × 4032 (12 MP)",
		"Kind":     "HEIC, Live Photo, motion photo, one of a burst",
		"Rating":   "★★★★",
		"Keywords": "Oma, Garten <b>",
		"File":     "a.heic, 13 B",
		"Folder":   "photos/2024",
	} {
		if facts[title] != want {
			t.Errorf("%s: got %q, want %q", title, facts[title], want)
		}
	}
	if d := got.Details; d == nil || d.Exposure != 0.008 || d.StoredWidth != 4032 || d.Place == nil || *d.Place.Altitude != 34.4 || len(d.Keywords) != 2 {
		t.Errorf("got details %+v", got.Details)
	}
	if list := decode[apiItems](s, s.do(s.ana, "GET", "/api/timeline", nil), 200); len(list.Items) != 1 || list.Items[0].Info != nil || list.Items[0].Details != nil {
		t.Errorf("the timeline has the details too: %+v", list.Items)
	}
}

// TestInfoInBrowser lets Chromium open a photograph by its address, and press I.
func TestInfoInBrowser(t *testing.T) {
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			chromium = p
			break
		}
	}
	if chromium == "" || testing.Short() {
		t.Skip("no Chromium is installed, or -short")
	}
	s := newSite(t, nil)
	e := s.photo("photos/a.jpg", time.Date(2024, 7, 14, 12, 0, 0, 0, time.UTC))
	const press = `addEventListener("load", () => setTimeout(() =>
		document.getElementById("lightbox").dispatchEvent(new KeyboardEvent("keydown", { key: "i", bubbles: true })), 500));`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(auth.With(r.Context(), s.ana))
		switch r.URL.Path {
		case "/press.js":
			w.Header().Set("Content-Type", "text/javascript")
			io.WriteString(w, press)
		case "/":
			page := httptest.NewRecorder()
			r.Header.Del("Accept-Encoding")
			s.handler.ServeHTTP(page, r)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", page.Header().Get("Content-Security-Policy"))
			io.WriteString(w, strings.Replace(page.Body.String(), "</head>", `<script src="/press.js"></script></head>`, 1))
		default:
			s.handler.ServeHTTP(w, r)
		}
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--dump-dom", srv.URL+"/#"+string(e.Ino))
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, panel, _ := strings.Cut(string(out), `<aside class="info"`)
	panel, _, _ = strings.Cut(panel, "</aside>")
	for _, want := range []string{`<dt>Camera</dt><dd><a href="/search?q=Test+Camera+1">Test Camera 1</a></dd>`, "<dt>Size</dt><dd>4000 × 3000 (12 MP)</dd>", "<dd>a.jpg, ", `<dt>Folder</dt><dd><a href="/search?q=photos%2F">photos</a></dd>`} {
		if !strings.Contains(panel, want) {
			t.Errorf("the panel lacks %s: %s", want, panel)
		}
	}
	if strings.Contains(strings.SplitN(panel, ">", 2)[0], "hidden") {
		t.Errorf("the panel is not shown: %s", panel)
	}
}
