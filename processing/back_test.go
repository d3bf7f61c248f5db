package processing_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/render"
)

const oldRecipe = "0badcafe"

// age makes the variants of an entry those of an old recipe, as an earlier release left them.
func (b *box) age(t *testing.T, e *backend.Entry) {
	t.Helper()
	found := b.mediaOf(t, e.Ino)
	found.Variants = nil
	for _, r := range render.Recipes {
		if err := b.b.PutVariant(t.Context(), uid, e.Object, r.Variant, oldRecipe, render.Ext, render.Type, []byte("old")); err != nil {
			t.Fatal(err)
		}
		found.Variants = append(found.Variants, r.Variant+"-"+oldRecipe+"."+render.Ext)
	}
	if err := b.b.Finish(t.Context(), uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: found}}); err != nil {
		t.Fatal(err)
	}
}

func (b *box) mediaOf(t *testing.T, ino backend.Ino) backend.Media {
	t.Helper()
	e, err := b.StatIno(t.Context(), ino)
	if err != nil {
		t.Fatal(err)
	}
	return e.Media
}

// jobs are those in the queue.
func (b *box) jobs(t *testing.T) []job.Job {
	t.Helper()
	jobs, _, err := b.queue.List(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// What lay in the trash, or was an earlier version, while a new program looked through the
// library is made anew when it comes back, by one job; what is as it should be needs none.
func TestComingBack(t *testing.T) {
	for _, test := range []struct {
		name string
		// away takes photos/sub/a.jpg away, and returns what brings it back.
		away func(t *testing.T, b *box, e *backend.Entry) (back func() error)
	}{
		{"trash", func(t *testing.T, b *box, e *backend.Entry) func() error {
			if err := b.Delete(t.Context(), e.Key, nil); err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := b.Restore(t.Context(), e.Ino); return err }
		}},
		{"trash, in a collection", func(t *testing.T, b *box, e *backend.Entry) func() error {
			sub, err := b.Stat(t.Context(), "photos/sub")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Delete(t.Context(), sub.Key, nil); err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := b.Restore(t.Context(), sub.Ino); return err }
		}},
		{"version", func(t *testing.T, b *box, e *backend.Entry) func() error {
			b.put(t, string(e.Key), []byte("something else that is no picture"))
			return func() error {
				all, err := b.Versions(t.Context(), e.Ino)
				if err != nil {
					return err
				}
				_, err = b.RestoreVersion(t.Context(), e.Ino, all[0].Replaced)
				return err
			}
		}},
	} {
		for _, state := range []string{"of today", "of an old recipe", "no preview by another program", "not looked at"} {
			t.Run(test.name+"/"+state, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := today(t)
					for _, key := range []backend.Key{"photos/sub", "photos/sub/deeper folder"} {
						if _, err := b.Mkdir(t.Context(), key, nil); err != nil {
							t.Fatal(err)
						}
					}
					r := new(fake)
					opt := &processing.Options{TempDir: t.TempDir(), Users: users}
					run := func() { b.run(t, processing.New(b.b, b.queue, r, opt), 60) }
					e := b.put(t, "photos/sub/deeper folder/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
					if state != "not looked at" {
						run()
					}
					switch state {
					case "of an old recipe":
						b.age(t, e)
					case "no preview by another program":
						m := backend.Media{NoPreview: "it is Tuesday", By: "another"}
						e = b.put(t, string(e.Key), photo(64, 50, "2001:01:01 01:01:01"))
						leases, err := b.queue.Claim(t.Context(), 9)
						if err != nil {
							t.Fatal(err)
						}
						for _, l := range leases {
							p := backend.Processed{Ino: backend.Ino(l.Ino), Object: l.Object, Media: m, Done: b.queue.DoneOps(l)}
							if err := b.b.Finish(t.Context(), uid, []backend.Processed{p}); err != nil {
								t.Fatal(err)
							}
						}
					}
					time.Sleep(time.Second) // of the bubble's clock: versions differ by it
					back := test.away(t, b, e)
					waiting := state == "not looked at" && test.name != "version"
					if !waiting { // a sweep that cannot see it, and the job of what is gone
						if err := b.b.SetSwept(t.Context(), uid, "a program before"); err != nil {
							t.Fatal(err)
						}
						run()
					}
					r.calls = 0
					if err := back(); err != nil {
						t.Fatal(err)
					}
					var kinds []string
					for _, j := range b.jobs(t) {
						kinds = append(kinds, j.Kind)
					}
					want := backend.JobVariants
					switch {
					case test.name == "trash, in a collection" && waiting:
						want = "sweep variants"
					case test.name == "trash, in a collection":
						want = backend.JobSweep
					case state == "of today":
						want = ""
					}
					if slices.Sort(kinds); strings.Join(kinds, " ") != want {
						t.Errorf("jobs: got %q, want %q", kinds, want)
					}
					run()
					calls := 1
					if state == "of today" {
						calls = 0
					}
					if r.calls != calls {
						t.Errorf("rendered %d times, want %d", r.calls, calls)
					}
					e, err := b.Stat(t.Context(), e.Key)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(e.Media.Variants, render.Names()) || e.Media.NoPreview != "" {
						t.Errorf("got %+v", e.Media)
					}
					for _, variant := range []string{"view", "thumb"} {
						body, _, err := b.OpenVariant(t.Context(), e, variant)
						if err != nil {
							t.Errorf("%s: %v", variant, err)
							continue
						}
						if data, err := io.ReadAll(body); err != nil || len(data) < 30 {
							t.Errorf("%s: %d bytes, %v", variant, len(data), err)
						}
						body.Close()
					}
					if s := b.stats(t); s != (job.Stats{}) {
						t.Errorf("jobs left: %+v", s)
					}
				})
			})
		}
	}
}

