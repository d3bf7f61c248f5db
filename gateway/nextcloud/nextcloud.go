// Package nextcloud answers at the addresses where clients made for Nextcloud and
// ownCloud look for their server, as far as they need it to sign in and to upload
// photographs:
//
//	/status.php                           what server this is
//	/ocs/v1.php, /ocs/v2.php              capabilities, and who the user is (ocs.go)
//	/index.php/login/v2                   how an app gets its app password (flow.go)
//	/remote.php/dav/files/<login>/        the WebDAV face
//	/remote.php/webdav/                   the same
//	/remote.php/dav/uploads/<login>/<id>/ large files, in chunks
//	/index.php/core/preview, …            smaller images (preview.go)
//
// There is no sharing, no activity, no notifications; what is asked about those is not
// there. "Nextcloud" here is the protocol; this is no Nextcloud and does not say so to
// people.
package nextcloud

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// Options adjusts a handler. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger     // nil means slog.DiscardHandler
	Now    func() time.Time // nil means time.Now
	// PublicURL is where clients reach the server; nil means wherever a request was sent to.
	PublicURL *url.URL
	// Library is where the app's own folder, InstantUpload, is; "" means "photos".
	Library string
	// DAV adjusts the WebDAV face; its Prefix and Alias are set here.
	DAV dav.Options
	// Trace writes down what is asked below /remote.php; nil means nothing does.
	Trace *dav.Trace
}

type handler struct {
	b        *backend.Backend
	accounts *account.Accounts
	au       *auth.Auth
	opt      Options
	log      *slog.Logger

	files, webdav, uploads http.Handler // behind Basic
	capabilities, user     http.Handler
	previews               http.Handler
	flow                   http.Handler // behind a session
}

// InstantUpload is the folder that Nextcloud's app fills unless it is told otherwise. No
// library can have that name.
const InstantUpload = "InstantUpload"

// instantUpload is where that folder is.
func (h *handler) instantUpload() backend.Key {
	return backend.Key(h.opt.Library).Join(InstantUpload)
}

// New returns the handler of all those addresses. It authenticates for itself. It must be
// reached with the path as the client sent it, not by way of http.ServeMux.
func New(b *backend.Backend, a *account.Accounts, au *auth.Auth, opt *Options) http.Handler {
	h := &handler{b: b, accounts: a, au: au}
	if opt != nil {
		h.opt = *opt
	}
	if h.log = h.opt.Logger; h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.opt.Now == nil {
		h.opt.Now = time.Now
	}
	if h.opt.Library == "" {
		h.opt.Library = "photos"
	}
	basic := func(next http.Handler) http.Handler { return au.Basic("Shoebox", "dav", next) }
	trace := h.opt.Trace.Handler
	o := h.opt.DAV
	o.Alias = map[string]backend.Key{InstantUpload: h.instantUpload()}
	o.Prefix = "/remote.php/webdav"
	h.webdav = trace(dav.Above(o.Prefix, basic(dav.New(b, &o))))
	o.Prefix = "/remote.php/dav/files/{login}"
	h.files = trace(dav.Above("/remote.php/dav/files/x", basic(dav.New(b, &o))))
	h.uploads = trace(basic(dav.NewUploads(b, "/remote.php/dav/uploads/{login}", &o)))
	h.capabilities = http.HandlerFunc(h.serveCapabilities)
	h.user = basic(http.HandlerFunc(h.serveUser))
	h.previews = basic(http.HandlerFunc(h.servePreview))
	h.flow = au.RequireSession(http.HandlerFunc(h.serveFlow))
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	below := func(prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }
	login, isLogin := strings.CutPrefix(path, "/index.php")
	if !isLogin {
		login = path
	}
	switch {
	case path == "/status.php":
		h.serveStatus(w, r)
	case below("/remote.php/webdav"):
		h.webdav.ServeHTTP(w, r)
	case below("/remote.php/dav/uploads"):
		h.uploads.ServeHTTP(w, r)
	case below("/remote.php/dav/files"), path == "/remote.php/dav", path == "/remote.php/dav/", path == "/remote.php", path == "/remote.php/":
		h.files.ServeHTTP(w, r)
	case below("/ocs/v1.php"), below("/ocs/v2.php"):
		h.serveOCS(w, r)
	case isLogin && isPreview(login):
		h.previews.ServeHTTP(w, r)
	case login == "/login/v2":
		h.beginFlow(w, r)
	case login == "/login/v2/poll":
		h.pollFlow(w, r)
	case strings.HasPrefix(login, "/login/v2/flow/") && !isLogin:
		// After signing in people are not sent back to what begins with /login.
		http.Redirect(w, r, "/index.php"+path, http.StatusSeeOther)
	case strings.HasPrefix(login, "/login/v2/flow/"):
		h.flow.ServeHTTP(w, r)
	default:
		http.Error(w, "There is nothing here.", http.StatusNotFound)
	}
}

// version is the Nextcloud whose ways of uploading these are. Clients refuse to talk to
// servers that are too old, and ask those that are new for what we have not.
const versionString = "30.0.0"

var version = map[string]any{
	"major": 30, "minor": 0, "micro": 0, "string": versionString, "edition": "", "extendedSupport": false,
}

func (h *handler) serveStatus(w http.ResponseWriter, r *http.Request) {
	h.json(w, http.StatusOK, map[string]any{
		"installed": true, "maintenance": false, "needsDbUpgrade": false, "version": versionString + ".0",
		"versionstring": versionString, "edition": "", "productname": "Shoebox", "extendedSupport": false,
	})
}

func (h *handler) json(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

// base is where clients reach the server, without a slash at the end.
func (h *handler) base(r *http.Request) string {
	if u := h.opt.PublicURL; u != nil {
		return u.Scheme + "://" + u.Host
	}
	if h.au.IsSecure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (h *handler) clientAddr(r *http.Request) netip.Addr { return h.au.ClientAddr(r) }
