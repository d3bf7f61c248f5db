package browse

import (
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/gateway/auth"
)

func TestInvite(t *testing.T) {
	const issuer, other = "https://id.example", "https://other.example"
	s := newSite(t, &Options{SignIn: []auth.Provider{{Name: "Example", Issuer: issuer, Start: "/login/oidc"}, {Name: "Other", Issuer: other, Start: "/login/oidc/other"}}})
	s.body(s.do(s.ana, "POST", "/people/invite", form("email", "cleo@example.org", "issuer", issuer), asForm), 403)
	s.ana.Owner = true
	stale := *s.ana
	stale.AuthTime = time.Now().Add(-time.Hour)
	for _, tc := range []struct {
		name   string
		who    *auth.Principal
		target string
		form   *strings.Reader
		code   int
	}{
		{"no address, either", s.ana, "invite", form("email", "<cleo>@example.org", "issuer", issuer), 400},
		{"good", s.ana, "invite", form("email", "cleo&co@example.org", "issuer", issuer), 303},
		{"another provider", s.ana, "invite", form("email", "dan@example.org", "issuer", other), 303},
		{"no provider", s.ana, "invite", form("email", "dan@example.org", "issuer", "https://nobody.example"), 400},
		{"no address", s.ana, "invite", form("issuer", issuer), 400},
		{"signed in long ago", &stale, "invite", form("email", "eve@example.org", "issuer", issuer), 403},
		{"signed in long ago", &stale, "withdraw", form("email", "dan@example.org", "issuer", other), 403},
		{"nobody", s.ana, "withdraw", form("email", "nobody@example.org", "issuer", other), 303},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.in(t).body(s.do(tc.who, "POST", "/people/"+tc.target, tc.form, asForm), tc.code)
		})
	}
	page := s.get("/people", 200, asPage)
	for _, want := range []string{"cleo&amp;co@example.org", "with Example", "dan@example.org", "with Other", "invited by ana", "Withdraw"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	if strings.Contains(page, "eve@") {
		t.Error("eve is invited")
	}
	s.body(s.do(s.ana, "POST", "/people/withdraw", form("email", "dan@example.org", "issuer", other), asForm), 303)
	if list, err := s.accounts.Invitations(t.Context()); err != nil || len(list) != 1 || list[0].By != "ana" {
		t.Errorf("%+v, %v", list, err)
	}
}
