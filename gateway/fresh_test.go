package gateway_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// TestEveryMintNeedsAFreshProof: a browser left open, or a stolen cookie, makes no app
// password on any way there is.
func TestEveryMintNeedsAFreshProof(t *testing.T) {
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{})
	count := func() int {
		t.Helper()
		list, err := h.accounts.AppPasswords(t.Context(), ana.UID)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for _, tc := range []struct {
		name  string
		ago   time.Duration
		fresh bool
	}{{"fresh", time.Minute, true}, {"stale", 11 * time.Minute, false}} {
		t.Run(tc.name, func(t *testing.T) {
			token, err := h.accounts.NewSession(t.Context(), ana.UID, account.SessionInfo{AuthTime: time.Now().Add(-tc.ago)})
			if err != nil {
				t.Fatal(err)
			}
			ana.cookie.Value = string(token)
			before := count()
			ana.page("POST", "/api/devices", `{"label":"by the API"}`, "Content-Type", "application/json")
			ana.page("POST", "/devices", "label=by+the+form&protocol=webdav", "Content-Type", "application/x-www-form-urlencoded")

			var flow struct {
				Poll  struct{ Token, Endpoint string }
				Login string
			}
			begun := ana.page("POST", "/index.php/login/v2", "")
			if err := json.Unmarshal([]byte(begun.body), &flow); err != nil {
				t.Fatalf("%d %s", begun.code, begun.body)
			}
			at, err := url.Parse(flow.Login)
			if err != nil {
				t.Fatal(err)
			}
			ana.page("POST", at.Path, "answer=connect&label=by+the+app", "Content-Type", "application/x-www-form-urlencoded")
			poll, err := url.Parse(flow.Poll.Endpoint)
			if err != nil {
				t.Fatal(err)
			}
			ana.do(h.request("POST", h.web.URL+poll.Path, strings.NewReader("token="+url.QueryEscape(flow.Poll.Token)), []string{"Content-Type", "application/x-www-form-urlencoded"}))
			want := 0
			if tc.fresh {
				want = 3
			}
			if made := count() - before; made != want {
				t.Errorf("%d app passwords were made, want %d\n%s", made, want, h.log)
			}
		})
	}
}
