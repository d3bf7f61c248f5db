package browse

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"rsc.io/qr"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// minted is a new app password with all that a client needs to be told. It is
// shown once and never logged.
type minted struct {
	device
	Login    string `json:"login"`
	Password string `json:"password"`         // also S3's secret access key
	DAVURL   string `json:"davUrl,omitempty"` // only with webdav
	S3URL    string `json:"s3Url,omitempty"`  // only with s3
	Region   string `json:"region,omitempty"`
	// Connect is what the QR code says: a page of ours that shows the settings on
	// the phone that scans it. What is secret stands after the '#', which a browser
	// keeps to itself.
	Connect string `json:"connect,omitempty"`
}

func (h *handler) minted(r *http.Request, p *auth.Principal, row *account.AppPassword, secret string) (*minted, error) {
	m := &minted{device: h.device(row), Login: p.Login, Password: secret}
	if row.DAV {
		m.DAVURL = h.davURL(r)
		m.Connect = h.origin(r) + "/connect#" + url.Values{"login": {p.Login}, "password": {secret}}.Encode()
	}
	if row.S3 && h.opt.S3URL != "" {
		m.S3URL, m.Region = h.opt.S3URL, "auto"
	}
	return m, nil
}

// QR is Connect as the address of an image.
func (m *minted) QR() (template.URL, error) {
	code, err := qr.Encode(m.Connect, qr.M)
	if err != nil {
		return "", fmt.Errorf("make QR code: %w", err)
	}
	code.Scale = 6
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG())), nil
}

// Plain says whether DAVURL is not encrypted.
func (m *minted) Plain() bool { return strings.HasPrefix(m.DAVURL, "http://") }

// Loopback says whether DAVURL can be reached from this machine only.
func (m *minted) Loopback() bool {
	u, err := url.Parse(m.DAVURL)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// UploadOnly says whether clients that list what is there cannot use it.
func (m *minted) UploadOnly() bool { return m.Mode == "upload-only" }

// GVFS is DAVURL as GNOME writes it, with the login name in it.
func (m *minted) GVFS() string {
	u, err := url.Parse(m.DAVURL)
	if err != nil {
		return m.DAVURL
	}
	u.Scheme = "dav" + strings.TrimPrefix(u.Scheme, "http") // dav, davs
	u.User = url.User(m.Login)
	return u.String()
}

// shell quotes s for a POSIX shell, if it needs that.
func shell(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// connect is the page that the QR code leads to. It needs no session: what it
// shows, besides the address, comes with the code.
func (h *handler) connect(w http.ResponseWriter, r *http.Request) {
	h.page(w, r, http.StatusOK, "connect", "Connect this phone", struct{ DAVURL string }{h.davURL(r)})
}
