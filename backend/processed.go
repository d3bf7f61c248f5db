package backend

import (
	"context"
	"io"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// What processing asks of a Backend. It acts for no principal: its jobs name user,
// entry and object.

// OpenOriginal reads an original for processing: from the spool if it is still
// there, else from the bucket. size is in bytes. ErrNotExist if it is gone, with its
// entry or without.
func (b *Backend) OpenOriginal(ctx context.Context, uid, object string) (body io.ReadCloser, size int64, err error) {
	return b.openOriginal(ctx, uid, object)
}

// PutVariant stores a variant of an original under its deterministic name,
// "<variant>-<recipe>.<ext>".
func (b *Backend) PutVariant(ctx context.Context, uid, object, variant, recipe, ext, mediaType string, data []byte) error {
	return b.putVariant(ctx, uid, object, variant, recipe, ext, mediaType, data)
}

// A Processed is what processing found in one original.
type Processed struct {
	Ino    Ino
	Object string // the result is dropped if the entry has other content by now
	Media  Media
	Done   []kv.Op // rows that end the job, committed with the result
}

// Finish records results of processing, a few in each segment of the user's log, and
// puts each entry at its capture time on the timeline. A result for an entry that is
// gone, or has other content by now, only ends its job.
func (b *Backend) Finish(ctx context.Context, uid string, results []Processed) error {
	return b.finish(ctx, uid, results)
}
