package browse

import (
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/gateway/auth"
)

func TestMintNeedsAFreshProof(t *testing.T) {
	s := newSite(t, &Options{SignIn: []auth.Provider{{Name: "Example ID", Issuer: "https://id.example", Start: "/login/oidc"}}})
	const form = "label=phone&protocol=webdav"
	for _, tc := range []struct {
		name   string
		auth   time.Duration // ago
		issuer string
		ok     bool
		says   string
	}{
		{"just signed in", time.Minute, "https://id.example", true, ""},
		{"ten minutes ago, nearly", 10*time.Minute - 5*time.Second, "", true, ""},
		{"eleven minutes ago", 11 * time.Minute, "https://id.example", false, `href="/login/oidc?confirm&amp;return=%2Fdevices"`},
		{"by a link", 11 * time.Minute, "", false, "shoebox login-link ana"},
		{"by a provider that is gone", 11 * time.Minute, "https://old.example", false, "shoebox login-link ana"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := s.in(t)
			p := *s.ana
			p.AuthTime, p.Issuer = time.Now().Add(-tc.auth), tc.issuer
			page := s.body(s.do(&p, "GET", "/devices", nil, asPage), 200)
			if strings.Contains(page, `action="/devices"`) != tc.ok || !strings.Contains(page, tc.says) {
				t.Errorf("the page is %s", page)
			}
			if strings.Contains(page, `action="/login/oidc/connect"`) != tc.ok {
				t.Errorf("to connect an identity: the page is %s", page)
			}
			code, created := 403, 403
			if tc.ok {
				code, created = 200, 201
			}
			s.body(s.do(&p, "POST", "/devices", strings.NewReader(form), asForm), code)
			s.body(s.do(&p, "POST", "/api/devices", strings.NewReader(`{"label":"phone"}`), header("Content-Type", "application/json")), created)
		})
	}
	list, err := s.accounts.AppPasswords(t.Context(), s.ana.UID)
	if err != nil || len(list) != 4 {
		t.Errorf("%d app passwords, %v", len(list), err)
	}
}
