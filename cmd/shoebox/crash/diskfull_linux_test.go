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
// some megabytes or to nothing. They must be told 507 or 503, the program must live, and go
// on as soon as there is room; then it is killed, and nothing that was acknowledged may be
// missing.
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
		refusals += diskFull(t, l, tp, n, total)
	}
	total.report(t, "full disks", fmt.Sprintf("; answers of 507 or 503: %d", refusals))
	if refusals == 0 {
		t.Error("the disk never was full")
	}
}

func diskFull(t *testing.T, l *loop, tp *template, n int, total *verdict) (refusals int) {
	ctx, rng := t.Context(), source(uint64(n)+9000)
	tr := newTrial(t, total, fmt.Sprintf("trial %d", n))
	defer tr.end()
	if err := os.RemoveAll(filepath.Join(l.dir, "data")); err != nil {
		t.Fatal(err)
	}
	data := tp.clone(t, l.dir)
	g, err := tr.start(ctx, data, environ())
	if err == nil {
		err = mkShared(ctx, tp.access, g)
	}
	if err != nil {
		tr.failed("%v", err)
		return 0
	}
	w := newCrowd(tr.h, *nClients, uint64(n)+9000, tp.access, g)
	for _, c := range w.clients {
		c.full = true
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.run(working) }()
	pause(ctx, 400*time.Millisecond)
	// From what would do to nothing; every third time nothing at all is left.
	left := int64(rng.IntN(320)) << 20
	if n%3 == 0 {
		left = 0
	}
	ballast := filepath.Join(l.dir, "ballast")
	if err := fill(ballast, l.dir, left); err != nil {
		t.Fatal(err)
	}
	pause(ctx, time.Second)
	if left == 0 { // somebody will ask for more, however slow all is
		poll(patience, func() bool { return g.isDead() || tr.h.count(507, 503) > 0 })
	}
	refusals = tr.h.count(507, 503)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	pause(ctx, 600*time.Millisecond)
	stop()
	if err := <-done; err != nil {
		tr.failed("%v", err)
	}
	if g.isDead() {
		tr.failed("the program died with %d MiB left:\n%s", left>>20, first(g.log.String(), 3000))
	} else if !poll(patience, func() bool {
		status, _, err := tp.dav(ctx, newHTTPClient(), g.web, "PUT", library+"/again", []byte("x"), nil)
		if err != nil || status != 201 && status != 204 {
			return false
		}
		status, _, err = tp.dav(ctx, newHTTPClient(), g.web, "DELETE", library+"/again", nil, nil)
		return err == nil && status == 204
	}) {
		tr.failed("no service though there is room again")
	}
	g.kill()
	if g, err = tr.start(ctx, data, environ()); err != nil {
		tr.failed("it does not start again: %v", err)
		return refusals
	}
	tr.check(ctx, w, tp.access, g)
	tr.done(true, nil)
	if tr.wrong { // the next trial takes its place
		copyDir(t, data, filepath.Join(tr.dir, "data"))
	}
	return refusals
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
