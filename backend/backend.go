// Package backend keeps every user's photographs: the tree, its commits, trash,
// versions and timeline. The index (kv.Store) is a function of the bucket's log
// (package journal), so it can be lost; the bucket can not.
//
// The rows of the index are told in rows.go, the way of one PUT in put.go.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/journal"
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
	// Variants are the names that variants get now, "<variant>-<recipe>.<ext>". When one
	// is read that has another, it is given as it is, and a job queued that makes it
	// anew. nil means that all are well as they are.
	Variants []string
	// Free says how many bytes the bucket can still take; nil means it need not be
	// asked. A Put that would leave less than MinFree is ErrNoSpace.
	Free    func() (uint64, error)
	MinFree uint64
	// Spool keeps the last uploads on local disk so that processing need not read
	// them back from the bucket; nil means it reads them back.
	Spool *Spool
	// UploadAge is how long an upload, multipart or in chunks, is kept after the last of it
	// came; 0 means 7 days.
	UploadAge time.Duration
	// MaxUploads is how many uploads, multipart or in chunks, a user may have under way; 0
	// means 1,000.
	MaxUploads int
	// TrashKeep and VersionKeep are how long what was deleted, or overwritten, is kept;
	// 0 means 30 days.
	TrashKeep, VersionKeep time.Duration
	// CollectAfter is how long an original that nothing refers to any more stays in the
	// bucket; 0 means 35 days. It is never shorter than Journal.KeepSegments, whose default
	// it is: a past state of the log finds its originals.
	CollectAfter time.Duration
	// Deleted, if not nil, is called after somebody moved something to the trash by Delete
	// or Remove, before they are answered: it must not block.
	Deleted func(ctx context.Context, uid string, gone *Trashed)
	Journal journal.Options // Prefixes, Logged and Replayed are set here
}

// A Backend is all users' trees over one bucket and one index. Its methods may be
// called at once from several goroutines.
type Backend struct {
	bucket object.Bucket
	multi  object.Multiparter // the bucket's own, or nil
	x      kv.Store
	opt    Options
	log    *slog.Logger

	wake chan struct{} // Run has something to purge

	mu    sync.Mutex
	trees map[string]*opening

	damaged sync.Map // names of originals that were found not to be what was uploaded
}

// A tree is one user's log and what hangs on it.
type tree struct {
	uid   string
	log   *journal.Log
	parts keyedMutex // one writer a part

	uploads underWay

	copying sync.Map // Ino → true: copies of collections that are being made in the trash

	now          func() time.Time
	collectAfter time.Duration
	keeping      sync.Mutex  // one of purge, collection and repair at a time
	toPurge      atomic.Bool // there may be something in the trash that was condemned
}

// opening is a tree that has been, or is being, opened.
type opening struct {
	ready chan struct{}
	t     *tree
	err   error
}

