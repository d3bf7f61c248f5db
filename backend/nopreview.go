package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/job"
)

// WithoutPreview finds what stands on the timeline and was looked at, but has no variants,
// newest first: Media.NoPreview says why. It stops and goes on as Search does.
func (l *Library) WithoutPreview(ctx context.Context, cursor string, n int) (*SearchPage, error) {
	return l.find(ctx, "", "", cursor, n, func(e *Entry) bool {
		return e.Media.Processed && e.Media.NoPreview != ""
	})
}

// Remake queues the job that looks at a file again and makes its variants, also if it was
// given up before. It does nothing while one waits or runs. ErrNotExist, also for what has
// no variants by its nature.
func (l *Library) Remake(ctx context.Context, ino Ino) (*Entry, error) {
	r := l.live(ctx)
	e, err := l.t.byIno(r, ino)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayChange, e.Key); err != nil {
		return nil, err
	}
	if !showable(e) {
		return nil, fmt.Errorf("make variants: %w", ErrNotExist)
	}
	if l.b.opt.Queue == nil {
		return nil, fmt.Errorf("make variants: %w: this program makes none", ErrUnavailable)
	}
	_, err = l.b.opt.Queue.Again(ctx, jobOf(l.t.uid, e.Ino, e.Object))
	return e, fault(err)
}

// Remaking says whether the variants of e are being made, or wait for that. e came from this
// Library.
func (l *Library) Remaking(ctx context.Context, e *Entry) (bool, error) {
	if l.b.opt.Queue == nil {
		return false, nil
	}
	j := jobOf(l.t.uid, e.Ino, e.Object)
	_, dead, err := l.b.opt.Queue.Get(ctx, job.ID(j.Kind, j.Object, j.Recipe))
	if errors.Is(err, job.ErrNotExist) {
		return false, nil
	}
	return err == nil && !dead, fault(err)
}
