package auth

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ClientAddr is the address of the client: the peer's, or, if that is a trusted
// proxy, what it says. It is the zero Addr if there is none (a Unix socket).
func (a *Auth) ClientAddr(r *http.Request) netip.Addr {
	addr, _ := a.client(r)
	return addr
}

// client is ClientAddr, and whether that is surely the client, not a proxy in front of
// which there is somebody.
func (a *Auth) client(r *http.Request) (addr netip.Addr, sure bool) {
	addr = peer(r)
	hops := forwardedFor(r.Header)
	if !a.trusted(addr) || len(hops) == 0 {
		return addr, !forwarded(r.Header)
	}
	// Each proxy adds at the end whom it was asked by, so the last one who is not
	// a trusted proxy is the client; what stands before may be made up.
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := parseAddr(hops[i])
		if err != nil {
			return addr, false
		}
		addr = hop
		if !a.trusted(addr) {
			break
		}
	}
	return addr, true
}

// forwarded says whether a proxy has passed the request on.
func forwarded(h http.Header) bool {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-Ip"} {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

// IsSecure says whether the client's connection is HTTPS: here, or as a trusted
// proxy says.
func (a *Auth) IsSecure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if !a.trusted(peer(r)) {
		return false
	}
	if v := r.Header.Values("X-Forwarded-Proto"); len(v) > 0 {
		return strings.EqualFold(last(v[len(v)-1]), "https")
	}
	if v := r.Header.Values("Forwarded"); len(v) > 0 {
		return strings.EqualFold(forwardedParam(last(v[len(v)-1]), "proto"), "https")
	}
	return false
}

// isLoopback says whether the client is on this machine. A proxy on this machine is not
// the client: it must be trusted, and say who is.
func (a *Auth) isLoopback(r *http.Request) bool {
	addr, sure := a.client(r)
	return sure && addr.IsLoopback()
}

// mayCarrySecrets says whether passwords and cookies may pass on the request's
// connection.
func (a *Auth) mayCarrySecrets(r *http.Request) bool {
	return a.opt.AllowPlainHTTP || a.IsSecure(r) || a.isLoopback(r)
}

func (a *Auth) trusted(addr netip.Addr) bool {
	for _, p := range a.opt.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func peer(r *http.Request) netip.Addr {
	addr, err := parseAddr(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// parseAddr reads an address with or without a port, in brackets or not.
func parseAddr(s string) (netip.Addr, error) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	addr, err := netip.ParseAddr(s)
	return addr.Unmap().WithZone(""), err
}

// forwardedFor are the hops that X-Forwarded-For names or, without it, Forwarded
// (RFC 7239 §5.2), the client first.
func forwardedFor(h http.Header) []string {
	var hops []string
	if v := h.Values("X-Forwarded-For"); len(v) > 0 {
		for hop := range strings.SplitSeq(strings.Join(v, ","), ",") {
			hops = append(hops, strings.TrimSpace(hop))
		}
		return hops
	}
	if v := h.Values("Forwarded"); len(v) > 0 {
		for element := range strings.SplitSeq(strings.Join(v, ","), ",") {
			hops = append(hops, forwardedParam(element, "for"))
		}
	}
	return hops
}

// forwardedParam is a parameter of one element of Forwarded.
func forwardedParam(element, name string) string {
	for pair := range strings.SplitSeq(element, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(k, name) {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// last is the last element of a comma-separated list.
func last(s string) string {
	return strings.TrimSpace(s[strings.LastIndexByte(s, ',')+1:])
}
