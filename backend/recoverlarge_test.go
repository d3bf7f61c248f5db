package backend_test

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

var recoverFiles = flag.Int("recover.files", 5000, "originals in the bucket that TestRecoverLarge makes files of")

// Without any log, every original becomes a file again; how long that takes and how much
// memory is in the log of the test (-v). The names are those of cameras: the same ones again
// and again in other collections, and a tenth of them under one key.
func TestRecoverLarge(t *testing.T) {
	ctx := t.Context()
	bucket := membucket.New()
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range *recoverFiles {
		at := start.Add(time.Duration(i) * time.Minute)
		key := fmt.Sprintf("photos/trip-%05d/IMG_%04d.JPG", i/10_000, i%10_000)
		if i%10 == 0 {
			key = "photos/phone/IMG_0001.JPG"
		}
		name := object.OriginalName(uid, at, ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String(), "IMG.JPG")
		meta := map[string]string{"sb-v": "1", "sb-uid": uid, "sb-name": key, "sb-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
		if _, err := bucket.Put(ctx, name, strings.NewReader("x"), 1, &object.PutOptions{Meta: meta}); err != nil {
			t.Fatal(err)
		}
	}
	x, err := badgerkv.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	b := &box{t: t, bucket: bucket}
	b.open(x)
	runtime.GC()
	debug.FreeOSMemory()
	before, busy := rss(), cpu()
	peak := sampleRSS(t)
	began := time.Now()
	rec, err := b.b.RecoverOriginals(ctx, uid, nil)
	took := time.Since(began)
	busy = cpu() - busy
	b.ok(err)
	t.Logf("%d originals: %v, %v of processors; memory %d MB, before %d MB", *recoverFiles, took.Round(time.Millisecond), busy, peak()>>20, before>>20)
	if n := int64(*recoverFiles); rec.Files != n || rec.Unnamed != 0 || b.used().Files != n {
		t.Errorf("%+v, usage %+v", rec, b.used())
	}
	last := fmt.Sprintf("%s/photos/phone/IMG_0001 (%d).JPG", backend.RecoveredLibrary, (*recoverFiles+9)/10)
	if _, err := b.Stat(ctx, backend.Key(last)); err != nil {
		t.Error(err)
	}
	rep, err := b.b.Check(ctx, uid, 1, nil)
	b.ok(err)
	if rep.Wrong != 0 {
		t.Errorf("%q", rep.Findings)
	}
}
