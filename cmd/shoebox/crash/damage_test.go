package crash

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
)

// logged are the rows that must come back, whatever is damaged.
var logged = []string{"d#" + uid, "i#" + uid, "b#" + uid, "t#" + uid, "r#" + uid, "w#" + uid, "p#" + uid, "q#" + uid, "m#" + uid}

func rowsOf(ctx context.Context, x kv.Store) (map[kv.Key]string, error) {
	all := map[kv.Key]string{}
	for r, err := range x.(kv.Dumper).Dump(ctx, logged...) {
		if err != nil {
			return nil, err
		}
		all[r.Key] = string(r.D)
	}
	return all, nil
}

// difference tells how two states of the rows differ, "" if they do not.
func difference(want, got map[kv.Key]string) string {
	lost, other, more := 0, 0, 0
	for k, d := range want {
		if g, ok := got[k]; !ok {
			lost++
		} else if g != d {
			other++
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			more++
		}
	}
	if lost+other+more == 0 {
		return ""
	}
	return fmt.Sprintf("of %d rows %d are missing and %d differ, %d are too many", len(want), lost, other, more)
}

// A diskImage is a small library as it lies on the disk: bucket/, and the index as it is
// after a crash and after a stop.
type diskImage struct {
	dir  string
	rows map[kv.Key]string
}

func newDiskImage(t *testing.T) *diskImage {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	bucket, err := diskbucket.Open(filepath.Join(dir, "bucket"), nil)
	if err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "stopped")
	rng, h := source(99), new(history)
	work := func(n *node, from, to int) {
		for i := from; i < to; i++ {
			if said, err := n.put(ctx, h, 0, fmt.Sprintf("f%02d.jpg", rng.IntN(30)), rng); said != nil || err != nil {
				t.Fatal(said, err)
			}
			switch i % 7 {
			case 3:
				n.Delete(ctx, backend.Key(fmt.Sprintf("%s/f%02d.jpg", library, rng.IntN(30))), nil)
			case 5:
				n.Move(ctx, backend.Key(fmt.Sprintf("%s/f%02d.jpg", library, rng.IntN(30))), backend.Key(fmt.Sprintf("%s/m%02d.jpg", library, i)), &backend.MoveOptions{Overwrite: true})
			}
		}
	}
	x, n := mustOpen(t, bucket, index)
	if _, err := n.Mkdir(ctx, library, nil); err != nil {
		t.Fatal(err)
	}
	work(n, 0, 60)
	if err := n.b.Snapshot(ctx, uid); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil { // now there is a table
		t.Fatal(err)
	}
	x, n = mustOpen(t, bucket, index)
	work(n, 60, 90)
	if err := n.b.Snapshot(ctx, uid); err != nil {
		t.Fatal(err)
	}
	work(n, 90, 120)
	im := &diskImage{dir: dir}
	if im.rows, err = rowsOf(ctx, x); err != nil {
		t.Fatal(err)
	}
	copyDir(t, index, filepath.Join(dir, "crashed")) // and now a log, too
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	return im
}

func mustOpen(t *testing.T, b *diskbucket.Bucket, index string) (*badgerkv.Store, *node) {
	t.Helper()
	x, err := badgerkv.Open(index, &badgerkv.Options{BlockCache: 1 << 20, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), b, x)
	if err != nil {
		t.Fatal(err)
	}
	return x, n
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if text, err := exec.Command("cp", "-a", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v %s", err, text)
	}
}

// openHealing does what shoebox serve does: an index that is damaged is set aside, and
// made anew from the bucket.
func openHealing(ctx context.Context, b *diskbucket.Bucket, index string) (x kv.Store, n *node, healed bool, err error) {
	for {
		var bx *badgerkv.Store
		bx, err = badgerkv.Open(index, &badgerkv.Options{BlockCache: 1 << 20, MinFree: -1})
		if err == nil {
			if n, err = openNode(ctx, b, bx); err == nil {
				return bx, n, healed, nil
			}
			err = errors.Join(err, bx.Close())
		}
		if healed || !errors.Is(err, kv.ErrDamaged) && !errors.Is(err, journal.ErrIndex) {
			return nil, nil, healed, err
		}
		healed = true
		index += ".new"
	}
}

