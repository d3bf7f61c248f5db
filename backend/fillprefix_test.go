package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// FillPrefixes puts n collections with a file in each into library photos, straight into
// the rows: for benchmarks.
func FillPrefixes(ctx context.Context, l *Library, x kv.Loader, n int) (err error) {
	now := time.UnixMilli(1_700_000_000_000)
	lerr := x.Load(ctx, func(yield func(kv.Row) bool) {
		member := func(dir Ino, e *Entry) bool {
			e.Ino, e.Modified, e.Created, e.Changed = newIno(), now, now, now
			var d, p []byte
			if d, err = encodeEntry(e); err != nil {
				return false
			}
			s := sortName(e.Name, e.Dir)
			if p, err = marshal(pointer{dir, s}); err != nil {
				return false
			}
			return yield(kv.Row{Key: entryKey(l.t.uid, dir, s), D: d}) && yield(kv.Row{Key: pointerKey(l.t.uid, e.Ino), D: p})
		}
		lib := &Entry{Name: "photos", Dir: true}
		if !member(RootIno, lib) {
			return
		}
		for i := range n {
			dir := &Entry{Name: fmt.Sprintf("p%06d", i), Dir: true}
			if !member(lib.Ino, dir) || !member(dir.Ino, &Entry{Name: "a", MD5: emptyMD5, SHA256: emptySHA256}) {
				return
			}
		}
	})
	if err == nil {
		err = lerr
	}
	return err
}
