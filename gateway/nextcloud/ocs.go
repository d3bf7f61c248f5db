package nextcloud

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/status"
)

// The Open Collaboration Services, of which clients ask two things. Answers are XML
// unless JSON is asked for, and say success with 100 in version 1 and 200 in version 2.

func (h *handler) serveOCS(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.ocs(w, r, http.StatusMethodNotAllowed, "This can only be read here.", nil)
		return
	}
	switch strings.TrimRight(r.URL.Path[len("/ocs/v1.php"):], "/") {
	case "/cloud/capabilities":
		h.capabilities.ServeHTTP(w, r)
	case "/cloud/user":
		h.user.ServeHTTP(w, r)
	default:
		h.ocs(w, r, http.StatusNotFound, "There is no such service here.", nil)
	}
}

func (h *handler) serveCapabilities(w http.ResponseWriter, r *http.Request) {
	h.ocs(w, r, http.StatusOK, "OK", map[string]any{
		"version": version,
		"capabilities": map[string]any{
			"core":          map[string]any{"pollinterval": 60, "webdav-root": "remote.php/webdav"},
			"dav":           map[string]any{"chunking": "1.0"},
			"files":         map[string]any{"bigfilechunking": true, "undelete": false, "versioning": false},
			"files_sharing": map[string]any{"api_enabled": false, "public": map[string]any{"enabled": false}},
			"checksums":     map[string]any{"supportedTypes": []any{"SHA1", "MD5", "SHA256", "ADLER32"}, "preferredUploadType": "SHA1"},
			"theming":       map[string]any{"name": "Shoebox", "url": h.base(r), "slogan": "", "color": "#a8481f"},
		},
	})
}

func (h *handler) serveUser(w http.ResponseWriter, r *http.Request) {
	p := auth.From(r.Context())
	lib, err := h.b.Library(r.Context(), p.UID, p.Access)
	if err != nil {
		h.fault(w, r, err)
		return
	}
	usage, err := lib.Usage(r.Context())
	if err != nil {
		h.fault(w, r, err)
		return
	}
	u, err := h.accounts.User(r.Context(), p.UID)
	if err != nil {
		h.fault(w, r, err)
		return
	}
	quota := map[string]any{"used": usage.Bytes, "quota": int64(-3)} // which is how "none" is said
	if usage.Quota > 0 {
		free := max(usage.Quota-usage.Bytes, 0)
		quota = map[string]any{
			"used": usage.Bytes, "free": free, "total": usage.Quota, "quota": usage.Quota,
			"relative": float64(10000*usage.Bytes/usage.Quota) / 100,
		}
	}
	h.ocs(w, r, http.StatusOK, "OK", map[string]any{
		"id": p.Login, "enabled": true, "display-name": p.Name, "displayname": p.Name, "email": u.Email,
		"groups": []any{}, "language": "en", "locale": "", "quota": quota, "backend": "Shoebox",
	})
}

func (h *handler) fault(w http.ResponseWriter, r *http.Request, err error) {
	a := status.Of(err)
	if a.Code >= 500 {
		h.log.WarnContext(r.Context(), "an answer could not be given", "op", "ocs", "err", err)
	}
	h.ocs(w, r, a.Code, a.Text, nil)
}

// ocs answers. code is that of HTTP.
func (h *handler) ocs(w http.ResponseWriter, r *http.Request, code int, message string, data any) {
	word, inner := "ok", code
	if code >= 400 {
		word = "failure"
	}
	if strings.HasPrefix(r.URL.Path, "/ocs/v1.php") {
		switch code {
		case http.StatusOK:
			inner = 100
		case http.StatusNotFound:
			inner = 998
		}
	}
	if data == nil {
		data = []any{}
	}
	answer := map[string]any{"meta": map[string]any{"status": word, "statuscode": inner, "message": message}, "data": data}
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "json") {
		h.json(w, code, map[string]any{"ocs": answer})
		return
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	var b strings.Builder
	b.WriteString(xml.Header)
	writeXML(&b, "ocs", answer)
	w.Write([]byte(b.String()))
}

// writeXML writes v as an element. Members of lists are called "element".
func writeXML(b *strings.Builder, name string, v any) {
	b.WriteString("<" + name + ">")
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			writeXML(b, k, v[k])
		}
	case []any:
		for _, e := range v {
			writeXML(b, "element", e)
		}
	case bool:
		if v { // as PHP says it
			b.WriteString("1")
		}
	default:
		xml.EscapeText(b, []byte(fmt.Sprint(v)))
	}
	b.WriteString("</" + name + ">")
}
