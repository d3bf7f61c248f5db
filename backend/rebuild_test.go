package backend_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
)

var rebuildFiles = flag.Int("rebuild.files", 20_000, "photographs in the library that TestRebuildLarge rebuilds")

// A library of many photographs comes back from its snapshot and the segments since; how
// long that takes and how much memory is in the log of the test (-v).
func TestRebuildLarge(t *testing.T) {
	ctx := t.Context()
	bucket, err := diskbucket.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	index := func() *badgerkv.Store {
		x, err := badgerkv.Open(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x := index()
	b := &box{t: t, bucket: bucket}
	b.open(x)
	_, err = b.Mkdir(ctx, "first", nil)
	b.ok(err)
	b.ok(backend.Fill(ctx, b.Library, x, *rebuildFiles))
	start := time.Now()
	b.ok(b.b.Snapshot(ctx, uid))
	wrote := time.Since(start)
	const tail = 100
	for i := range tail { // each a segment
		_, err := b.Mkdir(ctx, backend.Key(fmt.Sprintf("first/%d", i)), nil)
		b.ok(err)
	}
	want := b.used()
	b.ok(x.Close())
	b.x, b.b, b.Library = nil, nil, nil
	var size int64
	for info, err := range bucket.List(ctx, object.SnapshotPrefix(uid), "") {
		b.ok(err)
		size = info.Size
	}

	runtime.GC()
	debug.FreeOSMemory()
	before, busy := rss(), cpu()
	peak := sampleRSS(t)
	y := index()
	defer y.Close()
	var last journal.Progress
	start = time.Now()
	b.b = backend.New(bucket, y, &backend.Options{Journal: journal.Options{Progress: func(p journal.Progress) { last = p }}})
	b.Library, err = b.b.Library(ctx, uid, backend.Access{})
	took := time.Since(start)
	busy = cpu() - busy
	b.ok(err)
	b.x = y
	t.Logf("%d photographs: snapshot of %d MB written in %v; %d rows and %d segments rebuilt in %v (%v of processors); memory %d MB, before %d MB",
		*rebuildFiles, size>>20, wrote.Round(time.Millisecond), last.Rows, last.Segments, took.Round(time.Millisecond), busy, peak()>>20, before>>20)
	perFile := func(x float64) float64 { return x / float64(max(1, *rebuildFiles)) }
	t.Logf("to compare: photographs %d, seconds %.2f, of processors %.2f, MB %d; for each photograph %.1f µs of processors, %.0f bytes",
		*rebuildFiles, took.Seconds(), busy.Seconds(), peak()>>20, perFile(busy.Seconds()*1e6), perFile(float64(peak()-before)))
	if got := b.used(); got != want || last.Segments != tail || last.Rows < int64(4**rebuildFiles) {
		t.Errorf("usage %+v, want %+v; progress %+v", got, want, last)
	}
	if _, err := b.Stat(ctx, backend.Key(fmt.Sprintf("photos/d%05d/%08d.jpg", (*rebuildFiles-1)/10_000, *rebuildFiles-1))); err != nil {
		t.Error(err)
	}
	rep, err := b.b.Check(ctx, uid, 1, nil)
	b.ok(err)
	if rep.Wrong != 0 {
		t.Errorf("%q", rep.Findings)
	}
}

// rss is the memory of this process in bytes, without what it has mapped of files, which
// the system takes back when it needs it; 0 where that is not told.
func rss() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	var kb int64
	fmt.Sscan(rest, &kb)
	return kb << 10
}

// cpu is how long processors have worked for this process, 0 where that is not told.
func cpu() time.Duration {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// sampleRSS watches rss until the function it returns is called, which tells the most.
func sampleRSS(t *testing.T) (peak func() int64) {
	var most atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), rss()))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 {
		cancel()
		<-done
		return most.Load()
	}
}

// What a rebuild brings back is what there was, to the byte: by the log alone, by a
// snapshot and the log, and by both on the real drivers, whatever has happened.
func TestRebuildIsTheSame(t *testing.T) {
	for i, snapshot := range []bool{false, true} {
		b := full(t)
		ctx := t.Context()
		// Some of everything again after the snapshot.
		again := func() {
			t.Helper()
			b.put("photos/2025/a.gif", gif+fmt.Sprint("round ", i))
			e := b.put("photos/gone.gif", gif+fmt.Sprint("gone ", i))
			b.ok(b.Delete(ctx, "photos/gone.gif", nil))
			b.ok(b.Purge(ctx, e.Ino))
			u, err := b.CreateUpload(ctx, "photos/2025/up.gif", &backend.PutOptions{Header: map[string]string{"x-amz-meta-a": "<&>"}})
			b.ok(err)
			_, err = b.PutPart(ctx, u.ID, 1, strings.NewReader(gif), int64(len(gif)), nil, nil)
			b.ok(err)
			tr, err := b.Trash(ctx, "", 1)
			b.ok(err)
			_, err = b.Restore(ctx, tr[0].Entry.Ino)
			b.ok(err)
			e, err = b.Stat(ctx, "photos/2025/a.gif")
			b.ok(err)
			vs, err := b.Versions(ctx, e.Ino)
			b.ok(err)
			_, err = b.RestoreVersion(ctx, e.Ino, vs[len(vs)-1].Replaced)
			b.ok(err)
			b.ok(b.b.Finish(ctx, uid, []backend.Processed{{Ino: e.Ino, Object: vs[len(vs)-1].Object, Media: backend.Media{Width: 1, Camera: "C"}}}))
		}
		again()
		if snapshot {
			b.ok(b.b.Snapshot(ctx, uid))
			b.put("photos/old/back.gif", gif)
			b.ok(b.Delete(ctx, "photos/old", nil))
		}
		want := dump(t, b.x)
		for _, kind := range []string{"dibtrwpqmg"} {
			for _, k := range kind {
				if !strings.Contains("\n"+want, "\n"+string(k)+"#") {
					t.Errorf("there are no rows of kind %c", k)
				}
			}
		}
		disk, err := badgerkv.Open(t.TempDir(), nil)
		b.ok(err)
		defer disk.Close()
		for _, x := range []kv.Store{memkv.New(), disk} {
			b.open(x)
			if got := dump(t, x); got != want {
				t.Errorf("snapshot %v, %T: got\n%s\nwant\n%s", snapshot, x, got, want)
			}
			b.sound()
		}
	}
}
