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
var elsewhere = []string{"fenced"}

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
	for _, text := range total.text {
		t.Error(text)
	}
	for _, p := range append(points, "") {
		if v := by[p]; v.trials > 0 && (v.hit < v.trials || *trials > 5) {
			t.Logf("%-18s %v of %v trials at the point", p, v.hit, v.trials)
		}
	}
	t.Logf("kills: %v; seed %d", total, seedOnce())
	if total.bad() {
		t.Fail()
	}
}

// killOnce is one trial. Every second one loses the index too.
func killOnce(t *testing.T, tp *template, point string, n int, total, own *verdict) {
	rng := source(uint64(n))
	when := fmt.Sprintf("trial %d at %q", n, point)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "shoebox-kill")
	if err != nil {
		t.Error(err)
		return
	}
	keep := false
	defer func() {
		if !keep {
			os.RemoveAll(dir)
		}
	}()
	broken := func(err error) {
		keep = true
		total.add(func(v *verdict) { v.failed++; v.say("%s: %v (kept: %s)", when, err, dir) })
	}
	data := tp.clone(t, dir)
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
	h, err := newHistory(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		broken(err)
		return
	}
	defer h.close()

	g, err := start(ctx, built(t), data, environ(env...))
	crowd := &crowd{h: h}
	struck := false
	switch {
	case errors.Is(err, errDied) && whileWorking: // it struck at the start
		struck = true
	case err != nil:
		broken(err)
		return
	default:
		if err := mkShared(ctx, tp.access, g); err != nil && !poll(5*time.Second, g.isDead) {
			broken(err)
			return
		}
		crowd = newCrowd(h, *nClients, uint64(n)+1, tp.access, g)
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
			broken(err)
			return
		}
		if point == "export.file" {
			struck = exportOnce(ctx, t, data, arm, broken)
		}
		struck = struck || point == ""
		if whileWorking && g.isDead() {
			struck = diedAt(g, point)
		}
		g.kill()
	}

	lostIndex := n%2 == 1 || slices.Contains(atStart, point)
	if lostIndex {
		if err := os.RemoveAll(filepath.Join(data, "index")); err != nil {
			broken(err)
			return
		}
	}
	if slices.Contains(atStart, point) { // and dies again, while it makes the index anew
		g, err := start(ctx, built(t), data, environ(append(env, arm)...))
		if err == nil {
			g.kill()
		} else if struck = errors.Is(err, errDied); !struck {
			broken(err)
			return
		}
	}
	g, err = start(ctx, built(t), data, environ())
	if err != nil {
		broken(fmt.Errorf("it does not start again: %w", err))
		return
	}
	defer g.kill()
	before := total.faultsSoFar()
	if err := crowd.check(ctx, tp.access, g, total, when); err != nil {
		broken(fmt.Errorf("check: %w\n%s", err, g.log))
		return
	}
	if total.faultsSoFar() > before {
		keep = true
		total.add(func(v *verdict) { v.say("%s: kept: %s; the log:\n%s", when, dir, g.log) })
	}
	if text, err := fsck(ctx, built(t), data); err != nil {
		keep = true
		total.add(func(v *verdict) { v.fsck++; v.say("%s: %v %s (kept: %s)", when, err, text, dir) })
	}
	for _, v := range []*verdict{total, own} {
		v.add(func(v *verdict) {
			v.trials++
			if struck {
				v.hit++
			}
		})
	}
}

func (v *verdict) faultsSoFar() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lost + v.torn + v.visible + v.wrong
}

// mkShared makes the collection in which all clients write.
func mkShared(ctx context.Context, a access, g *gateway) error {
	status, _, err := a.dav(ctx, newHTTPClient(), g.web, "MKCOL", library+"/shared", nil, nil)
	if err == nil && status != 201 && status != 405 {
		err = fmt.Errorf("MKCOL: %d", status)
	}
	return err
}

// exportOnce kills an export at its point, and lets another end what it began.
func exportOnce(ctx context.Context, t *testing.T, data, arm string, broken func(error)) (struck bool) {
	to := filepath.Join(filepath.Dir(data), "export")
	if _, err := command(ctx, built(t), environ(arm), "export", "-data-dir", data, to); err != nil {
		struck = true
	}
	if _, err := command(ctx, built(t), environ(), "export", "-data-dir", data, to); err != nil {
		broken(fmt.Errorf("the second export: %w", err))
	}
	return struck
}

// diedAt says whether the point was met, at which the process had to kill itself, or an
// answer was lost.
func diedAt(g *gateway, point string) bool {
	return poll(time.Second, func() bool {
		return containsLine(g.log.String(), "fail: kill at "+point) || containsLine(g.log.String(), "fail: error at "+point)
	})
}
