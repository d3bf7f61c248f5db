package browse

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

func form(v ...string) *strings.Reader {
	f := url.Values{}
	for i := 0; i+1 < len(v); i += 2 {
		f.Set(v[i], v[i+1])
	}
	return strings.NewReader(f.Encode())
}

func TestPeople(t *testing.T) {
	s := newSite(t, nil)
	for _, target := range []string{"/people", "/api/activity"} {
		s.get(target, 403)
	}
	s.body(s.do(s.ana, "POST", "/people/"+s.bo.UID+"/state", form("state", "suspended"), asForm), 403)
	s.body(s.do(s.ana, "POST", "/people/"+s.bo.UID+"/quota", form("gb", "1"), asForm), 403)
	s.ana.Owner = true

	page := s.get("/people", 200, asPage)
	for _, want := range []string{"shoebox user add", "user added", ">Bo<", "/people/" + s.bo.UID + "/state"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	if strings.Contains(page, "/people/"+s.ana.UID+"/state") {
		t.Error("the owner can suspend herself")
	}
	user := func() *account.User {
		t.Helper()
		u, err := s.accounts.User(t.Context(), s.bo.UID)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, tc := range []struct {
		name, target string
		form         *strings.Reader
		code         int
	}{
		{"quota", "/quota", form("gb", "1.5", "files", "20"), 303},
		{"quota that is none", "/quota", form("gb", "much"), 400},
		{"quota below nothing", "/quota", form("gb", "-1"), 400},
		{"files below nothing", "/quota", form("files", "-1"), 400},
		{"quota without end", "/quota", form("gb", "Inf"), 400},
		{"suspend", "/state", form("state", "suspended"), 303},
		{"no such state", "/state", form("state", "removed"), 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.in(t).body(s.do(s.ana, "POST", "/people/"+s.bo.UID+tc.target, tc.form, asForm), tc.code)
		})
	}
	if u := user(); u.Quota != 1_500_000_000 || u.QuotaFiles != 20 || u.State != account.Suspended {
		t.Errorf("user is %+v", u)
	}
	s.body(s.do(s.ana, "POST", "/people/"+s.ana.UID+"/state", form("state", "suspended"), asForm), 409)
	s.body(s.do(s.ana, "POST", "/people/aaaaaaaaaaaaa/state", form("state", "suspended"), asForm), 404)
	s.body(s.do(s.ana, "POST", "/people/"+s.bo.UID+"/state", form("state", "active"), asForm), 303)
	if u := user(); u.State != account.Active {
		t.Errorf("user is %+v", u)
	}
	old := *s.ana
	old.AuthTime = time.Now().Add(-time.Hour)
	s.body(s.do(&old, "POST", "/people/"+s.bo.UID+"/state", form("state", "suspended"), asForm), 403)

	// The audit log tells the owner that somebody deleted something, but not what it is called.
	for _, who := range []*auth.Principal{s.bo, s.ana} {
		_, _, err := s.lib(who).Put(t.Context(), "photos/secret-name.txt", strings.NewReader("x"), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.lib(who).Delete(t.Context(), "photos/secret-name.txt", nil); err != nil {
			t.Fatal(err)
		}
	}
	activity := decode[struct{ Items []event }](s, s.do(s.ana, "GET", "/api/activity", nil), 200).Items
	if len(activity) < 6 || activity[0].What != "deleted" || activity[0].Who != "ana" || activity[0].Target != "photos/secret-name.txt" {
		t.Errorf("activity is %+v", activity)
	}
	if e := activity[1]; e.What != "deleted" || e.Who != "bo" || e.Target != "" {
		t.Errorf("of bo she sees %+v", e)
	}
	if page := s.body(s.do(s.bo, "GET", "/account", nil, asPage), 200); !strings.Contains(page, "photos/secret-name.txt") {
		t.Errorf("bo does not see it himself: %s", page)
	}
	if n := decode[struct{ Items []event }](s, s.do(s.ana, "GET", "/api/activity?n=2", nil), 200).Items; len(n) != 2 {
		t.Errorf("%d events, want 2", len(n))
	}
	s.get("/api/activity?n=0", 400)
}

func TestAccountSessions(t *testing.T) {
	s := newSite(t, nil)
	for _, who := range []*auth.Principal{s.ana, s.ana, s.bo} {
		if _, err := s.accounts.NewSession(t.Context(), who.UID, account.SessionInfo{UserAgent: "Browser of " + who.Login}); err != nil {
			t.Fatal(err)
		}
	}
	page := s.get("/account", 200, asPage)
	if strings.Count(page, "Browser of ana") != 2 || strings.Contains(page, "Browser of bo") {
		t.Errorf("the page is %s", page)
	}
	of := func(p *auth.Principal) []*account.Session {
		t.Helper()
		list, err := s.accounts.Sessions(t.Context(), p.UID)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	s.body(s.do(s.ana, "POST", "/account/sessions/"+of(s.bo)[0].ID+"/end", form(), asForm), 303)
	s.body(s.do(s.ana, "POST", "/account/sessions/"+of(s.ana)[0].ID+"/end", form(), asForm), 303)
	if len(of(s.ana)) != 1 || len(of(s.bo)) != 1 {
		t.Errorf("ana has %d, bo %d sessions", len(of(s.ana)), len(of(s.bo)))
	}
}

func TestRenewIsTold(t *testing.T) {
	now := time.Now()
	s := newSite(t, &Options{Now: func() time.Time { return now }, SignIn: []auth.Provider{{Name: "Example ID", Issuer: "https://id.example", Start: "/login/oidc"}}})
	ctx := t.Context()
	if err := s.accounts.LinkIdentity(ctx, s.ana.UID, account.Identity{Issuer: "https://id.example", Subject: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := s.accounts.Proved(ctx, s.ana.UID, "https://id.example", "1", ""); err != nil {
		t.Fatal(err)
	}
	const told = "Example ID has not vouched"
	now = now.AddDate(0, 0, 19)
	if page := s.get("/trash", 200, asPage); strings.Contains(page, told) {
		t.Error("it is told on day 19")
	}
	now = now.AddDate(0, 0, 2)
	if page := s.get("/trash", 200, asPage); !strings.Contains(page, told) || !strings.Contains(page, `href="/login/oidc?return=%2Faccount"`) {
		t.Errorf("it is not told on day 21: %s", page)
	}
}

func TestUnusedIsTold(t *testing.T) {
	now := time.Now()
	s := newSite(t, &Options{Now: func() time.Time { return now }})
	if _, _, err := s.accounts.Mint(t.Context(), s.ana.UID, account.MintOptions{Label: "old phone", DAV: true}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		days int
		told bool
	}{{179, false}, {2, true}} {
		now = now.AddDate(0, 0, tc.days)
		if page := s.get("/devices", 200, asPage); strings.Contains(page, "unused for 180 days") != tc.told {
			t.Errorf("after %d more days: %s", tc.days, page)
		}
	}
}
