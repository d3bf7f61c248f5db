// Package processing works off the jobs that uploads leave behind: it reads each
// original, finds out when, where and with what it was taken, makes the variants
// that are shown of it, and records both.
//
// One picture's way: claim its job · open the original, from the spool or the bucket
// · render it in a child process · store each variant under the name that follows from
// original and recipe · hand what was found to the gatherer, which records the
// results of one user together, and with them the end of their jobs. Whatever
// breaks off before that is done again, and stores the same objects.
package processing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// A Library is what a Worker asks of the *backend.Backend: see there.
type Library interface {
	OpenOriginal(ctx context.Context, uid, object string) (body io.ReadCloser, size int64, err error)
	PutVariant(ctx context.Context, uid, object, variant, recipe, ext, mediaType string, data []byte) error
	Finish(ctx context.Context, uid string, results []backend.Processed) error

	ReadOriginal(ctx context.Context, uid, object string, off, n int64) (io.ReadCloser, error)
	Known(ctx context.Context, uid string, ino backend.Ino, object, by string) (backend.Known, error)
	CopyVariants(ctx context.Context, uid, from, to string, names []string) error
	Sweep(ctx context.Context, uid, by, after string, looks, most int) (backend.Swept, error)
	SweepBelow(ctx context.Context, uid string, dir backend.Ino, by, after string, looks, most int) (backend.Swept, error)
	SweptBy(ctx context.Context, uid string) (string, error)
	SetSwept(ctx context.Context, uid, by string) error
}

// A Renderer makes the variants of the picture in a file: *render.Pool, but for
// tests. The result is never nil.
type Renderer interface {
	Render(ctx context.Context, file *os.File, size int64) (*render.Result, error)
}

// Options adjusts a Worker. The zero value, and nil, are ready for use.
type Options struct {
	Logger  *slog.Logger  // nil means slog.DiscardHandler
	Workers int           // pictures at once; 0 means runtime.GOMAXPROCS(0)
	TempDir string        // for originals that are not files of this machine; "" means os.TempDir()
	MaxCopy int64         // of a larger original only the beginning and the end are put there; bytes; 0 means 1 GiB
	Gather  time.Duration // how long results wait at most for others of the same user; 0 means 500 ms
	Batch   int           // so many results of a user wait for no more; 0 means 64
	Grace   time.Duration // for the pictures under way when Run is to end; 0 means 10 s
	// Users are those whose libraries are looked through, once Run begins, if what makes
	// the variants has changed: see sweep.go. nil means none are.
	Users func(context.Context) ([]string, error)
}

// A Worker works off jobs. It does nothing until Run.
type Worker struct {
	lib      Library
	queue    *job.Queue
	renderer Renderer
	opt      Options
	log      *slog.Logger
	by       string // what makes the variants, as Media.By has it
	rest     pauses

	mu    sync.Mutex
	busy  map[string]bool // contents being looked at, by user
	under map[string]int  // jobs being worked on, by user
	full  map[string]bool // users of whom enough results wait to be recorded
}

// New makes a Worker.
func New(lib Library, queue *job.Queue, renderer Renderer, opt *Options) *Worker {
	w := &Worker{lib: lib, queue: queue, renderer: renderer, busy: make(map[string]bool), under: make(map[string]int), full: make(map[string]bool), rest: pauses{of: make(map[string]pause)}}
	if opt != nil {
		w.opt = *opt
	}
	if w.opt.Workers <= 0 {
		w.opt.Workers = runtime.GOMAXPROCS(0)
	}
	if w.opt.MaxCopy <= 0 {
		w.opt.MaxCopy = 1 << 30
	}
	if w.opt.Gather <= 0 {
		w.opt.Gather = 500 * time.Millisecond
	}
	if w.opt.Batch <= 0 {
		w.opt.Batch = 64
	}
	if w.opt.Grace <= 0 {
		w.opt.Grace = 10 * time.Second
	}
	w.log = w.opt.Logger
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	return w
}

// Run works off jobs until ctx ends. Pictures that are under way then are finished,
// within Options.Grace; others are given back. It returns after all that, ctx's error
// or that of a store that is closed.
func (w *Worker) Run(ctx context.Context) error {
	under, stop := context.WithCancel(context.WithoutCancel(ctx)) // of the pictures under way
	defer stop()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(w.opt.Grace):
			stop()
		case <-under.Done():
		}
	})()

	var able []string
	if c, ok := w.renderer.(interface{ Capabilities() []string }); ok {
		able = c.Capabilities()
		w.log.Info("pictures are made", "op", "process", "of", strings.Join(able, "; "))
	}
	w.by = fingerprint(able)
	var workers sync.WaitGroup
	workers.Go(func() { // beside the work: it is a commit for each user
		if err := w.queueSweeps(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("older pictures are not looked through", "op", "process", "err", err)
		}
	})
	free := make(chan struct{}, w.opt.Workers) // a token for each worker at rest
	for range w.opt.Workers {
		free <- struct{}{}
	}
	results := make(chan result, w.opt.Batch)
	gathered := make(chan struct{})
	go func() {
		w.gather(results)
		close(gathered)
	}()
	err := w.dispatch(ctx, free, func(l job.Lease) {
		end := w.begin(l.UID) // now, so that the next claim knows
		workers.Go(func() {
			defer func() { free <- struct{}{} }()
			w.do(under, l, end, results)
		})
	})
	workers.Wait()
	close(results)
	<-gathered
	return err
}

