package browse

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

//go:embed templates
var templateFiles embed.FS

// pages are the templates, by the name of their page.
type pages map[string]*template.Template

func newPages(now func() time.Time) pages {
	funcs := template.FuncMap{
		"bytes": humanBytes,
		"count": humanCount,
		"ago":   func(t time.Time) string { return humanAgo(t, now()) },
		"agent": humanAgent,
		"in":    func(t time.Time) string { return humanIn(t, now()) },
		"date":  func(t time.Time) string { return t.Format("2 January 2006") },
		"initial": func(p *auth.Principal) string {
			for _, r := range cmp.Or(p.Name, p.Login, "?") {
				return strings.ToUpper(string(r))
			}
			return "?"
		},
		"sh":    shell,
		"pair":  func(title, value string) pair { return pair{title, value} },
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}
	shared := template.Must(template.New("").Funcs(funcs).ParseFS(templateFiles, "templates/shared/*.html"))
	names, err := templateFiles.ReadDir("templates")
	if err != nil {
		panic("browse: internal error: " + err.Error())
	}
	all := make(pages)
	for _, f := range names {
		name, isPage := strings.CutSuffix(f.Name(), ".html")
		if !isPage {
			continue
		}
		t := template.Must(shared.Clone())
		all[name] = template.Must(t.ParseFS(templateFiles, path.Join("templates", f.Name())))
	}
	return all
}

// A pair is a setting with its title.
type pair struct{ Title, Value string }

// A frame is what the layout around every page is made of.
type frame struct {
	Title   string
	Page    string          // name of the template
	User    *auth.Principal // nil if nobody has signed in
	Version string
	Usage   *backend.Usage // nil if it is not known
	Renew   *renew         // nil unless devices stop soon
	Content any

	assets *assets
}

// Asset is the address of an embedded file.
func (f *frame) Asset(name string) string { return f.assets.url(name) }

// UsedPercent is how much of the quota is used, 0 to 100.
func (f *frame) UsedPercent() int {
	if f.Usage == nil {
		return 0
	}
	return percent(f.Usage)
}

// percent is how much of the quota is used, the fuller of bytes and files, 0 to 100.
func percent(u *backend.Usage) int {
	used := int64(0)
	if u.Quota > 0 {
		used = 100 * u.Bytes / u.Quota
	}
	if u.QuotaFiles > 0 {
		used = max(used, 100*u.Files/u.QuotaFiles)
	}
	return int(min(100, used))
}

// page answers with the page called name. Nothing is written before the whole of
// it is rendered.
func (h *handler) page(w http.ResponseWriter, r *http.Request, code int, name, title string, content any) {
	f := &frame{Title: title, Page: name, Version: h.opt.Version, Content: content, assets: h.assets}
	if p := auth.From(r.Context()); p != nil && p.Key == "" {
		f.User = p
		f.Renew = h.renew(r, p)
		// The foot of the page is no reason to refuse the page.
		if lib, err := h.library(r, p); err == nil {
			if u, err := lib.Usage(r.Context()); err == nil {
				f.Usage = &u
			}
		}
	}
	var body bytes.Buffer
	if err := h.pages[name].ExecuteTemplate(&body, "layout", f); err != nil {
		panic(fmt.Sprintf("browse: internal error: page %s: %v", name, err))
	}
	h.send(w, r, code, "text/html; charset=utf-8", body.Bytes())
}

// json answers with v.
func (h *handler) json(w http.ResponseWriter, r *http.Request, code int, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // nosniff and the media type keep it from being HTML
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	h.send(w, r, code, "application/json", body.Bytes())
	return nil
}

// send answers with body, compressed if that pays and the answer may be cached:
// one that bears a secret is neither (its length must not depend on its content).
func (h *handler) send(w http.ResponseWriter, r *http.Request, code int, mediaType string, body []byte) {
	hd := w.Header()
	hd.Set("Content-Type", mediaType)
	secret := hd.Get("Cache-Control") == "no-store"
	if code == http.StatusOK && !secret && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		sum := sha256.Sum256(body)
		etag := `W/"` + hex.EncodeToString(sum[:8]) + `"`
		hd.Set("ETag", etag)
		if etagMatches(r, etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	hd.Add("Vary", "Accept-Encoding")
	if !secret && len(body) > 1024 && acceptsGzip(r) {
		var z bytes.Buffer
		gz := gzip.NewWriter(&z)
		gz.Write(body)
		gz.Close()
		hd.Set("Content-Encoding", "gzip")
		body = z.Bytes()
	}
	hd.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// login tells how to sign in.
func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("return"))
	if p := auth.From(r.Context()); p != nil && p.Key == "" {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	h.page(w, r, http.StatusOK, "login", "Sign in", h.signIn("return="+url.QueryEscape(next)))
}

// signIn are the providers, each with where its button leads.
func (h *handler) signIn(query string) []auth.Provider {
	list := slices.Clone(h.opt.SignIn)
	for i := range list {
		list[i].Start += "?" + query
	}
	return list
}

// localPath is next if it is a path on this site, else "/".
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// humanBytes tells a size as people do, in powers of a thousand.
func humanBytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 999.5 && unit < 5 {
		v /= 1000
		unit++
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %cB", v, " kMGTP"[unit])
	}
	return fmt.Sprintf("%.0f %cB", v, " kMGTP"[unit])
}

// humanCount groups thousands: 12,345.
func humanCount(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// humanIn tells how soon t is.
func humanIn(t, now time.Time) string {
	d := t.Sub(now)
	switch n := int(d.Round(time.Minute) / time.Minute); {
	case d < 90*time.Second:
		return "in a minute"
	case d < time.Hour:
		return fmt.Sprintf("in %d minutes", n)
	case d < 24*time.Hour:
		return fmt.Sprintf("in %d h %d min", n/60, n%60)
	default:
		return "on " + t.Format("2 January 2006")
	}
}

// humanAgent tells what a User-Agent stands for: browser and system, or the first word of
// what other programs say.
func humanAgent(agent string) string {
	named := func(words ...string) string { // pairs: what the header has, what that is
		for i := 0; i < len(words); i += 2 {
			if strings.Contains(agent, words[i]) {
				return words[i+1]
			}
		}
		return ""
	}
	if !strings.HasPrefix(agent, "Mozilla/") {
		word, _, _ := strings.Cut(agent, " ")
		return strings.ToValidUTF8(word[:min(len(word), 40)], "")
	}
	// All say that they are Safari, most that they are Chrome.
	name := named("Edg", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "FxiOS/", "Firefox", "SamsungBrowser/", "Samsung Internet",
		"Chrome/", "Chrome", "CriOS/", "Chrome", "Safari/", "Safari")
	system := named("iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "Windows", "Windows", "CrOS", "ChromeOS", "Mac OS X", "macOS", "Linux", "Linux")
	switch {
	case name == "":
		return "A browser"
	case system == "":
		return name
	}
	return name + " on " + system
}

// humanAgo tells how long ago t was.
func humanAgo(t, now time.Time) string {
	plural := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit + " ago"
		}
		return fmt.Sprintf("%d %ss ago", n, unit)
	}
	switch d := now.Sub(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute")
	case d < 24*time.Hour:
		return plural(int(d/time.Hour), "hour")
	case d < 30*24*time.Hour:
		return plural(int(d/(24*time.Hour)), "day")
	default:
		return t.Format("2 January 2006")
	}
}
