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
	for n := range 1 + *cuts/10 {
		powerCut(t, tp, 5000+n, control, "SHOEBOX_TEST_SKIP=fsync")
	}
	for _, text := range total.text {
		t.Error(text)
	}
	t.Logf("power cuts: %v; seed %d", total, seedOnce())
	t.Logf("without fsync: %v", control)
	for _, text := range control.text[:min(2, len(control.text))] {
		t.Logf("without fsync: %s", first(text, 400))
	}
	if total.bad() {
		t.Error("something is wrong")
	}
	if control.lost+control.failed == 0 {
		t.Error("without fsync nothing was lost: the test shows nothing")
	}
}

func powerCut(t *testing.T, tp *template, n int, total *verdict, env ...string) {
	when := fmt.Sprintf("cut %d", n)
	dir, err := os.MkdirTemp("", "shoebox-cut")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	before, after := filepath.Join(dir, "before"), filepath.Join(dir, "after")
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
	g, err := start(t.Context(), built(t), data, environ(append(env, hurry)...))
	if err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	if err := mkShared(t.Context(), tp.access, g); err != nil {
		t.Fatal(err)
	}
	h, err := newHistory(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	w := newCrowd(h, *nClients, uint64(n)+6000, tp.access, g)
	working, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.run(working) }()
	pause(t.Context(), time.Second/2+time.Duration(source(uint64(n)+6000).Int64N(int64(2*time.Second))))

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
	total.add(func(v *verdict) { v.trials++; v.hit++ })
	failed := func(format string, args ...any) {
		total.add(func(v *verdict) { v.failed++; v.say(when+": "+format, args...) })
	}
	if g, err = start(t.Context(), built(t), filepath.Join(c.dir, "data"), environ()); err != nil {
		failed("it does not start: %v", err)
		return
	}
	defer g.kill()
	if err := w.check(t.Context(), tp.access, g, total, when); err != nil {
		failed("check: %v", err)
	}
	if text, err := fsck(t.Context(), built(t), g.data); err != nil {
		total.add(func(v *verdict) { v.fsck++; v.say("%s: %v %s", when, err, text) })
	}
}
