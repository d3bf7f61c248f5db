package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// A canary is a secret, and by what it is called in a report.
type canary struct{ name, value string }

// forms are the ways in which a secret could be written down.
func (c canary) forms() []string {
	return []string{
		c.value, base64.StdEncoding.EncodeToString([]byte(c.value)), base64.RawURLEncoding.EncodeToString([]byte(c.value)),
		hex.EncodeToString([]byte(c.value)), url.QueryEscape(c.value),
	}
}

// TestCanaries: after all kinds of requests, good and bad, no secret is in the log, in the
// bucket, or in an answer that it is not for. (Package account looks into the index.)
func TestCanaries(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	ana := h.tenant("ana", account.MintOptions{Label: "phone"})
	var canaries []canary
	secret := func(name, value string) string {
		canaries = append(canaries, canary{name, value})
		return value
	}
	_, digits, _ := account.Parse(ana.password)
	secret("master key", string(h.master))
	secret("app password", ana.password)
	secret("its secret part", digits)
	secret("session", ana.cookie.Value)
	link, err := h.accounts.NewLoginLink(ctx, ana.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	secret("login link", string(link))
	if err := h.accounts.LinkIdentity(ctx, ana.UID, account.Identity{Issuer: "https://id.example", Subject: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := h.accounts.Proved(ctx, ana.UID, "https://id.example", "1", account.Secret(secret("refresh token", "canary-refresh-token-0123456789"))); err != nil {
		t.Fatal(err)
	}
	idToken := secret("ID token", "canary.id-token.0123456789")
	token, err := h.accounts.NewSession(ctx, ana.UID, account.SessionInfo{Issuer: "https://id.example", IDToken: account.Secret(idToken)})
	if err != nil {
		t.Fatal(err)
	}
	secret("second session", string(token))

	// What is stored is not secret to its owner, but no line of the log names it.
	ana.put("photos/canary-file-name.txt", "canary file content")
	var answers strings.Builder
	note := func(a answer) {
		answers.WriteString(a.body)
		for name, v := range a.head {
			if name != "Set-Cookie" {
				answers.WriteString(strings.Join(v, " "))
			}
		}
	}
	presigned := ana.presign("GET", "/photos/canary-file-name.txt")
	u, err := url.Parse(presigned)
	if err != nil {
		t.Fatal(err)
	}
	secret("signature of a presigned URL", u.Query().Get("X-Amz-Signature"))
	note(ana.dav("PROPFIND", "/dav/photos/", "", "Depth", "1"))
	note(ana.dav("PUT", "/dav/photos/x/y/canary-file-name.txt", "no such folder"))
	note(ana.dav("BREW", "/dav/photos/canary-file-name.txt", ""))
	note(ana.dav("PROPFIND", "/dav/photos/", "<not xml"))
	note(ana.s3("GET", "/photos?list-type=2", ""))
	note(ana.s3("GET", "/photos/canary-nothing", ""))
	note(ana.s3("PUT", "/photos/a", "x", "Content-MD5", "AAAA"))
	note(ana.do(h.request("GET", presigned, nil, nil)))
	note(ana.do(h.request("GET", presigned+"0", nil, nil)))
	for _, path := range []string{"/", "/devices", "/trash", "/account", "/people", "/api/devices", "/api/timeline", "/nothing/canary-file-name"} {
		note(ana.page("GET", path, "", "Accept", "text/html"))
	}
	// Refused in every way.
	wrong := []byte(ana.password)
	wrong[30] ^= 1
	for _, password := range []string{string(wrong), ana.password + " ", ana.password[:40], strings.ToUpper(ana.password)} {
		r := ana.davRequest("GET", "/dav/photos/canary-file-name.txt", nil)
		r.SetBasicAuth("eve", password)
		note(ana.do(r))
	}
	r := h.request("GET", h.web.URL+"/dav/photos/?password="+url.QueryEscape(ana.password), nil, nil)
	r.Header.Set("Authorization", "Bearer "+ana.password)
	note(ana.do(r))
	ana.do(h.request("GET", h.web.URL+"/login/link?t="+string(link)+"x", nil, nil)) // the form repeats it
	post := h.request("POST", h.web.URL+"/login/link", strings.NewReader("t="+string(link)), []string{"Content-Type", "application/x-www-form-urlencoded"})
	res, err := ana.client.Do(post)
	if err != nil || res.StatusCode != http.StatusSeeOther {
		t.Fatal(res, err)
	}
	res.Body.Close()
	for _, c := range res.Cookies() {
		secret("cookie "+c.Name, c.Value)
	}
	if a := ana.page("POST", "/api/devices", `{"label":"tablet"}`, "Content-Type", "application/json"); a.code != 201 {
		t.Fatal(a)
	} else {
		_, password, _ := strings.Cut(a.body, `"password":"`)
		password, _, _ = strings.Cut(password, `"`)
		secret("app password made on the page", password)
	}
	if err := h.accounts.Revoke(ctx, ana.UID, ana.key.ID); err != nil {
		t.Fatal(err)
	}
	note(ana.dav("GET", "/dav/photos/canary-file-name.txt", ""))
	note(ana.s3("GET", "/photos/canary-file-name.txt", ""))
	if err := h.accounts.Log().Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.accounts.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	log := h.log.String()
	if strings.Count(log, "msg=request") < 20 || !strings.Contains(log, "msg=audit") || !strings.Contains(log, "auth: failed") {
		t.Fatalf("the log is not what it should be: %s", log)
	}
	bucket := dump(t, ctx, h.bucket)
	if len(bucket) < 5 {
		t.Fatalf("%d objects in the bucket", len(bucket))
	}
	for _, c := range canaries {
		if len(c.value) < 20 {
			t.Fatalf("%s is %q", c.name, c.value)
		}
		for _, form := range c.forms() {
			if i := strings.Index(log, form); i >= 0 {
				t.Errorf("the log has the %s: …%s", c.name, log[max(0, i-200):i])
			}
			if strings.Contains(answers.String(), form) {
				t.Errorf("an answer has the %s", c.name)
			}
			for name, data := range bucket {
				if strings.Contains(data, form) {
					t.Errorf("the bucket has the %s, in %s", c.name, name)
				}
			}
		}
	}
	for _, private := range []string{"canary-file-name", "canary file content", "canary-nothing"} {
		if i := strings.Index(log, private); i >= 0 {
			t.Errorf("the log has %q: …%s", private, log[max(0, i-300):min(len(log), i+60)])
		}
	}
}

// dump is all that a bucket has.
func dump(t *testing.T, ctx context.Context, b object.Bucket) map[string]string {
	t.Helper()
	zip, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer zip.Close()
	all := make(map[string]string)
	for o, err := range b.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Get(ctx, o.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		all[o.Name] = string(data)
		if bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")) {
			plain, err := zip.DecodeAll(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			all[o.Name] += string(plain)
		}
	}
	return all
}
