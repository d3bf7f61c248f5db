package browse

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// testJobs are the jobs of a queue, of which sweeps say anew.
type testJobs struct {
	*job.Queue
	anew string
}

func (q *testJobs) Waiting(ctx context.Context, uid string, most int) (int, string, error) {
	n, err := q.Pending(ctx, uid, backend.JobVariants, most)
	return n, q.anew, err
}

func (q *testJobs) GivenUp(ctx context.Context, n int) (list []GivenUpJob, err error) {
	jobs, _, err := q.Dead(ctx, "", n)
	for _, j := range jobs {
		list = append(list, GivenUpJob{ID: j.ID, UID: j.UID, Kind: j.Kind, Attempts: j.Attempts, At: j.Due, Error: j.LastError})
	}
	return list, err
}

// newQueueSite is a site whose uploads queue jobs.
func newQueueSite(t *testing.T) (*site, *testJobs) {
	t.Helper()
	s := newSite(t, nil)
	x := memkv.New()
	jobs := &testJobs{Queue: job.New(x, nil)}
	s.b = backend.New(s.bucket, x, &backend.Options{Queue: jobs.Queue})
	s.handler = New(s.b, s.accounts, &Options{Jobs: jobs})
	return s, jobs
}

// process ends all jobs there are: with a preview, or without, because of why.
func (s *site) process(q *testJobs, why string) {
	s.t.Helper()
	leases, err := q.Claim(s.t.Context(), 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range leases {
		m := backend.Media{Variants: []string{"thumb-t1.webp", "view-t1.webp"}}
		if why != "" {
			m = backend.Media{NoPreview: why, By: "test"}
		}
		p := backend.Processed{Ino: backend.Ino(l.Ino), Object: l.Object, Media: m, Done: q.DoneOps(l)}
		if err := s.b.Finish(s.t.Context(), l.UID, []backend.Processed{p}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) wants(target string, has bool, words ...string) {
	s.t.Helper()
	page := s.get(target, 200, asPage)
	for _, w := range words {
		if strings.Contains(page, w) != has {
			s.t.Errorf("%s: %q is there: %v, want %v", target, w, !has, has)
		}
	}
}

// A person sees own photographs without a preview, with the reason, and has them tried again.
func TestWithoutPreview(t *testing.T) {
	s, q := newQueueSite(t)
	day := time.Date(2024, 5, 4, 12, 0, 0, 0, time.UTC)
	s.wants("/previews", true, "Nothing waits for a preview", "There is none")
	good := s.put("photos/good.jpg", "\xff\xd8\xff\xe0 good", "image/jpeg", day)
	s.wants("/previews", true, "1 file waits for a preview")
	s.process(q, "")
	bad := s.put("photos/bad & ugly.jpg", "\xff\xd8\xff\xe0 bad", "image/jpeg", day)
	s.process(q, "the file is damaged")

	s.wants("/previews", true, "Nothing waits for a preview", "bad &amp; ugly.jpg", "The file is damaged", "/previews/"+string(bad.Ino)+"/retry")
	s.wants("/previews", false, "good.jpg", "Everybody")
	type answer struct {
		Waiting int
		Items   []struct {
			Ino       backend.Ino
			Ready     bool
			NoPreview string
		}
		Looked int
	}
	got := decode[answer](s, s.do(s.ana, "GET", "/api/previews", nil), 200)
	if len(got.Items) != 1 || got.Items[0].Ino != bad.Ino || !got.Items[0].Ready || got.Items[0].NoPreview != "the file is damaged" || got.Looked != 2 {
		t.Errorf("got %+v", got)
	}
	if got := decode[answer](s, s.do(s.bo, "GET", "/api/previews", nil), 200); len(got.Items) != 0 {
		t.Errorf("bo sees %+v", got)
	}
	s.body(s.do(s.bo, "POST", "/api/item/"+string(bad.Ino)+"/preview", nil), 404)

	// Again, from the lightbox and by the form: it waits once, and everywhere says so.
	item := decode[struct{ Ready bool }](s, s.do(s.ana, "POST", "/api/item/"+string(bad.Ino)+"/preview", nil), 202)
	if item.Ready {
		t.Error("it is not waiting")
	}
	res := s.do(s.ana, "POST", "/previews/"+string(bad.Ino)+"/retry", form(), asForm)
	s.body(res, 303)
	to := res.Header.Get("Location")
	if u, err := url.Parse(to); err != nil || u.Path != "/previews" {
		t.Errorf("leads to %s", to)
	}
	s.wants(to, true, "<strong>bad &amp; ugly.jpg</strong> is being tried again", "1 file waits", "It is being tried again")
	s.wants(to, false, "/previews/"+string(bad.Ino)+"/retry")
	for _, words := range []string{"Call+555-0100", "%00", "..%2F", strings.Repeat("x", 3000)} {
		s.wants("/previews?again="+words, false, "is being tried again</p>", "555-0100")
	}
	if tile := s.get("/tiles?ino="+string(bad.Ino), 200); !strings.Contains(tile, "data-waiting") {
		t.Errorf("the tile does not wait: %s", tile)
	}
	if tile := s.get("/tiles?ino="+string(good.Ino), 200); strings.Contains(tile, "data-waiting") {
		t.Errorf("the other's tile waits: %s", tile)
	}
	s.wants("/", true, "data-waiting")
	s.process(q, "")
	s.wants("/previews", true, "Nothing waits for a preview", "There is none")
	if tile := s.get("/tiles?ino="+string(bad.Ino), 200); strings.Contains(tile, "data-waiting") || !strings.Contains(tile, "data-view") {
		t.Errorf("the tile: %s", tile)
	}
}

// What is no file of this person's is not there, whatever stands in its place.
func TestNoSuchItem(t *testing.T) {
	s, _ := newQueueSite(t)
	for _, ino := range []string{"x", "%00", "%2F", "%ff", strings.Repeat("x", 3000)} {
		for _, target := range []string{"GET /api/item/" + ino, "GET /i/" + ino + "/thumb", "GET /o/" + ino, "POST /api/item/" + ino + "/preview", "POST /api/trash/" + ino + "/restore", "DELETE /api/item/" + ino} {
			method, path, _ := strings.Cut(target, " ")
			s.body(s.do(s.ana, method, path, nil), 404)
		}
	}
}

// The owner sees how far everybody's previews are, and what was given up and why, but
// nobody's files; and has it tried again.
func TestJobs(t *testing.T) {
	s, q := newQueueSite(t)
	for _, target := range []string{"/api/jobs"} {
		s.get(target, 403)
	}
	s.body(s.do(s.ana, "POST", "/api/jobs/retry", nil), 403)
	s.body(s.do(s.ana, "POST", "/previews/retry", form(), asForm), 403)
	ctx := t.Context()
	for _, name := range []string{"secret1.jpg", "secret2.jpg"} {
		if _, _, err := s.lib(s.bo).Put(ctx, backend.Key("photos/"+name), strings.NewReader("\xff\xd8\xff\xe0 "+name), -1, nil); err != nil {
			t.Fatal(err)
		}
	}
	leases, err := q.Claim(ctx, 1)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := q.Fail(ctx, leases[0], errors.New("the disk is <full>"), false); err != nil {
		t.Fatal(err)
	}
	s.ana.Owner = true
	q.anew = "2000 looked at, 17 to be made anew"
	s.wants("/previews", true, "Everybody", ">Bo<", "1 file waits for a preview", "the disk is &lt;full&gt;", "bo · ", "2000 looked at", "Try all of them again")
	s.wants("/previews", false, "secret")
	type answer struct {
		People []struct {
			User, Anew string
			Waiting    int
		}
		GivenUp []struct {
			User, Error string
			Attempts    int
		}
	}
	got := decode[answer](s, s.do(s.ana, "GET", "/api/jobs", nil), 200)
	if len(got.People) != 2 || got.People[1].User != "bo" || got.People[1].Waiting != 1 || len(got.GivenUp) != 1 || got.GivenUp[0].User != "bo" || got.GivenUp[0].Attempts != 1 {
		t.Errorf("got %+v", got)
	}
	s.body(s.do(s.ana, "POST", "/previews/retry", form(), asForm), 303)
	if n := decode[struct{ Queued int }](s, s.do(s.ana, "POST", "/api/jobs/retry", nil), 200); n.Queued != 0 {
		t.Errorf("queued %d more", n.Queued)
	}
	s.wants("/previews", true, "2 files wait for a preview")
	s.wants("/previews", false, "Given up")
}
