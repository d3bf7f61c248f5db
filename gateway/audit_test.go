package gateway_test

import (
	"crypto/md5"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// TestDeletionsAreAudited: what is deleted on any face is in the audit log, with the device
// and how many, and in the trash, with who; the log on disk has no names.
func TestDeletionsAreAudited(t *testing.T) {
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{Label: "ana's phone"})
	for _, name := range []string{"dav", "s3", "batch-1", "batch-2", "page"} {
		ana.put(backend.Key("photos/canary-"+name+".txt"), "x")
	}
	e, err := ana.library().Stat(t.Context(), "photos/canary-page.txt")
	if err != nil {
		t.Fatal(err)
	}
	if a := ana.dav("DELETE", "/dav/photos/canary-dav.txt", ""); a.code != 204 {
		t.Fatal(a)
	}
	if a := ana.s3("DELETE", "/photos/canary-s3.txt", ""); a.code != 204 {
		t.Fatal(a)
	}
	const both = "<Delete><Object><Key>canary-batch-1.txt</Key></Object><Object><Key>canary-batch-2.txt</Key></Object></Delete>"
	sum := md5.Sum([]byte(both))
	if a := ana.s3("POST", "/photos?delete=", both, "Content-MD5", base64.StdEncoding.EncodeToString(sum[:])); a.code != 200 {
		t.Fatal(a)
	}
	if a := ana.page("DELETE", "/api/item/"+string(e.Ino), ""); a.code != 204 {
		t.Fatal(a)
	}
	if a := ana.dav("DELETE", "/dav/photos/nothing.txt", ""); a.code != 404 {
		t.Fatal(a)
	}
	list, err := h.accounts.EventsOf(t.Context(), ana.UID, 2)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if e := list[0]; e.What != account.Deleted || e.Actor != "ana" || e.Device != "" || e.Net != "127.0.0.1" || e.Target != "photos/canary-page.txt" || e.Count != 1 {
		t.Errorf("on the page: %+v", e)
	}
	if e := list[1]; e.What != account.Deleted || e.Actor != "ana" || e.Device != "ana's phone" || e.Net != "127.0.0.1" || e.Target != "photos/canary-dav.txt" || e.Count != 4 {
		t.Errorf("by the phone: %+v", e)
	}
	if log := h.log.String(); strings.Contains(log, "canary") || !strings.Contains(log, "msg=audit what=deleted") {
		t.Errorf("the log: %s", log)
	}
	trash, err := ana.library().Trash(t.Context(), "", 10)
	if err != nil || len(trash) != 5 {
		t.Fatal(trash, err)
	}
	for _, g := range trash {
		want := ana.key.ID
		if strings.Contains(string(g.Entry.Key), "page") {
			want = "web"
		}
		if g.By != want {
			t.Errorf("%s was deleted by %q, want %q", g.Entry.Key, g.By, want)
		}
	}
}
