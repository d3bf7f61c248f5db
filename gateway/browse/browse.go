// Package browse is the page: timeline, lightbox, upload, devices and trash, as
// HTML rendered here and a little plain JavaScript, with the JSON API under it.
//
// There is one rendering of a photograph, the template "tiles": the first page,
// what scrolling brings, and what a finished upload or variant changes are all
// pieces of HTML from it, which static/timeline.js puts in their place. The page
// can be read, and devices be connected, without JavaScript.
//
// Everything a browser executes comes from this package's embedded files: the
// Content-Security-Policy allows nothing inline, and what users stored is only
// ever an attachment (originals), a film in a <video>, which runs nothing, or an image
// made by us (variants).
package browse

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// Options adjusts the page. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger     // nil means slog.DiscardHandler
	Now    func() time.Time // nil means time.Now

	// PublicURL is the origin users reach the page at, such as
	// "https://photos.example.org"; "" means it is told from each request.
	PublicURL string
	// IsSecure says whether a client came by HTTPS; nil means as the connection tells.
	IsSecure func(*http.Request) bool
	// DAVURL and S3URL are the endpoints shown to those who connect a device; a
	// DAVURL of "" is PublicURL with "/dav/", an S3URL of "" hides S3.
	DAVURL string
	S3URL  string

	// SignIn are the identity providers, each a button on the login page; without any
	// the page tells of login links instead.
	SignIn []auth.Provider

	// TrashKeep is how long what is deleted stays in the trash, which tells of it; 0 means 30 days.
	TrashKeep time.Duration

	Jobs Jobs // nil means that nothing is known of the work on previews

	Version string // shown at the foot of the page
}

// policy lets a browser run and show nothing that is not a file of this origin. The
// placeholders of photos and the QR code are data: images; films play from where their
// originals are downloaded.
const policy = "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"media-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// A handler serves the page. It keeps nothing between requests.
type handler struct {
	b        *backend.Backend
	accounts Accounts
	opt      Options
	assets   *assets
	pages    pages
}

// New returns the handler of the page and its API. It must stand behind
// middleware that puts the session's auth.Principal into the request's context,
// and beside that which answers POST /login/… and POST /logout. It is safe for
// concurrent use.
func New(b *backend.Backend, accounts Accounts, opt *Options) http.Handler {
	h := &handler{b: b, accounts: accounts}
	if opt != nil {
		h.opt = *opt
	}
	if h.opt.Logger == nil {
		h.opt.Logger = slog.New(slog.DiscardHandler)
	}
	if h.opt.Now == nil {
		h.opt.Now = time.Now
	}
	if h.opt.TrashKeep == 0 {
		h.opt.TrashKeep = 30 * 24 * time.Hour
	}
	if h.opt.IsSecure == nil {
		h.opt.IsSecure = func(r *http.Request) bool { return r.TLS != nil }
	}
	h.opt.PublicURL = strings.TrimSuffix(h.opt.PublicURL, "/")
	h.assets = newAssets()
	h.pages = newPages(h.opt.Now)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{hash}/{file}", h.assets.serve)
	mux.HandleFunc("GET /favicon.ico", h.assets.icon)
	mux.HandleFunc("GET /manifest.webmanifest", h.assets.manifest)
	mux.HandleFunc("GET /login", h.login)
	mux.HandleFunc("GET /connect", h.connect)

	mux.HandleFunc("GET /{$}", h.asUser(h.timeline))
	mux.HandleFunc("GET /search", h.asUser(h.search))
	mux.HandleFunc("GET /api/search", h.asUser(h.apiSearch))
	mux.HandleFunc("GET /tiles", h.asUser(h.tiles))
	mux.HandleFunc("GET /devices", h.asUser(h.devices))
	mux.HandleFunc("POST /devices", h.asUser(h.mintForm))
	mux.HandleFunc("POST /devices/{id}/revoke", h.asUser(h.revokeForm))
	mux.HandleFunc("GET /trash", h.asUser(h.trash))
	mux.HandleFunc("GET /trash/{ino}/thumb", h.asUser(h.trashedThumb))
	mux.HandleFunc("POST /trash/{ino}/restore", h.asUser(h.restoreForm))
	mux.HandleFunc("POST /trash/{ino}/purge", h.asUser(h.purgeForm))
	mux.HandleFunc("POST /trash/empty", h.asUser(h.emptyForm))

	mux.HandleFunc("GET /previews", h.asUser(h.previews))
	mux.HandleFunc("POST /previews/{ino}/retry", h.asUser(h.remakeForm))
	mux.HandleFunc("POST /previews/retry", h.asUser(h.asOwner(h.retryJobsForm)))
	mux.HandleFunc("GET /api/previews", h.asUser(h.apiPreviews))
	mux.HandleFunc("POST /api/item/{ino}/preview", h.asUser(h.apiRemake))
	mux.HandleFunc("GET /api/jobs", h.asUser(h.asOwner(h.apiJobs)))
	mux.HandleFunc("POST /api/jobs/retry", h.asUser(h.asOwner(h.apiRetryJobs)))

	mux.HandleFunc("POST /uploads/{id}/abort", h.asUser(h.abortForm))
	mux.HandleFunc("POST /locks/{token}/break", h.asUser(h.unlockForm))

	mux.HandleFunc("GET /account", h.asUser(h.account))
	mux.HandleFunc("POST /account/sessions/{id}/end", h.asUser(h.endSessionForm))
	mux.HandleFunc("GET /people", h.asUser(h.asOwner(h.people)))
	mux.HandleFunc("POST /people/{uid}/state", h.asUser(h.asOwner(h.stateForm)))
	mux.HandleFunc("POST /people/{uid}/quota", h.asUser(h.asOwner(h.quotaForm)))
	mux.HandleFunc("POST /people/invite", h.asUser(h.asOwner(h.inviteForm)))
	mux.HandleFunc("POST /people/withdraw", h.asUser(h.asOwner(h.withdrawForm)))
	mux.HandleFunc("GET /api/activity", h.asUser(h.asOwner(h.apiActivity)))

	mux.HandleFunc("GET /i/{ino}/{variant}", h.asUser(h.variant))
	mux.HandleFunc("GET /o/{ino}", h.asUser(h.original))
	mux.HandleFunc("POST /zip", h.asUser(h.zip))

	mux.HandleFunc("GET /api/timeline", h.asUser(h.apiTimeline))
	mux.HandleFunc("GET /api/item/{ino}", h.asUser(h.apiItem))
	mux.HandleFunc("DELETE /api/item/{ino}", h.asUser(h.apiDelete))
	mux.HandleFunc("GET /api/trash", h.asUser(h.apiTrash))
	mux.HandleFunc("POST /api/trash/{ino}/restore", h.asUser(h.apiRestore))
	mux.HandleFunc("PUT /api/upload", h.asUser(h.apiUpload))
	mux.HandleFunc("GET /api/devices", h.asUser(h.apiDevices))
	mux.HandleFunc("POST /api/devices", h.asUser(h.apiMint))
	mux.HandleFunc("DELETE /api/devices/{id}", h.asUser(h.apiRevoke))
	mux.HandleFunc("GET /api/uploads", h.asUser(h.apiUploads))
	mux.HandleFunc("DELETE /api/uploads/{id}", h.asUser(h.apiAbort))
	mux.HandleFunc("GET /api/locks", h.asUser(h.apiLocks))
	mux.HandleFunc("DELETE /api/locks/{token}", h.asUser(h.apiUnlock))
	mux.HandleFunc("/", h.notFound)

	// A request that changes something must come from our own page. Browsers say so
	// in Sec-Fetch-Site; older ones in Origin, which behind a proxy is compared with
	// the public address.
	protect := http.NewCrossOriginProtection()
	if h.opt.PublicURL != "" {
		// An address that cannot be an origin is refused where it is configured;
		// here it only means that nothing more is trusted.
		_ = protect.AddTrustedOrigin(h.opt.PublicURL)
	}
	protect.SetDenyHandler(http.HandlerFunc(h.crossOrigin))
	return h.headers(protect.Handler(mux))
}

