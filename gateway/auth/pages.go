package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// page is one of the few plain pages around signing in.
type page struct {
	Title    string
	Text     []string
	Facts    []fact
	Action   string // a form with one button that posts Token here
	Token    string
	Button   string
	Link     string
	LinkText string
	Forward  string // where the browser goes on at once
}

type fact struct{ Name, Value string }

const style = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.25rem}` +
	`h1{font-size:1.4rem}button{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.5rem;background:var(--accent);color:var(--on);cursor:pointer}` +
	`dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}a{color:var(--accent)}` +
	`:root{--accent:#a8481f;--on:#fff;background:#faf9f7}@media(prefers-color-scheme:dark){:root{--accent:#ee9160;--on:#2a1206;background:#151413}}` // as static/style.css of browse

var pages = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
{{with .Forward}}<meta http-equiv="refresh" content="0; url={{.}}">{{end}}
<title>{{.Title}} · Shoebox</title><style>` + style + `</style></head><body><main><h1>{{.Title}}</h1>
{{range .Text}}<p>{{.}}</p>
{{end}}{{with .Facts}}<dl>{{range .}}<dt>{{.Name}}</dt><dd>{{.Value}}</dd>{{end}}</dl>
{{end}}{{with .Action}}<form method="post" action="{{.}}"><input type="hidden" name="t" value="{{$.Token}}"><button autofocus>{{$.Button}}</button></form>
{{end}}{{with .Link}}<p><a href="{{.}}">{{$.LinkText}}</a></p>
{{end}}{{with .Forward}}<p><a href="{{.}}">Go on</a></p>
{{end}}</main></body></html>
`))

var pagePolicy = func() string {
	h := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

func (a *Auth) page(w http.ResponseWriter, code int, p page) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store")
	// Not "no-referrer": with that a browser that sends no Sec-Fetch-Site (any, over
	// plain HTTP) sends our own forms with "Origin: null", which Protect refuses.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if err := pages.Execute(w, p); err != nil {
		a.log.Debug("page was not sent whole", "err", err)
	}
}

// forward sends the browser on to another site from the answer to a form. A redirect
// would be stopped by the form-action of the page the form is on.
func (a *Auth) forward(w http.ResponseWriter, to string) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		to = "/login"
	}
	a.page(w, http.StatusOK, page{Title: "One moment", Forward: to})
}

// showLink shows a page with a button: opening the link alone uses nothing up, so a
// program that previews links does no harm.
func (a *Auth) showLink(w http.ResponseWriter, r *http.Request) {
	if !a.linkAllowed(w, r) {
		return
	}
	a.page(w, http.StatusOK, page{
		Title: "Sign in to Shoebox", Text: []string{"This link signs you in on this browser. It works once."},
		Action: "/login/link", Token: r.URL.Query().Get("t"), Button: "Sign in",
	})
}

func (a *Auth) useLink(w http.ResponseWriter, r *http.Request) {
	if !a.linkAllowed(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	u, err := a.accounts.UseLoginLink(r.Context(), r.PostFormValue("t"))
	var why *account.Refusal
	switch {
	case errors.As(err, &why):
		if wait := a.Failed(r, "web", "", why.Reason); wait > 0 {
			w.Header().Set("Retry-After", RetryAfter(wait))
			a.page(w, http.StatusTooManyRequests, page{Title: "Too many attempts", Text: []string{"Wait a little, then try again."}})
			return
		}
		a.page(w, http.StatusForbidden, page{
			Title: "This link does not work", Text: []string{why.Text, "On the machine where Shoebox runs, the command “shoebox login-link” makes one."},
			Link: "/login", LinkText: "Other ways to sign in",
		})
		return
	case err == nil:
		// The link is used up: go on even if the browser goes away now.
		ctx, cancel := detached(r.Context())
		defer cancel()
		err = a.begin(w, r.WithContext(ctx), u, account.SessionInfo{})
	}
	if err != nil {
		a.unavailable(r.Context(), err)
		a.page(w, http.StatusServiceUnavailable, page{Title: "Not now", Text: []string{"You could not be signed in at the moment. Try again with a new link."}})
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *Auth) linkAllowed(w http.ResponseWriter, r *http.Request) bool {
	if a.mayCarrySecrets(r) {
		return true
	}
	a.page(w, http.StatusForbidden, page{
		Title: "Not over plain HTTP", Text: []string{"Login links work over HTTPS, or on the machine where Shoebox runs. Nothing was used up."},
	})
	return false
}