// filesIn lists what may be damaged: files with content, below dir.
func filesIn(t *testing.T, dir string, want func(string) bool) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && want(filepath.Base(name)) {
			if fi, err := d.Info(); err == nil && fi.Size() > 0 {
				names = append(names, name)
			}
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// damage changes a file, and says how.
func damage(t *testing.T, name string, rng *rand.Rand) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	used := len(data) // Badger's logs end in megabytes of zeros
	for used > 1 && data[used-1] == 0 {
		used--
	}
	at := rng.IntN(used)
	var how string
	switch rng.IntN(5) {
	case 0:
		how = fmt.Sprintf("cut at byte %d of %d", at, used)
		data = data[:at]
	case 1:
		n := min(512, used-at)
		how = fmt.Sprintf("%d zeros at byte %d of %d", n, at, used)
		clear(data[at : at+n])
	default:
		bit := rng.IntN(8)
		how = fmt.Sprintf("bit %d of byte %d of %d", bit, at, used)
		data[at] ^= 1 << bit
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0o600) // attributes stay
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	return how
}

// classes of files, in turn.
var classes = []string{".mem", ".sst", "MANIFEST", ".vlog", "segment", "snapshot", "original"}

// deepest is the level of fsck that reads every original.
const deepest = 5

// TestDamage flips bits in, cuts and clears what a stopped gateway has on its disk. It
// must then serve exactly what was there, made anew from the bucket if need be, or
// refuse to start, naming what is damaged. There is never a wrong answer.
func TestDamage(t *testing.T) {
	t.Parallel()
	im := newDiskImage(t)
	counts := map[string]int{}
	for n := range *damages {
		rng := source(uint64(n) + 5000)
		dir := filepath.Join(t.TempDir(), "trial")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		state := []string{"crashed", "stopped"}[rng.IntN(2)]
		if classes[n%len(classes)] == ".mem" {
			state = "crashed" // a stop leaves no log
		}
		copyDir(t, filepath.Join(im.dir, state), filepath.Join(dir, "index"))
		copyDir(t, filepath.Join(im.dir, "bucket"), filepath.Join(dir, "bucket"))
		outcome := damageOnce(t, im, dir, state, n, rng)
		counts[outcome]++
		os.RemoveAll(dir)
	}
	var text []string
	for k, n := range counts {
		text = append(text, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(text)
	t.Logf("damages %d: %s; silent wrong answers %d; seed %d", *damages, strings.Join(text, ", "), counts["WRONG"], seedOnce())
}

func damageOnce(t *testing.T, im *diskImage, dir, state string, n int, rng *rand.Rand) (outcome string) {
	ctx := t.Context()
	index, objects := filepath.Join(dir, "index"), filepath.Join(dir, "bucket", "objects", "v1")
	suffix := func(s string) func(string) bool { return func(name string) bool { return strings.HasSuffix(name, s) } }
	var files []string
	class := classes[n%len(classes)]
	switch class {
	case "segment":
		files = filesIn(t, filepath.Join(objects, "l"), suffix(""))
	case "snapshot":
		files = filesIn(t, filepath.Join(objects, "s"), suffix(".zst"))
	case "original":
		files = filesIn(t, filepath.Join(objects, "o"), suffix(".jpg"))
	default:
		files = filesIn(t, index, suffix(class))
	}
	if len(files) == 0 {
		return "nothing to damage"
	}
	name := files[rng.IntN(len(files))]
	how := damage(t, name, rng)
	wrong := func(format string, args ...any) string {
		t.Errorf("trial %d: %s of a %s index, %s: %s", n, filepath.Base(name), state, how, fmt.Sprintf(format, args...))
		return "WRONG"
	}
	bucket, err := diskbucket.Open(filepath.Join(dir, "bucket"), nil)
	if err != nil {
		t.Fatal(err)
	}
	x, nd, healed, err := openHealing(ctx, bucket, index)
	if err != nil {
		return wrong("what has its log, or its index, does not start: %v", err)
	}
	defer func() { x.Close() }()
	got, err := rowsOf(ctx, x)
	if err != nil {
		return wrong("read: %v", err)
	}
	if diff := difference(im.rows, got); diff != "" {
		return wrong("%s", diff)
	}
	switch class {
	case "segment", "snapshot":
		// The index is all right. One made anew is, too, or says what is damaged.
		scratch := memkv.New()
		if _, err := openNode(ctx, bucket, scratch); err != nil {
			if !errors.Is(err, journal.ErrDamaged) {
				return wrong("not refused by name: %v", err)
			}
			if err := nd.wrong(ctx, 2); err == nil {
				return wrong("fsck does not find it")
			}
			return "refused by name"
		}
		again, err := rowsOf(ctx, scratch)
		if err != nil {
			t.Fatal(err)
		}
		if diff := difference(im.rows, again); diff != "" {
			return wrong("the rebuild: %s", diff)
		}
		return "not needed for a rebuild"
	case "original":
		if err := nd.wrong(ctx, deepest); err == nil {
			return wrong("fsck does not find it")
		}
		return "found by fsck"
	}
	// And it goes on working.
	if _, _, err := nd.Put(ctx, library+"/after", strings.NewReader("x"), 1, nil); err != nil {
		return wrong("it takes nothing more: %v", err)
	}
	if healed {
		return "index made anew"
	}
	return "repaired from the log, or harmless"
}

// TestDamagedProgram damages the index of the real program, which was killed at work, and
// starts it: it must come up by itself, with everything.
func TestDamagedProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program")
	}
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	tp := newTemplate(t, filepath.Join(dir, "template"))
	data := tp.clone(t, dir)
	g, err := start(ctx, built(t), data, environ())
	if err != nil {
		t.Fatal(err)
	}
	if err := mkShared(ctx, tp.access, g); err != nil {
		t.Fatal(err)
	}
	h := new(history)
	w := newCrowd(h, *nClients, 4000, tp.access, g)
	working, stop := context.WithTimeout(ctx, *workTime)
	defer stop()
	if err := w.run(working); err != nil {
		t.Fatal(err)
	}
	g.kill()
	total, anew := &verdict{}, 0
	for n := range 1 + *damages/7 {
		rng := source(uint64(n) + 4000)
		at := filepath.Join(dir, "trial")
		copyDir(t, data, at)
		files := filesIn(t, filepath.Join(at, "index"), func(name string) bool { return slices.Contains([]string{".mem", ".sst", ""}, filepath.Ext(name)) })
		name := files[rng.IntN(len(files))]
		when := fmt.Sprintf("trial %d, %s, %s", n, filepath.Base(name), damage(t, name, rng))
		g, err := start(ctx, built(t), at, environ())
		if err != nil {
			total.add(func(v *verdict) { v.failed++; v.say("%s: %v", when, err) })
			os.RemoveAll(at)
			continue
		}
		if strings.Contains(g.log.String(), "made anew") {
			anew++
		}
		if err := w.check(ctx, tp.access, g, total, when); err != nil {
			total.add(func(v *verdict) { v.failed++; v.say("%s: check: %v", when, err) })
		}
		if text, err := fsck(ctx, built(t), at); err != nil {
			total.add(func(v *verdict) { v.fsck++; v.say("%s: %v %s", when, err, text) })
		}
		total.add(func(v *verdict) { v.trials++; v.hit++ })
		g.kill()
		os.RemoveAll(at)
	}
	total.acknowledged = h.acknowledged() // once, not in every trial
	total.report(t, "damaged indexes of the program", fmt.Sprintf("; made anew %d", anew))
}
