package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDiskFull fills the disk under index and bucket while clients write, down to
// some megabytes or to nothing, at once or while they watch. They must be told 507 or 503,
// the program must live, and go on as soon as there is room; then it is killed, and
// nothing that was acknowledged may be missing.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program")
	}
	t.Parallel()
	dir := t.TempDir()
	l := newLoop(t, dir, "1200M")
	tp := newTemplate(t, filepath.Join(dir, "template"))
	total, refusals := &verdict{}, 0
	for n := range *fulls {
		when := fmt.Sprintf("trial %d", n)
		if err := os.RemoveAll(filepath.Join(l.dir, "data")); err != nil {
			t.Fatal(err)
		}
		data := tp.clone(t, l.dir)
		g, err := start(t.Context(), built(t), data, environ())
		if err != nil {
			t.Fatal(err)
		}
		if err := mkShared(t.Context(), tp.access, g); err != nil {
			t.Fatal(err)
		}
		rng := source(uint64(n) + 9000)
		h, err := newHistory(filepath.Join(dir, fmt.Sprintf("history-%d", n)))
		if err != nil {
			t.Fatal(err)
		}
		w := newCrowd(h, *nClients, uint64(n)+9000, tp.access, g)
		for _, c := range w.clients {
			c.full = true
		}
		working, stop := context.WithTimeout(t.Context(), 4*time.Second)
		done := make(chan error, 1)
		go func() { done <- w.run(working) }()
		pause(t.Context(), time.Second/2)
		// From what would do to nothing; every third time nothing at all is left.
		left := int64(rng.IntN(320)) << 20
		if n%3 == 0 {
			left = 0
		}
		ballast := filepath.Join(l.dir, "ballast")
		if err := fill(ballast, l.dir, left); err != nil {
			t.Fatal(err)
		}
		pause(t.Context(), 3*time.Second/2)
		full := h.count(507, 503)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		stop()
		refusals += full
		if g.isDead() {
			total.add(func(v *verdict) {
				v.failed++
				v.say("%s: the program died with %d MiB left:\n%s", when, left>>20, first(g.log.String(), 3000))
			})
		} else if !poll(5*time.Second, func() bool {
			status, _, err := tp.dav(t.Context(), newHTTPClient(), g.web, "PUT", library+"/again", []byte("x"), nil)
			if err != nil || status != 201 && status != 204 {
				return false
			}
			status, _, err = tp.dav(t.Context(), newHTTPClient(), g.web, "DELETE", library+"/again", nil, nil)
			return err == nil && status == 204
		}) {
			total.add(func(v *verdict) { v.failed++; v.say("%s: no service though there is room again", when) })
		}
		g.kill()
		log, before := g.log.String(), total.faultsSoFar()
		if g, err = start(t.Context(), built(t), data, environ()); err != nil {
			t.Fatal(err)
		}
		if err := w.check(t.Context(), tp.access, g, total, when); err != nil {
			total.add(func(v *verdict) { v.failed++; v.say("%s: check: %v", when, err) })
		}
		if total.faultsSoFar() > before {
			keep := filepath.Join(os.TempDir(), fmt.Sprintf("shoebox-full-%d-%d.log", seedOnce(), n))
			if err := os.WriteFile(keep, []byte(log), 0o600); err != nil {
				t.Error(err)
			}
			if b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("history-%d", n))); err == nil {
				os.WriteFile(keep+".history", b, 0o600)
			}
			total.add(func(v *verdict) { v.say("%s: its log: %s", when, keep) })
		}
		total.add(func(v *verdict) { v.trials++; v.hit++ })
		h.close()
		text, err := fsck(t.Context(), built(t), data)
		if err != nil {
			total.add(func(v *verdict) { v.fsck++; v.say("%s: %v %s", when, err, text) })
		}
		g.kill()
	}
	for _, text := range total.text {
		t.Error(text)
	}
	t.Logf("full disks: %v; answers of 507 or 503: %d; seed %d", total, refusals, seedOnce())
	if total.bad() || refusals == 0 {
		t.Error("something is wrong, or the disk never was full")
	}
}

// fill takes all of the filesystem's space but left bytes.
func fill(name, dir string, left int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var size int64
	for try := 0; ; try++ {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			return err
		}
		more := int64(s.Bavail)*s.Bsize - left
		if more <= 0 || try > 20 {
			return nil
		}
		if err := unix.Fallocate(int(f.Fd()), 0, size, more); err == nil {
			size += more
		} else if more /= 2; unix.Fallocate(int(f.Fd()), 0, size, more) == nil {
			size += more
		}
	}
}

func first(text string, n int) string { return text[:min(len(text), n)] }
