package account

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// TestDeletions: thousands of deletions are few events, and the log has no names.
func TestDeletions(t *testing.T) {
	ctx := t.Context()
	var log bytes.Buffer
	x := &countingStore{Store: memkv.New()}
	a, err := Open(ctx, membucket.New(), x, GenerateKeys(), &Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ana, err := a.CreateUser(ctx, NewUser{Login: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	bo, err := a.CreateUser(ctx, NewUser{Login: "bo"})
	if err != nil {
		t.Fatal(err)
	}
	phone, secret, err := a.Mint(ctx, ana.UID, MintOptions{Label: "phone", DAV: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Check(ctx, string(secret)); err != nil { // as the request has before it deletes
		t.Fatal(err)
	}
	a.Touch(phone.ID, "dav", netip.MustParseAddr("203.0.113.7"), "test")
	before := x.n.Load()
	for i := range 5000 {
		a.NoteDeleted(ctx, ana.UID, phone.ID, fmt.Sprintf("photos/canary-%d.jpg", i))
	}
	web := WithActor(ctx, Actor{Login: "ana", Addr: netip.MustParseAddr("127.0.0.1")})
	a.NoteDeleted(web, ana.UID, "web", "photos/canary-web.jpg")
	a.NoteDeleted(WithActor(ctx, Actor{Login: "bo"}), bo.UID, "web", "photos/canary-bo.jpg")
	if n := x.n.Load() - before; n != 0 {
		t.Errorf("%d commits while they are deleted", n)
	}
	list, err := a.EventsOf(ctx, ana.UID, 2)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if e := list[0]; e.What != "deleted" || e.Target != "photos/canary-web.jpg" || e.Device != "" || e.Actor != "ana" || e.Net != "127.0.0.1" || e.Count != 1 {
		t.Errorf("on the page: %+v", e)
	}
	if e := list[1]; e.Target != "photos/canary-0.jpg" || e.Device != "phone" || e.Actor != "ana" || e.Net != "203.0.113.0/24" || e.Count != 5000 {
		t.Errorf("by the phone: %+v", e)
	}
	if n := x.n.Load() - before; n != 3 {
		t.Errorf("%d commits in all, want 3", n)
	}
	text := log.String()
	if strings.Contains(text, "canary") {
		t.Errorf("the log has names: %s", text)
	}
	for _, want := range []string{`"what":"deleted","actor":"ana","net":"203.0.113.0/24"`, `"device":"phone","count":5000`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s: %s", want, text)
		}
	}
	if err := a.Revoke(ctx, ana.UID, phone.ID); err != nil {
		t.Fatal(err)
	}
	labels, err := a.Labels(ctx, ana.UID, []string{phone.ID, "web", phone.ID, "AAAAAAAAAAAAAAAA"})
	if err != nil || len(labels) != 1 || labels[phone.ID] != "phone" {
		t.Errorf("labels are %v, %v", labels, err)
	}
	if labels, err := a.Labels(ctx, bo.UID, []string{phone.ID}); err != nil || len(labels) != 0 {
		t.Errorf("bo sees %v, %v", labels, err)
	}
	all, err := a.Events(ctx, MaxEvents)
	if err != nil || len(all) < 6 {
		t.Errorf("%d events, %v", len(all), err)
	}
}
