// Package backend keeps every user's photographs: the tree, its commits, trash,
// versions and timeline. The index (kv.Store) is a function of the bucket's log
// (package journal), so it can be lost; the bucket can not.
//
// The rows of the index are told in rows.go, the way of one PUT in put.go.
package backend

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Options adjusts a Backend. The zero value, and nil, are ready for use.
type Options struct {
	Logger  *slog.Logger             // nil means slog.DiscardHandler
	Now     func() time.Time         // nil means time.Now
	MaxSize int64                    // largest original, in bytes; 0 means 50 GiB
	Sniff   func(head []byte) string // media type by content; nil means http.DetectContentType
	Queue   *job.Queue               // where jobs for new images go; nil means none are queued
	// Free says how many bytes the bucket can still take; nil means it need not be
	// asked. A Put that would leave less than MinFree is ErrNoSpace.
	Free    func() (uint64, error)
	MinFree uint64
	// Spool keeps the last uploads on local disk so that processing need not read
	// them back from the bucket; nil means it reads them back.
	Spool *Spool
}

// Library opens the tree of a user for one principal. The first use of a tree
// after a start replays what the bucket's log has and the index has not.
func (b *Backend) Library(ctx context.Context, uid string, acc Access) (*Library, error) {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return nil, err
	}
	return &Library{b: b, t: t, acc: acc}, nil
}

// OpenOriginal reads an original for processing: from the spool if it is still
// there, else from the bucket. size is in bytes.
func (b *Backend) OpenOriginal(ctx context.Context, uid, object string) (body io.ReadCloser, size int64, err error) {
	return b.openOriginal(ctx, uid, object)
}

// PutVariant stores a variant of an original under its deterministic name.
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

// Finish records results of processing, all in one segment of the user's log, and
// puts each entry at its capture time on the timeline. A result for an entry that is
// gone, or has other content by now, only ends its job.
func (b *Backend) Finish(ctx context.Context, uid string, results []Processed) error {
	return b.finish(ctx, uid, results)
}

var _ object.Bucket