// headers sets what every answer bears.
func (h *handler) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hd := w.Header()
		hd.Set("Content-Security-Policy", policy)
		hd.Set("X-Content-Type-Options", "nosniff")
		hd.Set("Referrer-Policy", "same-origin") // see gateway.webHeaders
		hd.Set("Cross-Origin-Opener-Policy", "same-origin")
		hd.Set("Cross-Origin-Resource-Policy", "same-origin")
		hd.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		hd.Set("X-Frame-Options", "DENY")
		// What is not said to be otherwise below is private and changes.
		hd.Set("Cache-Control", "private, no-cache")
		next.ServeHTTP(w, r)
	})
}

// A userFunc answers a request of somebody who has signed in. An error it returns
// is answered for it; it must not have written anything then.
type userFunc func(w http.ResponseWriter, r *http.Request, p *auth.Principal) error

// asUser sends those who have not signed in to the login page. An app password is
// no session: a stolen phone must not be able to mint further passwords.
func (h *handler) asUser(f userFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := auth.From(r.Context())
		switch {
		case p != nil && p.Key != "":
			h.fail(w, r, errAppPassword)
		case p == nil && wantsPage(r):
			to := "/login"
			if next := r.URL.RequestURI(); next != "/" {
				to += "?return=" + url.QueryEscape(next)
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
		case p == nil:
			h.fail(w, r, errSignedOut)
		default:
			if err := f(w, r, p); err != nil {
				h.fail(w, r, err)
			}
		}
	}
}

// wantsPage says whether a person looks at the answer, rather than a script.
func wantsPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		!strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// library opens p's tree.
func (h *handler) library(r *http.Request, p *auth.Principal) (*backend.Library, error) {
	return h.b.Library(r.Context(), p.UID, p.Access)
}

// origin is where the user reaches us, as "https://photos.example.org".
func (h *handler) origin(r *http.Request) string {
	if h.opt.PublicURL != "" {
		return h.opt.PublicURL
	}
	if h.opt.IsSecure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// davURL is the address of the WebDAV face; it ends in a slash.
func (h *handler) davURL(r *http.Request) string {
	if h.opt.DAVURL != "" {
		return strings.TrimSuffix(h.opt.DAVURL, "/") + "/"
	}
	return h.origin(r) + "/dav/"
}
