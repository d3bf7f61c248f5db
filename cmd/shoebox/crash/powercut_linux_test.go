package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPowerCut takes the disk as it is at a moment, without what was in memory only, and
// starts Shoebox on that: all that was acknowledged by then must be there. The negative
// control does the same without any fsync, and must lose: else the test would not show
// anything.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program")
	}
	t.Parallel()
	tp := newTemplate(t, filepath.Join(t.TempDir(), "template"))
	total, control := &verdict{}, &verdict{}
	for n := range *cuts {
		powerCut(t, tp, n, total)
	}
	for n := range max(4, *cuts/10) {
		// One that the disk was quick enough for shows nothing: then another.
		if n > *cuts/10 && control.lost+control.failed > 0 {
			break
		}
		powerCut(t, tp, 5000+n, control, "SHOEBOX_TEST_SKIP=fsync")
	}
	total.report(t, "power cuts", "")
	t.Logf("without fsync: %v", control)
	for _, text := range control.text[:min(2, len(control.text))] {
		t.Logf("without fsync: %s", first(text, 400))
	}
	if control.lost+control.failed == 0 {
		t.Error("without fsync nothing was lost: the test shows nothing")
	}
}

func powerCut(t *testing.T, tp *template, n int, total *verdict, env ...string) {
	ctx := t.Context()
	tr := newTrial(t, total, fmt.Sprintf("cut %d", n))
	defer func() {
		if len(env) > 0 {
			tr.wrong = false // it is meant to be
		}
		tr.end()
	}()
	before, after := filepath.Join(tr.dir, "before"), filepath.Join(tr.dir, "after")
	for _, d := range []string{before, after} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l := newLoop(t, before, "900M")
	defer l.unmount()
	data := tp.clone(t, l.dir)
	if text, err := run("sync", "-f", l.dir); err != nil {
		t.Fatal(text, err)
	}
	g, err := tr.start(ctx, data, environ(append(env, hurry)...))
	if err == nil {
		err = mkShared(ctx, tp.access, g)
	}
	if err != nil {
		tr.failed("%v", err)
		return
	}
	w := newCrowd(tr.h, *nClients, uint64(n)+6000, tp.access, g)
	working, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.run(working) }()
	poll(patience, func() bool { return g.isDead() || tr.h.count(200, 201, 204) >= 20 })
	pause(ctx, time.Second/2+time.Duration(source(uint64(n)+6000).Int64N(int64(3*time.Second/2))))

	// Nobody is answered after this, and what was answered is on the disk that is copied.
	if err := g.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c := l.cut(t, after)
	stop()
	g.kill()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l.unmount()
	c.mount(t)
	defer c.unmount()
	defer func() { g.kill() }() // before it is unmounted
	tr.done(true, nil)
	again, err := tr.start(ctx, filepath.Join(c.dir, "data"), environ())
	if err != nil {
		tr.failed("it does not start: %v", err)
		return
	}
	g = again
	tr.check(ctx, w, tp.access, g)
}
