package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// SetAside moves a log and its snapshots to names that begin with what it returns, under
// which nobody looks for them, so that another log of that name can begin. It is for a
// log that is damaged. Interrupted, it is to be called again.
func SetAside(ctx context.Context, b object.Bucket, uid string, now time.Time) (aside string, err error) {
	aside = "v1/x/" + uid + "/" + now.UTC().Format("20060102T150405") + "/"
	// Snapshots go first, then the segments from the oldest: at no point is what is left
	// a log that could be taken for a whole one.
	var all []object.Info
	for _, prefix := range [...]string{object.SnapshotPrefix(uid), object.LogPrefix(uid)} {
		for info, err := range b.List(ctx, prefix, "") {
			if err != nil {
				return "", fmt.Errorf("list log: %w", err)
			}
			all = append(all, info)
		}
	}
	for _, info := range all {
		r, err := b.Get(ctx, info.Name, 0, -1)
		if err != nil {
			return "", fmt.Errorf("set log aside: %w", err)
		}
		_, err = b.Put(ctx, aside+strings.TrimPrefix(info.Name, "v1/"), r, info.Size, nil)
		if err := errors.Join(err, r.Close()); err != nil {
			return "", fmt.Errorf("set log aside: %w", err)
		}
	}
	for _, info := range all {
		if err := b.Delete(ctx, info.Name); err != nil {
			return "", fmt.Errorf("set log aside: %w", err)
		}
	}
	return aside, nil
}
