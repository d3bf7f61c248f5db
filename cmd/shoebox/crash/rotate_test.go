package crash

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A rotation seals 30 secrets in one segment: these are two segments and a part.
const (
	sealedPasswords   = 70 // with that of the template; for WebDAV and S3, so their secrets are kept
	unsealedPasswords = 3  // for WebDAV only: nothing but their check is kept
)

// TestKillRotation kills the program while it seals every secret with a new master key, at
// the key file and between two secrets. The rotation is finished then, and must
// say how many were left; every app password must work all the time, on both faces.
func TestKillRotation(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program many times")
	}
	t.Parallel()
	tp := newTemplate(t, filepath.Join(t.TempDir(), "template"))
	passwords := morePasswords(t, tp)
	total := &verdict{}
	for n := range 2 * *trials {
		rotateOnce(t, tp, passwords, n, total)
	}
	total.report(t, "kills at a rotation", fmt.Sprintf("; %d app passwords", len(passwords)))
}

// morePasswords adds app passwords to a template, and returns all of them.
func morePasswords(t *testing.T, tp *template) []access {
	t.Helper()
	g, err := start(t.Context(), built(t), tp.data, environ())
	if err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	all := []access{tp.access}
	for i := range sealedPasswords + unsealedPasswords - 1 {
		args := []string{"app-password", "create", "-label", fmt.Sprintf("device %d", i), "-data-dir", tp.data}
		if i < unsealedPasswords {
			args = append(args, "-protocols", "dav")
		}
		text, err := command(t.Context(), built(t), environ(), args...)
		if err != nil {
			t.Fatal(err)
		}
		a, err := parseAccess(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

func rotateOnce(t *testing.T, tp *template, passwords []access, n int, total *verdict) {
	ctx, rng := t.Context(), source(uint64(n)+3000)
	point, hit, left := "rotate.keyed", 1, sealedPasswords
	if n%2 == 1 {
		point, hit = "rewrap.some", 1+rng.IntN(1+len(passwords))
	}
	tr := newTrial(t, total, fmt.Sprintf("rotation %d at %s:%d", n, point, hit))
	defer tr.end()
	data := tp.clone(t, tr.dir)
	g, err := tr.start(ctx, data, environ(fmt.Sprintf("SHOEBOX_TEST_FAIL=%s:%d", point, hit)))
	if err != nil {
		tr.failed("%v", err)
		return
	}
	if err := mkShared(ctx, tp.access, g); err != nil {
		tr.failed("%v", err)
		return
	}
	w := newCrowd(tr.h, 4, uint64(n)+3000, tp.access, g)
	working, stop := context.WithTimeout(ctx, *workTime)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.run(working) }()
	if _, err := command(ctx, built(t), environ(), "rotate-master-key", "-data-dir", data); err == nil {
		tr.failed("the rotation ended, and was to be killed")
	}
	stop()
	if err := <-done; err != nil {
		tr.failed("%v", err)
	}
	struck := diedAt(g, point)
	g.kill()
	if rng.IntN(2) == 0 {
		if err := os.RemoveAll(filepath.Join(data, "index")); err != nil {
			tr.failed("%v", err)
		}
	}
	if g, err = tr.start(ctx, data, environ()); err != nil {
		tr.failed("it does not start again: %v", err)
		return
	}
	// What is left is what the segments that were whole have not.
	first, err := rewrap(ctx, t, data)
	if err == nil {
		err = everyPassword(ctx, g, passwords)
	}
	if err != nil {
		tr.failed("%v", err)
		return
	}
	if point == "rewrap.some" {
		left -= sealedBefore(passwords, hit)
	}
	if want := (rewrapped{2, left, unsealedPasswords}); first != want {
		tr.failed("the rotation, repeated, said %+v, want %+v", first, want)
	}
	second, err := rewrap(ctx, t, data)
	if err != nil || second.sealed != 0 || second.number != 2 {
		tr.failed("a third time it said %+v, %v", second, err)
	}
	if err := everyPassword(ctx, g, passwords); err != nil {
		tr.failed("%v", err)
	}
	tr.check(ctx, w, tp.access, g)
	tr.done(struck, nil)
}

// A rewrapped is what rotate-master-key printed: the number of the key, how many app
// passwords were sealed anew, and how many cannot be before they are used.
type rewrapped struct{ number, sealed, waiting int }

// rewrap does what a rotation left undone.
func rewrap(ctx context.Context, t *testing.T, data string) (r rewrapped, err error) {
	text, err := command(ctx, built(t), environ(), "rotate-master-key", "-rewrap-only", "-data-dir", data)
	for _, f := range []struct {
		into *int
		expr string
	}{{&r.number, `in use: (\d+)`}, {&r.sealed, `anew: (\d+) app passwords`}, {&r.waiting, `older key: (\d+) app`}} {
		if m := regexp.MustCompile(f.expr).FindStringSubmatch(text); m != nil {
			*f.into, _ = strconv.Atoi(m[1])
		}
	}
	return r, err
}

// sealedBefore is how many secrets are sealed anew by whole segments before the n-th row:
// the user's own row is first, then app passwords by their id, 30 rows in each segment.
func sealedBefore(passwords []access, n int) (sealed int) {
	rows := []string{""}
	kept := map[string]bool{}
	for _, p := range passwords {
		rows = append(rows, p.secret)
		kept[p.secret] = p.id != ""
	}
	slices.Sort(rows)
	for _, r := range rows[:(n-1)/30*30] {
		if kept[r] {
			sealed++
		}
	}
	return sealed
}

// everyPassword uses all app passwords, on each face that they open.
func everyPassword(ctx context.Context, g *gateway, passwords []access) error {
	c := newHTTPClient()
	defer c.CloseIdleConnections()
	for i, a := range passwords {
		status, _, err := a.dav(ctx, c, g.web, "PROPFIND", library+"/", nil, map[string]string{"Depth": "0"})
		if err != nil || status != http.StatusMultiStatus {
			return fmt.Errorf("app password %d by WebDAV: %d, %v", i, status, err)
		}
		if a.id == "" {
			continue
		}
		if _, err := a.s3Client(g.s3, c).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(library)}); err != nil {
			return fmt.Errorf("app password %d by S3: %w", i, err)
		}
	}
	return nil
}