// Many collections that come back at once do not wait for each other.
func TestManyComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := today(t)
		const n = 50 // more than the jobs that a sweep leaves alone
		var dirs, files []backend.Ino
		r := new(fake)
		w := processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir(), Users: users})
		for i := range n {
			dir, err := b.Mkdir(t.Context(), backend.Key(fmt.Sprintf("photos/%d", i)), nil)
			if err != nil {
				t.Fatal(err)
			}
			e := b.put(t, fmt.Sprintf("photos/%d/a.jpg", i), photo(16, 12+i, "1999:01:01 01:01:01"))
			dirs, files = append(dirs, dir.Ino), append(files, e.Ino)
		}
		b.run(t, w, 60)
		for _, ino := range files {
			e, err := b.StatIno(t.Context(), ino)
			if err != nil {
				t.Fatal(err)
			}
			b.age(t, e)
			dir, _ := e.Key.Split()
			if err := b.Delete(t.Context(), dir, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, ino := range dirs {
			if _, err := b.Restore(t.Context(), ino); err != nil {
				t.Fatal(err)
			}
		}
		r.calls = 0
		b.run(t, w, 600)
		if r.calls != n {
			t.Errorf("made %d, want %d", r.calls, n)
		}
		if s := b.stats(t); s != (job.Stats{}) {
			t.Errorf("jobs left: %+v", s)
		}
	})
}

// A sweep below a collection goes in steps, through folders whose names have anything in
// them, and leaves what lies beside alone.
func TestSweepBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := today(t)
		const n = 70 // more than are queued in a step
		for _, key := range []backend.Key{"photos/sub", "photos/sub/a b\n1", "photos/sub/cafe\u0301"} {
			if _, err := b.Mkdir(t.Context(), key, nil); err != nil {
				t.Fatal(err)
			}
		}
		r := new(fake)
		w := processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir(), Users: users})
		var all []*backend.Entry
		for i := range n {
			dir := []string{"photos/sub/", "photos/sub/a b\n1/", "photos/sub/cafe\u0301/"}[i%3]
			all = append(all, b.put(t, dir+fmt.Sprintf("%d 2.jpg", i), photo(16, 12, fmt.Sprintf("2001:01:01 01:%02d:%02d", i/60, i%60))))
		}
		beside := b.put(t, "photos/sub.jpg", photo(20, 12, "2001:01:01 01:01:01"))
		b.run(t, w, 60)
		for _, e := range append(all, beside) {
			b.age(t, e)
		}
		sub, err := b.Stat(t.Context(), "photos/sub")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context(), "photos/sub", nil); err != nil {
			t.Fatal(err)
		}
		r.calls = 0
		if _, err := b.Restore(t.Context(), sub.Ino); err != nil {
			t.Fatal(err)
		}
		b.run(t, w, 600)
		for _, e := range all {
			if m := b.mediaOf(t, e.Ino); !slices.Equal(m.Variants, render.Names()) {
				t.Errorf("%q: %v", e.Key, m.Variants)
			}
		}
		if m := b.mediaOf(t, beside.Ino); slices.Equal(m.Variants, render.Names()) || r.calls != n {
			t.Errorf("beside: %v; rendered %d, want %d", m.Variants, r.calls, n)
		}
	})
}