// dispatch claims as many jobs as there are workers at rest, and starts them.
func (w *Worker) dispatch(ctx context.Context, free chan struct{}, start func(job.Lease)) error {
	for {
		n := 0
		select {
		case <-free:
			n++
		case <-ctx.Done():
			return ctx.Err()
		}
		for more := true; more; {
			select {
			case <-free:
				n++
			default:
				more = false
			}
		}
		busy := w.occupied()
		leases, err := w.queue.ClaimFor(ctx, n, busy)
		for _, l := range leases { // even if ctx has ended: they are ours now
			start(l)
		}
		for range n - len(leases) {
			free <- struct{}{}
		}
		if err == nil && len(leases) == 0 {
			err = w.queue.WaitFor(ctx, busy)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, kv.ErrClosed):
			return fmt.Errorf("claim jobs: %w", err)
		case err != nil:
			w.log.Error("jobs cannot be claimed", "op", "process", "err", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// How long a job rests when it failed for a cause that is not its own.
const (
	restUnavailable = 30 * time.Second
	restUnrecorded  = 5 * time.Second
	restBusy        = time.Second
	restDisk        = 10 * time.Minute // what fits on no disk is given up after an hour
	// What breaks off rests for restUnavailable, and four times as long each time up to this:
	// it is given up after one and a half hours, rather than read every half a minute for ever.
	restBroken = 50 * time.Minute
)

// do does one job. Its result, if there is one, goes to results; else the job is given
// back. It calls end when the job is not being worked on any more.
func (w *Worker) do(ctx context.Context, l job.Lease, end func(), results chan<- result) {
	end = sync.OnceFunc(end)
	defer end()
	fail.Point("W8.claimed")
	start := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	held := w.hold(l, cancel)
	var err error
	switch {
	case l.Spent:
		err = errSpent
		if l.LastError != "" {
			err = fmt.Errorf("%w; before that: %s", errSpent, l.LastError)
		}
	case l.Kind == backend.JobVariants:
		var found backend.Media
		var leave func()
		found, leave, err = w.once(ctx, l.Job)
		end()
		if err == nil {
			w.log.Debug("original processed", "op", "process", "dur", time.Since(start))
			results <- result{held, backend.Processed{Ino: backend.Ino(l.Ino), Object: l.Object, Media: found}, leave}
			return
		}
	case l.Kind == backend.JobSweep:
		if err = w.sweep(ctx, held); err == nil {
			return
		}
	default:
		err = fmt.Errorf("%w: %q", errKind, l.Kind)
	}
	l = held.release()
	// The job is given back even while everything ends.
	after, cancelAfter := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelAfter()
	var err2 error
	switch {
	case errors.Is(context.Cause(ctx), job.ErrLost):
		w.log.Warn("job was lost to another worker", "op", "process", "err", err)
	case ctx.Err() != nil:
		err2 = w.queue.Postpone(after, l, err, 0)
	case errors.Is(err, errBusy):
		err2 = w.queue.Postpone(after, l, err, restBusy)
	case errors.Is(err, backend.ErrNotExist): // the original is gone, there is nothing to be made
		err2 = w.queue.Done(after, l)
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrNoSpace), errors.Is(err, render.ErrStart), errors.Is(err, render.ErrClosed):
		w.log.Warn("job postponed", "op", "process", "err", err)
		w.rest.failure(l.UID)
		err2 = w.queue.Postpone(after, l, err, restUnavailable)
	default:
		retry := !errors.Is(err, errKind) && !errors.Is(err, errSpent)
		if l.Last || !retry {
			err2 = w.tell(after, l.Job)
		}
		switch {
		case err2 != nil: // not before that is known
			w.log.Warn("job not given up yet", "op", "process", "err", err2)
			w.rest.failure(l.UID)
			err2 = w.queue.Postpone(after, l, err, restUnavailable)
		case errors.Is(err, errDisk):
			w.rest.failure(l.UID)
			err2 = w.queue.FailFor(after, l, err, restDisk)
		case errors.Is(err, errBroken):
			w.rest.failure(l.UID)
			err2 = w.queue.FailFor(after, l, err, min(restUnavailable<<min(2*l.Attempts-2, 16), restBroken))
		default:
			err2 = w.queue.Fail(after, l, err, retry)
		}
	}
	if err2 != nil { // its lease will run out
		w.log.Warn("job not given back", "op", "process", "err", err2)
	}
}

// tell tells whoever waits for the picture of a job that is given up, unless there is an
// older one of it, that none will come. Why, the job's row says to the operator, who can have
// it retried.
func (w *Worker) tell(ctx context.Context, j job.Job) error {
	if j.Kind != backend.JobVariants {
		return nil
	}
	known, err := w.lib.Known(ctx, j.UID, backend.Ino(j.Ino), j.Object, w.by)
	if errors.Is(err, backend.ErrNotExist) || err == nil && known.Looked {
		return nil
	}
	if err != nil {
		return err
	}
	m := backend.Media{NoPreview: "the preview could not be made, though it was tried several times", By: w.by}
	return w.lib.Finish(ctx, j.UID, []backend.Processed{{Ino: backend.Ino(j.Ino), Object: j.Object, Media: m}})
}

var (
	errKind  = errors.New("no such kind of job")
	errBusy  = errors.New("the same content is being looked at")
	errSpent = errors.New("the program ended each time that it was at work on it")
)

// once is process for content that nobody has looked at; for other, it is what was found
// then. Until leave is called, after the result has been recorded, equal content is
// errBusy. An error needs no leave.
func (w *Worker) once(ctx context.Context, j job.Job) (found backend.Media, leave func(), err error) {
	known, err := w.lib.Known(ctx, j.UID, backend.Ino(j.Ino), j.Object, w.by)
	if err != nil {
		return found, nil, fmt.Errorf("look at entry: %w", err)
	}
	id := j.UID + " " + known.ID
	w.mu.Lock()
	busy := w.busy[id]
	w.busy[id] = true
	w.mu.Unlock()
	if busy {
		return found, nil, errBusy
	}
	leave = func() {
		w.mu.Lock()
		delete(w.busy, id)
		w.mu.Unlock()
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	// Whoever was busy with it may have left since the first look.
	if known, err = w.lib.Known(ctx, j.UID, backend.Ino(j.Ino), j.Object, w.by); err != nil {
		return found, nil, fmt.Errorf("look at entry: %w", err)
	}
	if known.Same != nil {
		err := w.lib.CopyVariants(ctx, j.UID, known.From, j.Object, known.Same.Variants)
		if err == nil {
			return *known.Same, leave, nil
		}
		if !errors.Is(err, backend.ErrNotExist) {
			return found, nil, err
		}
	}
	found, err = w.process(ctx, j)
	return found, leave, err
}

// process makes the variants of one original and finds what it says. An error may
// pass, or is the job's own; a picture that can't be shown is none.
func (w *Worker) process(ctx context.Context, j job.Job) (found backend.Media, err error) {
	body, size, err := w.lib.OpenOriginal(ctx, j.UID, j.Object)
	if err != nil {
		return found, fmt.Errorf("open original: %w", err)
	}
	defer body.Close()
	file, err := w.local(body, size)
	large := errors.Is(err, errTooBig)
	if large {
		body.Close()
		file, err = w.parts(ctx, j, size)
	}
	if err != nil {
		return found, err
	}
	if file != body {
		defer file.Close()
	}
	var res *render.Result
	if large {
		res, err = w.renderLarge(ctx, file, size)
	} else {
		res, err = w.renderer.Render(ctx, file, size)
	}
	found = mediaOf(res)
	if found.NoPreview = reason(err, res, j.Attempts); found.NoPreview != "" {
		found.By = w.by
		level := slog.LevelInfo
		if errors.Is(err, render.ErrUnsupported) { // it may be half of what phones send
			level = slog.LevelDebug
		}
		w.log.Log(ctx, level, "no preview", "op", "process", "bytes", size, "err", err)
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("render: %w", err)
	}
	for _, v := range res.Variants {
		err := w.lib.PutVariant(ctx, j.UID, j.Object, v.Recipe.Variant, v.Recipe.ID(), render.Ext, render.Type, v.Data)
		if err != nil {
			return found, fmt.Errorf("store %s: %w", v.Recipe.Variant, err)
		}
		fail.Point("W8.variant")
		found.Variants = append(found.Variants, v.Name())
	}
	return found, nil
}

// crashes is how often a picture may kill the renderer before that is its own fault.
const crashes = 2

// reason says why there will be no preview, for people to read; "" if there is one, or may be
// yet.
func reason(err error, res *render.Result, attempts int) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errTooBig):
		return "the file is too large for a preview"
	case errors.Is(err, render.ErrTooLarge):
		return "the picture has too many pixels"
	case errors.Is(err, render.ErrCorrupt):
		return "the file is damaged"
	case errors.Is(err, render.ErrUnsupported):
		if media.IsImage(res.Type) || media.IsVideo(res.Type) {
			return "there is no preview of " + strings.TrimPrefix(err.Error(), render.ErrUnsupported.Error()+": ")
		}
		return "the file is no picture"
	case errors.Is(err, render.ErrCrashed) && attempts >= crashes:
		return "the picture takes too much time or memory to decode"
	}
	return ""
}
