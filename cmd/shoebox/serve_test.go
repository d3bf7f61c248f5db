package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Over HTTPS everything is as over HTTP, and the session's cookie is the host's alone.
func TestServeHTTPS(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir)
	srv := serveIn(t, filepath.Join(dir, "data"), "-tls-cert", filepath.Join(dir, "cert.pem"), "-tls-key", filepath.Join(dir, "key.pem"))
	for _, address := range []string{srv.web, srv.s3, srv.link} {
		if !strings.HasPrefix(address, "https://") {
			t.Errorf("it is said to be at %s", address)
		}
	}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	link, err := url.Parse(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.PostForm(srv.web+"/login/link", url.Values{"t": {link.Query().Get("t")}})
	if err != nil {
		t.Fatal(err)
	}
	if c := res.Header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-") || !strings.Contains(c, "Secure") || !strings.Contains(c, "HttpOnly") {
		t.Errorf("the cookie is not the host's alone: %s", strings.SplitN(c, "=", 2)[0])
	}
	if res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("got %s, HSTS %q", res.Proto, res.Header.Get("Strict-Transport-Security"))
	}
	if err := srv.stop(); err != nil {
		t.Error(err)
	}
}

func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

// With a provider the page sends people there, with what the settings say; links are
// for emergencies.
func TestServeOIDC(t *testing.T) {
	var provider *httptest.Server
	provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{
			"issuer": provider.URL, "authorization_endpoint": provider.URL + "/authorize", "token_endpoint": provider.URL + "/token",
			"jwks_uri": provider.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	}))
	defer provider.Close()
	data := filepath.Join(t.TempDir(), "data")
	srv := serveIn(t, data, "-oidc-issuer", provider.URL, "-oidc-name", "Example ID", "-oidc-client-id", "box",
		"-public-url", "http://photos.example.org", "-allow-domain", "example.org", "-login-links", "auto")
	_, rest, ok := strings.Cut(srv.greeting, "  here     ")
	if !ok {
		t.Fatalf("it does not tell where it listens:\n%s", srv.greeting)
	}
	web, _, _ := strings.Cut(rest, ",")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	page, err := client.Get("http://" + web + "/login")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(page.Body)
	if !bytes.Contains(text, []byte("Example ID")) {
		t.Errorf("the login page does not name the provider:\n%s", text)
	}
	res, err := client.Get("http://" + web + "/login/oidc")
	if err != nil {
		t.Fatal(err)
	}
	to, err := res.Location()
	if err != nil {
		t.Fatalf("%s: %v", res.Status, err)
	}
	q := to.Query()
	if !strings.HasPrefix(to.String(), provider.URL+"/authorize?") || q.Get("client_id") != "box" ||
		q.Get("redirect_uri") != "http://photos.example.org/login/oidc/callback" || q.Get("scope") != "openid profile email" ||
		q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" {
		t.Errorf("people are sent to %s", to)
	}
	if link := shoebox(t, "login-link", "-break-glass", "-data-dir", data); !strings.HasPrefix(link, "http://photos.example.org/login/link?t=") {
		t.Errorf("got %s", link)
	}
}
