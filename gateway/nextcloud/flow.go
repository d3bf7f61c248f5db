package nextcloud

import (
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// Login flow, version 2. The app asks for two addresses: one to open in the browser, one
// to ask until somebody has agreed there. It is given an app password for WebDAV that
// belongs to who agreed, and that stands on their Devices page.

const maxForm = 4 << 10

// beginFlow answers POST /index.php/login/v2.
func (h *handler) beginFlow(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		h.refuse(w, http.StatusMethodNotAllowed, "An app begins here, with POST.")
		return
	case !h.au.MayCarrySecrets(r):
		h.refuse(w, http.StatusForbidden, "An app password must not be sent in the clear: use https:// here.")
		return
	}
	browser, poll, err := h.accounts.BeginFlow(r.Context(), r.UserAgent(), h.clientAddr(r))
	switch {
	case errors.Is(err, account.ErrFlows):
		w.Header().Set("Retry-After", "300")
		h.refuse(w, http.StatusTooManyRequests, "Too many apps are asking to be connected. Try again in a few minutes.")
		return
	case err != nil:
		h.unavailable(w, r, err)
		return
	}
	base := h.base(r)
	h.json(w, http.StatusOK, map[string]any{
		"poll":  map[string]any{"token": string(poll), "endpoint": base + "/index.php/login/v2/poll"},
		"login": base + "/index.php/login/v2/flow/" + string(browser),
	})
}

// pollFlow answers POST /index.php/login/v2/poll: 404 until somebody has agreed, then,
// once, the app password.
func (h *handler) pollFlow(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		h.refuse(w, http.StatusMethodNotAllowed, "An app asks here, with POST.")
		return
	}
	if !h.au.MayCarrySecrets(r) {
		h.refuse(w, http.StatusForbidden, "An app password must not be sent in the clear: use https:// here.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	u, password, err := h.accounts.TakeFlow(r.Context(), r.PostFormValue("token"))
	switch {
	case err == account.ErrFlowPending, errors.Is(err, account.ErrFlow):
		h.json(w, http.StatusNotFound, []any{})
	case errors.Is(err, account.ErrTooMany), errors.Is(err, account.ErrRefused):
		h.refuse(w, http.StatusForbidden, "No app password can be made for this account. Its Devices page tells why.")
	case err != nil:
		h.unavailable(w, r, err)
	default:
		h.log.InfoContext(r.Context(), "an app was connected", "principal", u.Login)
		h.json(w, http.StatusOK, map[string]any{"server": h.base(r), "loginName": u.Login, "appPassword": string(password)})
	}
}

func (h *handler) refuse(w http.ResponseWriter, code int, text string) {
	h.json(w, code, map[string]any{"message": text})
}

func (h *handler) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	h.log.ErrorContext(r.Context(), "an app could not be connected", "err", err)
	w.Header().Set("Retry-After", "5")
	h.refuse(w, http.StatusServiceUnavailable, "That cannot be done at the moment. Try again shortly.")
}