// New makes a Backend over a bucket and an index. It does no I/O.
func New(b object.Bucket, x kv.Store, opt *Options) *Backend {
	var o Options
	if opt != nil {
		o = *opt
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxSize == 0 {
		o.MaxSize = 50 << 30
	}
	if o.Sniff == nil {
		o.Sniff = http.DetectContentType
	}
	if o.UploadAge == 0 {
		o.UploadAge = 7 * 24 * time.Hour
	}
	if o.MaxUploads == 0 {
		o.MaxUploads = 1000
	}
	if o.TrashKeep == 0 {
		o.TrashKeep = 30 * 24 * time.Hour
	}
	if o.VersionKeep == 0 {
		o.VersionKeep = 30 * 24 * time.Hour
	}
	if o.CollectAfter == 0 {
		o.CollectAfter = 35 * 24 * time.Hour
	}
	if o.Journal.KeepSegments == 0 {
		o.Journal.KeepSegments = o.CollectAfter
	}
	o.CollectAfter = max(o.CollectAfter, o.Journal.KeepSegments)
	be := &Backend{bucket: b, x: x, opt: o, log: o.Logger, wake: make(chan struct{}, 1), trees: make(map[string]*opening)}
	be.multi, _ = b.(object.Multiparter)
	return be
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

func (b *Backend) tree(ctx context.Context, uid string) (*tree, error) {
	if uid == "" || uid == object.SysUID {
		return nil, fmt.Errorf("backend: internal error: no tree of %q", uid)
	}
	b.mu.Lock()
	o := b.trees[uid]
	first := o == nil
	if first {
		o = &opening{ready: make(chan struct{})}
		b.trees[uid] = o
	}
	b.mu.Unlock()
	if !first {
		select {
		case <-o.ready:
			return o.t, o.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	// Others may wait for this, so it does not end with the first that asked.
	o.t, o.err = b.openTree(context.WithoutCancel(ctx), uid)
	if o.err != nil {
		b.mu.Lock()
		delete(b.trees, uid) // the next one tries anew
		b.mu.Unlock()
	}
	close(o.ready)
	return o.t, o.err
}

func (b *Backend) openTree(ctx context.Context, uid string) (*tree, error) {
	opt := b.opt.Journal
	opt.Prefixes = loggedPrefixes(uid)
	opt.Logged = loggedRows
	opt.Replayed = func(k kv.Key, d []byte) []kv.Op { return b.replayed(uid, k, d) }
	if opt.Logger == nil {
		opt.Logger = b.log
	}
	if opt.Now == nil {
		opt.Now = b.opt.Now
	}
	log, err := journal.Open(ctx, b.bucket, b.x, uid, &opt)
	if err != nil {
		return nil, fault(fmt.Errorf("open library: %w", err))
	}
	t := &tree{uid: uid, log: log, now: b.opt.Now, collectAfter: b.opt.CollectAfter}
	t.toPurge.Store(true) // nobody has looked yet
	return t, nil
}

// replayed queues the jobs that were not in the log: those of images that nobody has
// looked at.
func (b *Backend) replayed(uid string, k kv.Key, d []byte) []kv.Op {
	if b.opt.Queue == nil || len(k.P) < 2 || k.P[:2] != "d#" {
		return nil
	}
	e, err := decodeEntry("", k.S, d)
	if err != nil || e.Dir || e.Media.Processed || !showable(e) {
		return nil
	}
	return b.jobOps(uid, e)
}

// JobVariants is the kind of job that makes an entry's variants.
const JobVariants = "variants"

func (b *Backend) jobOps(uid string, e *Entry) []kv.Op {
	if b.opt.Queue == nil {
		return nil
	}
	// A copy shares the object and has a row of its own to be told, so it is another job.
	return b.opt.Queue.Ops(jobOf(uid, e.Ino, e.Object))
}

func jobOf(uid string, ino Ino, object string) job.Job {
	return job.Job{Kind: JobVariants, UID: uid, Ino: string(ino), Object: object, Recipe: string(ino)}
}

// renew queues the job that makes the variants of e as they are made now. That is not
// worth an error to whoever looks at them as they are.
func (b *Backend) renew(ctx context.Context, uid string, e *Entry) {
	if b.opt.Queue == nil {
		return
	}
	if _, err := b.opt.Queue.Add(ctx, jobOf(uid, e.Ino, e.Object)); err != nil {
		b.log.Warn("variants not made anew", "op", "variant", "err", err)
	}
}

// RecoveredLibrary is the library that has what was found without a place.
const RecoveredLibrary = "recovered"

// Snapshot writes a snapshot of one user's rows, and the manifest, now.
func (b *Backend) Snapshot(ctx context.Context, uid string) error {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return err
	}
	return fault(errors.Join(t.log.Snapshot(ctx), b.WriteManifest(ctx, uid)))
}

// open lists the trees in use.
func (b *Backend) open() []*tree {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ts []*tree
	for _, o := range b.trees {
		select {
		case <-o.ready:
			if o.err == nil {
				ts = append(ts, o.t)
			}
		default:
		}
	}
	return ts
}

// fault gives an error from below the name this package's callers know it by, keeping
// what it was.
func fault(err error) error {
	known := func(as error) error { return fmt.Errorf("%w: %w", as, err) }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, object.ErrNoSpace), errors.Is(err, kv.ErrNoSpace):
		return known(ErrNoSpace)
	case errors.Is(err, object.ErrChecksum):
		return known(ErrChecksum)
	case errors.Is(err, object.ErrIncomplete), errors.Is(err, io.ErrUnexpectedEOF):
		return known(ErrIncomplete)
	case errors.Is(err, object.ErrPart):
		return known(ErrPart)
	case errors.Is(err, object.ErrUnavailable), errors.Is(err, object.ErrNotExist), errors.Is(err, object.ErrExist),
		errors.Is(err, journal.ErrFenced), errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrIndex), errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrClosed):
		// An original that the index knows and the bucket does not is a fault of
		// ours: to say 404 would make a sync client delete its copy.
		return known(ErrUnavailable)
	}
	return err
}

// keyedMutex locks by name.
type keyedMutex struct {
	mu sync.Mutex
	m  map[string]*holders
}

type holders struct {
	sync.Mutex
	n int
}

func (k *keyedMutex) lock(name string) (unlock func()) {
	k.mu.Lock()
	if k.m == nil {
		k.m = make(map[string]*holders)
	}
	h := k.m[name]
	if h == nil {
		h = new(holders)
		k.m[name] = h
	}
	h.n++
	k.mu.Unlock()
	h.Lock()
	return func() {
		h.Unlock()
		k.mu.Lock()
		if h.n--; h.n == 0 {
			delete(k.m, name)
		}
		k.mu.Unlock()
	}
}
