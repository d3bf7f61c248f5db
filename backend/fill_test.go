package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Fill puts n files into library photos, 10,000 in a collection, straight into the
// rows: for benchmarks.
func Fill(ctx context.Context, l *Library, x kv.Loader, n int) error {
	var err error
	now := time.UnixMilli(1_700_000_000_000)
	lerr := x.Load(ctx, func(yield func(kv.Row) bool) {
		put := func(k kv.Key, d []byte) bool { return yield(kv.Row{Key: k, D: d}) }
		member := func(dir Ino, e *Entry) bool {
			var d, p []byte
			if d, err = encodeEntry(e); err != nil {
				return false
			}
			s := sortName(e.Name, e.Dir)
			if p, err = marshal(pointer{dir, s}); err != nil {
				return false
			}
			ok := put(entryKey(l.t.uid, dir, s), d) && put(pointerKey(l.t.uid, e.Ino), p)
			if ok && e.Object != "" {
				ok = put(kv.Key{P: refPartition(l.t.uid, object.ULIDOf(e.Object)), S: string(e.Ino)}, []byte(e.Object))
			}
			if ok && showable(e) {
				t, _ := e.CaptureTime()
				ok = put(timelineKey(l.t.uid, t, e.Ino), []byte{1})
			}
			return ok
		}
		dirEntry := func(name string) *Entry {
			return &Entry{Name: name, Ino: newIno(), Dir: true, Modified: now, Created: now, Changed: now}
		}
		lib := dirEntry("photos")
		if !member(RootIno, lib) {
			return
		}
		var dir *Entry
		for i := range n {
			if i%10_000 == 0 {
				if dir = dirEntry(fmt.Sprintf("d%05d", i/10_000)); !member(lib.Ino, dir) {
					return
				}
			}
			t := now.Add(time.Duration(i) * time.Minute)
			e := &Entry{Name: fmt.Sprintf("%08d.jpg", i), Ino: newIno(), Size: 4_000_000, Modified: t, Created: t, Changed: t, Type: "image/jpeg",
				MD5: emptyMD5, SHA256: emptySHA256, Object: fmt.Sprintf("v1/o/%s/2026-11/01JE%022d-%08d.jpg", l.t.uid, i, i),
				Media: Media{Processed: true, Taken: t, Width: 4000, Height: 3000, Camera: "Maker Model 7", Placeholder: "LEHV6nWB2yk8pyo0adR*.7kCMdnj", Variants: []string{"thumb-fc5e3094.webp", "view-00a30fd4.webp"}}}
			if !member(dir.Ino, e) {
				return
			}
		}
		var d []byte
		if d, err = marshal(usageRow{int64(n) * 4_000_000, int64(n)}); err == nil {
			put(usageKey(l.t.uid), d)
		}
	})
	if err == nil {
		err = lerr
	}
	return err
}

// Misplan puts rows into a tree's log, and the index, that no operation would.
func Misplan(ctx context.Context, l *Library, ops ...kv.Op) error {
	return l.t.log.Update(ctx, "misplan", func(tx *journal.Tx) error {
		for _, op := range ops {
			if op.Kind == kv.Del {
				tx.Del(op.Key)
			} else {
				tx.Put(op.Key, op.D)
			}
		}
		return nil
	})
}