// serveFlow is the page where a signed-in person agrees, or does not.
func (h *handler) serveFlow(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.URL.Path, "/index.php/login/v2/flow/")
	p := auth.From(r.Context())
	if p == nil || p.Key != "" {
		h.page(w, http.StatusForbidden, flowPage{Title: "Sign in on the page first"})
		return
	}
	fault := func(err error) {
		switch {
		case errors.Is(err, account.ErrFlow):
			h.page(w, http.StatusNotFound, flowPage{Title: "This link does not work", Text: account.ErrFlow.Text})
		case errors.Is(err, account.ErrInvalid):
			h.page(w, http.StatusBadRequest, flowPage{Title: "That name cannot be used", Text: fmt.Sprintf("The device's name must be plain text of at most %d bytes. Go back and choose another.", account.MaxLabel)})
		case errors.Is(err, account.ErrRefused):
			h.page(w, http.StatusForbidden, flowPage{Title: "Not possible", Text: "This account is suspended. Ask the owner of this Shoebox."})
		default:
			h.log.ErrorContext(r.Context(), "an app could not be connected", "err", err)
			h.page(w, http.StatusServiceUnavailable, flowPage{Title: "Not now", Text: "That cannot be done at the moment. Try again shortly."})
		}
	}
	f, err := h.accounts.Flow(r.Context(), token)
	if err != nil {
		fault(err)
		return
	}
	if f.Agreed {
		fault(account.ErrFlow)
		return
	}
	if !p.Fresh(h.opt.Now()) { // as for every app password
		confirm := flowPage{Title: "Is it still you?", Text: "You signed in a while ago. Before an app can be connected, sign in again", Confirm: h.au.ConfirmPath(p, r.URL.Path)}
		if confirm.Confirm == "" {
			confirm.Text += " with a fresh login link: on the machine where Shoebox runs, shoebox login-link " + p.Login + " makes one. Then begin in the app again"
		}
		confirm.Text += "."
		h.page(w, http.StatusForbidden, confirm)
		return
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		h.page(w, http.StatusOK, flowPage{
			Title: "Connect an app?", Form: true, Label: label(f.Client), Who: cmp.Or(p.Name, p.Login), Login: p.Login,
			Client: cmp.Or(f.Client, "an app that does not say its name"), Net: cmp.Or(f.Net, "unknown"),
			Age: h.opt.Now().Sub(f.Created).Truncate(time.Second),
		})
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		h.page(w, http.StatusMethodNotAllowed, flowPage{Title: "That is not done here"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.PostFormValue("answer") != "connect" {
		if err := h.accounts.EndFlow(r.Context(), token); err != nil {
			fault(err)
			return
		}
		h.page(w, http.StatusOK, flowPage{Title: "Not connected", Text: "The app was given nothing. You can close this page."})
		return
	}
	name := cmp.Or(strings.TrimSpace(r.PostFormValue("label")), label(f.Client))
	if err := h.accounts.AgreeFlow(r.Context(), token, p.UID, name); err != nil {
		fault(err)
		return
	}
	h.page(w, http.StatusOK, flowPage{Title: "Connected", Text: "Go back to the app: it goes on by itself. You can revoke its access on the Devices page at any time."})
}

// label is a device's name made of what an app calls itself.
func label(client string) string {
	name := strings.TrimSpace(client)
	if i := strings.IndexByte(name, '('); i > 0 { // "Mozilla/5.0 (Android) Nextcloud-android/3.29"
		if _, after, ok := strings.Cut(name, ") "); ok && strings.HasPrefix(name, "Mozilla/") {
			name = after
		}
	}
	for len(name) > 60 {
		name = name[:len(name)-1]
	}
	name = strings.ToValidUTF8(name, "")
	return cmp.Or(strings.TrimSpace(name), "App")
}

type flowPage struct {
	Title, Text string
	Form        bool
	Confirm     string // where to sign in again
	Client, Net string
	Label       string
	Who, Login  string
	Age         time.Duration
}

// The page's own stylesheet is the one all pages of the site have; whatever stands in the
// address in place of its hash, it is found.
var flowTemplate = template.Must(template.New("flow").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{{.Title}} · Shoebox</title>
<link rel="stylesheet" href="/static/app/style.css">
</head>
<body class="page-connect">
<header class="top"><a class="brand" href="/"><span>Shoebox</span></a></header>
<main id="main">
<section class="card">
<h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>
{{end}}{{if .Form}}<p>An app wants to use Shoebox as <strong>{{.Who}}</strong> ({{.Login}}): to see, change and delete all your photographs.</p>
<p class="note warn">Agree only if you have just begun this on a device of yours. If somebody sent you this link, do not.</p>
<dl>
<dt>It calls itself</dt><dd>{{.Client}}</dd>
<dt>It asked from</dt><dd>{{.Net}}</dd>
<dt>That was</dt><dd>{{.Age}} ago</dd>
</dl>
<form method="post">
<p><label>Name on the Devices page <input name="label" value="{{.Label}}" maxlength="100" autocomplete="off"></label></p>
<p><button type="submit" name="answer" value="connect">Connect</button> <button type="submit" name="answer" value="refuse">Do not connect</button></p>
</form>
{{else if .Confirm}}<p><a class="button primary" href="{{.Confirm}}">Sign in again</a></p>
{{else}}<p><a href="/devices">Devices</a></p>
{{end}}</section>
</main>
</body>
</html>
`))

func (h *handler) page(w http.ResponseWriter, code int, p flowPage) {
	hd := w.Header()
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	hd.Set("X-Frame-Options", "DENY")
	hd.Set("Cache-Control", "no-store")
	hd.Set("Referrer-Policy", "same-origin") // as on all pages; the address has no secret worth as much as the poll token
	hd.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if err := flowTemplate.Execute(w, p); err != nil {
		h.log.Debug("page was not sent whole", "err", err)
	}
}
