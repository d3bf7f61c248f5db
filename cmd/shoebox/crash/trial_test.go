package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A trial is a directory in which the program is made to break, the history of its clients,
// and what came of it. If anything is wrong all of that is kept, and told where.
type trial struct {
	t     *testing.T
	total *verdict // counts what is wrong
	when  string   // which trial, in what is told
	dir   string
	h     *history
	runs  []*gateway
	wrong bool
}

func newTrial(t *testing.T, total *verdict, when string) *trial {
	t.Helper()
	dir, err := os.MkdirTemp("", "shoebox-crash-"+strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))+"-")
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHistory(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return &trial{t: t, total: total, when: when, dir: dir, h: h}
}

// start starts the program as the function start does; end ends it.
func (tr *trial) start(ctx context.Context, data string, env []string, args ...string) (*gateway, error) {
	g, err := start(ctx, built(tr.t), data, env, args...)
	if g != nil {
		tr.runs = append(tr.runs, g)
	}
	return g, err
}

// failed notes that the program did not do what it must, or the test could not.
func (tr *trial) failed(format string, args ...any) {
	tr.wrong = true
	tr.total.add(func(v *verdict) { v.failed++; v.say("%s: %s", tr.when, fmt.Sprintf(format, args...)) })
}

// check compares what the program has with what w was told, and runs fsck.
func (tr *trial) check(ctx context.Context, w *crowd, a access, g *gateway, args ...string) {
	own := &verdict{} // of this trial alone: others run at the same time
	if err := w.check(ctx, a, g, own, tr.when); err != nil {
		tr.failed("check: %v", err)
	}
	if text, err := fsck(ctx, built(tr.t), g.data, args...); err != nil {
		own.fsck++
		own.say("%s: %v %s", tr.when, err, text)
	}
	tr.wrong = tr.wrong || own.bad()
	tr.total.join(own)
}

// end ends all programs, and takes the directory away, or says where it is.
func (tr *trial) end() {
	for _, g := range tr.runs {
		g.kill()
	}
	tr.h.close()
	if !tr.wrong {
		os.RemoveAll(tr.dir)
		return
	}
	var lines []string
	for i, g := range tr.runs {
		text := g.log.String()
		if err := os.WriteFile(filepath.Join(tr.dir, fmt.Sprintf("run-%d.log", i+1)), []byte(text), 0o600); err != nil {
			tr.t.Error(err)
		}
		all := strings.Split(strings.TrimSpace(text), "\n")
		lines = append(lines, all[max(0, len(all)-8):]...)
	}
	tr.total.add(func(v *verdict) {
		v.say("%s: history, logs and data are kept in %s; the ends of the logs:\n%s", tr.when, tr.dir, first(strings.Join(lines, "\n"), 4000))
	})
}

// done counts the trial, in own too if that is not nil.
func (tr *trial) done(struck bool, own *verdict) {
	for _, v := range []*verdict{tr.total, own} {
		if v != nil {
			v.add(func(v *verdict) {
				v.trials++
				if struck {
					v.hit++
				}
			})
		}
	}
}

// join adds what another verdict counted.
func (v *verdict) join(o *verdict) {
	v.add(func(v *verdict) {
		v.trials, v.hit, v.acknowledged = v.trials+o.trials, v.hit+o.hit, v.acknowledged+o.acknowledged
		v.lost, v.torn, v.visible, v.wrong = v.lost+o.lost, v.torn+o.torn, v.visible+o.visible, v.wrong+o.wrong
		v.fsck, v.failed = v.fsck+o.fsck, v.failed+o.failed
		for _, text := range o.text {
			v.say("%s", text)
		}
	})
}

// report prints the figures, and fails the test unless all that must be 0 are.
func (v *verdict) report(t *testing.T, what, more string) {
	t.Helper()
	for _, text := range v.text {
		t.Error(text)
	}
	t.Logf("%s: %v%s; seed %d", what, v, more, seedOnce())
	if v.bad() {
		t.Fail()
	}
}

func first(text string, n int) string { return text[:min(len(text), n)] }

// TestTrialIsKept: what went wrong can be looked at afterwards, and what did not leaves nothing.
func TestTrialIsKept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, wrong := range []bool{false, true} {
		v := &verdict{}
		tr := newTrial(t, v, "trial 7")
		g := &gateway{log: new(tail), dead: make(chan struct{}), cmd: exec.Command("true")}
		if err := g.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		g.cmd.Wait()
		close(g.dead)
		fmt.Fprintln(g.log, "its last words")
		tr.runs = append(tr.runs, g)
		if _, err := tr.h.invoke(1, op{Kind: "put", Path: "a", SHA: "A"}); err != nil {
			t.Fatal(err)
		}
		if wrong {
			tr.failed("it %s", "fell over")
		}
		tr.end()
		history, err := os.ReadFile(filepath.Join(tr.dir, "history.jsonl"))
		if kept := err == nil && strings.Contains(string(history), `"sha":"A"`); kept != wrong {
			t.Errorf("wrong %t: history kept %t: %v", wrong, kept, err)
		}
		text := strings.Join(v.text, "\n")
		if !wrong {
			if text != "" || v.bad() {
				t.Errorf("got %q", text)
			}
			continue
		}
		for _, want := range []string{"trial 7: it fell over", tr.dir, "its last words"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %q", want, text)
			}
		}
		if log, err := os.ReadFile(filepath.Join(tr.dir, "run-1.log")); err != nil || string(log) != "its last words\n" {
			t.Errorf("log: %q, %v", log, err)
		}
	}
}
