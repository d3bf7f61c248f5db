package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
)

// most is the highest hit at which a trial strikes; where a point is passed often, a
// later hit strikes in fuller work.
var most = map[string]int{
	"W2.body": 80, "W2.part": 6, "W2.part-noted": 6, "W3.stored": 60, "disk.written": 120, "disk.named": 120,
	"W4.planned": 50, "W5.begin": 50, "W5.sent": 50, "W6.begin": 50, "W6.commit": 80, "W6.done": 50, "W7.answered": 150,
	"W8.claimed": 8, "W8.variant": 8, "W8.made": 1, "multipart.begin": 6, "multipart.complete": 6,
	"snapshot.row": 150, "snapshot.written": 2, "expire.snapshot": 1, "expire.segment": 5,
	"replay.segment": 4, "load.snapshot": 1, "move.folder": 3, "export.file": 20,
	"collect.marked": 3, "collect.variant": 2, "collect.deleted": 10, "purge.some": 10,
}

// hurry lets a gateway do in seconds what it does in weeks: snapshots, the end of the
// trash and of versions, and the collection of what is not used.
const hurry = "SHOEBOX_TEST_SET=house.tick=200ms,house.hour=200ms,journal.keep=1ms,trash.keep=300ms,version.keep=300ms,collect.after=1ms,collect.every=1ms"

// atStart are the points of a start, not of work.
var atStart = []string{"replay.segment", "load.snapshot"}

// elsewhere are points that other tests strike.
var elsewhere = []string{"fenced", "rotate.keyed", "rewrap.some"}

// TestKill kills the real program at every crash point, and at random moments, while
// clients of both faces work. It starts it again, half of the time without its index,
// and compares all that was acknowledged by SHA-256, by both faces; then fsck.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program many times")
	}
	t.Parallel()
	tp := newTemplate(t, filepath.Join(t.TempDir(), "template"))
	var points []string
	for name := range fail.Points {
		if !slices.Contains(elsewhere, name) && (*only == "" || *only == name) {
			points = append(points, name)
		}
	}
	slices.Sort(points)
	type trial struct {
		point string
		n     int
	}
	work := make(chan trial)
	go func() {
		defer close(work)
		n := 0
		for range *trials {
			for _, p := range points {
				work <- trial{p, n}
				n++
			}
		}
		for range *random {
			if *only == "" {
				work <- trial{"", n}
				n++
			}
		}
	}()
	total, by := &verdict{}, map[string]*verdict{"": {}}
	for _, p := range points {
		by[p] = &verdict{}
	}
	var wg sync.WaitGroup
	for range max(1, *parallel) {
		wg.Go(func() {
			for tr := range work {
				killOnce(t, tp, tr.point, tr.n, total, by[tr.point])
			}
		})
	}
	wg.Wait()
	for _, p := range append(points, "") {
		if v := by[p]; v.trials > 0 && (v.hit < v.trials || *trials > 5) {
			t.Logf("%-18s %v of %v trials at the point", p, v.hit, v.trials)
		}
	}
	total.report(t, "kills", "")
}

// killOnce is one trial. Every second one loses the index too.
func killOnce(t *testing.T, tp *template, point string, n int, total, own *verdict) {
	rng := source(uint64(n))
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	tr := newTrial(t, total, fmt.Sprintf("trial %d at %q", n, point))
	defer tr.end()
	data := tp.clone(t, tr.dir)
	env := []string{hurry}
	hit := 1 + rng.IntN(max(1, most[point]))
	arm := fmt.Sprintf("SHOEBOX_TEST_FAIL=%s:%d", point, hit)
	if point == "W5.sent" && rng.IntN(3) == 0 {
		arm += ":error" // the process lives, and has to find out that the segment is there
	}
	whileWorking := point != "" && point != "export.file" && !slices.Contains(atStart, point)
	if whileWorking {
		env = append(env, arm)
	}

	g, err := tr.start(ctx, data, environ(env...))
	crowd := &crowd{h: tr.h}
	struck := false
	switch {
	case errors.Is(err, errDied) && whileWorking: // it struck at the start
		struck = true
	case err != nil:
		tr.failed("start: %v", err)
		return
	default:
		if err := mkShared(ctx, tp.access, g); err != nil && !poll(patience, g.isDead) {
			tr.failed("%v", err)
			return
		}
		crowd = newCrowd(tr.h, *nClients, uint64(n)+1, tp.access, g)
		limit := *workTime
		if !whileWorking {
			limit = time.Duration(rng.Int64N(int64(*workTime))) + *workTime/10
		}
		working, stop := context.WithTimeout(ctx, limit)
		kill := time.AfterFunc(limit, func() { // in the middle of things, not when they have ended
			if point != "export.file" {
				g.cmd.Process.Kill()
			}
		})
		err := crowd.run(working)
		kill.Stop()
		stop()
		if err != nil {
			tr.failed("%v", err)
			return
		}
		if point == "export.file" {
			struck = tr.export(ctx, data, arm)
		}
		g.kill()
		struck = struck || point == "" || whileWorking && diedAt(g, point)
	}

	if n%2 == 1 || slices.Contains(atStart, point) {
		if err := os.RemoveAll(filepath.Join(data, "index")); err != nil {
			tr.failed("%v", err)
			return
		}
	}
	if slices.Contains(atStart, point) { // and dies again, while it makes the index anew
		g, err := tr.start(ctx, data, environ(append(env, arm)...))
		if err == nil {
			g.kill()
		} else if struck = errors.Is(err, errDied); !struck {
			tr.failed("start: %v", err)
			return
		}
	}
	if g, err = tr.start(ctx, data, environ()); err != nil {
		tr.failed("it does not start again: %v", err)
		return
	}
	tr.check(ctx, crowd, tp.access, g)
	tr.done(struck, own)
}

// mkShared makes the collection in which all clients write.
func mkShared(ctx context.Context, a access, g *gateway) error {
	status, _, err := a.dav(ctx, newHTTPClient(), g.web, "MKCOL", library+"/shared", nil, nil)
	if err == nil && status != 201 && status != 405 {
		err = fmt.Errorf("MKCOL: %d", status)
	}
	return err
}

// export kills an export at its point, and lets another end what it began.
func (tr *trial) export(ctx context.Context, data, arm string) (struck bool) {
	to := filepath.Join(tr.dir, "export")
	if _, err := command(ctx, built(tr.t), environ(arm), "export", "-data-dir", data, to); err != nil {
		struck = true
	}
	if _, err := command(ctx, built(tr.t), environ(), "export", "-data-dir", data, to); err != nil {
		tr.failed("the second export: %v", err)
	}
	return struck
}

// diedAt says whether g, which is dead, met the point at which it had to kill itself, or an
// answer was lost.
func diedAt(g *gateway, point string) bool {
	return containsLine(g.log.String(), "fail: kill at "+point) || containsLine(g.log.String(), "fail: error at "+point)
}
