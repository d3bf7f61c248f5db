package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/backend/object/s3bucket"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// A node is the opened parts below the faces: what serve serves and what the
// operator's commands work on.
type node struct {
	cfg      *config
	log      *slog.Logger
	keys     *account.Keys
	bucket   object.Bucket
	disk     *diskbucket.Bucket // bucket, if it is a directory
	index    *badgerkv.Store
	jobs     *job.Queue
	backend  *backend.Backend
	accounts *account.Accounts

	newKey   bool // the master key was made just now
	existing bool // there must be a Shoebox already: a command that only looks begins none
	// recovering says that logs that are damaged are set aside; aside tells which.
	recovering bool
	mu         sync.Mutex
	aside      []string
	progress   func(journal.Progress) // of replaying; may be nil
	replaced   bool                   // the index was damaged and has been made anew from the bucket
}

// openNode opens everything, in the order in which one part needs the other. An index
// that is damaged, or has lost rows, is set aside and made anew from the bucket.
// proof, if not nil, is asked whether the bucket is fit before anything is written to it.
func openNode(ctx context.Context, cfg *config, log *slog.Logger, proof func(context.Context, object.Bucket) error) (*node, error) {
	n := &node{cfg: cfg, log: log}
	if err := n.open(ctx, proof); err != nil {
		return nil, err
	}
	return n, nil
}

// open is openNode for a node that has not been opened. If it fails, nothing is left open.
func (n *node) open(ctx context.Context, proof func(context.Context, object.Bucket) error) error {
	if err := n.openStorage(ctx, false, proof); err != nil {
		return errors.Join(err, n.close())
	}
	err := n.openIndex(ctx, n.cfg.path("index"))
	if errors.Is(err, kv.ErrDamaged) || errors.Is(err, journal.ErrIndex) {
		n.log.Error("the index is damaged; it is made anew from the bucket", "err", err)
		err = n.replaceIndex(ctx)
	}
	if err != nil {
		return errors.Join(err, n.close())
	}
	return nil
}

// errNothingHere says that where a command looks there is no Shoebox.
func (c *config) errNothingHere() error {
	where := c.dataDir
	if c.bucketName != "" {
		where = "the bucket " + c.bucketName
		if c.bucketPrefix != "" {
			where += ", below " + c.bucketPrefix
		}
	}
	return fmt.Errorf("there is no Shoebox in %s: -data-dir or -config says where yours is; shoebox serve begins a new one", where)
}

// openStorage opens the data directory, the keys and the bucket.
func (n *node) openStorage(ctx context.Context, adoptKey bool, proof func(context.Context, object.Bucket) error) (err error) {
	cfg := n.cfg
	if n.existing && cfg.bucketName == "" {
		if _, err := os.Stat(cfg.path("bucket")); errors.Is(err, fs.ErrNotExist) {
			return cfg.errNothingHere()
		}
	}
	// An existing directory keeps its mode: what we make in it is closed to others.
	if err := os.MkdirAll(cfg.dataDir, 0o700); err != nil {
		return fmt.Errorf("make data-dir: %w: choose another with -data-dir", err)
	}
	if err := n.loadKeys(); err != nil {
		return err
	}
	if err := n.openBucket(ctx); err != nil {
		return err
	}
	if n.existing {
		if _, err := readFormat(ctx, n.bucket); errors.Is(err, object.ErrNotExist) {
			if n.newKey {
				os.Remove(cfg.keyFile())
			}
			return cfg.errNothingHere()
		}
	}
	if proof != nil {
		if err := proof(ctx, n.bucket); err != nil {
			return err
		}
	}
	if n.keys == nil {
		if err := n.unwrapKeys(ctx, adoptKey); err != nil {
			return err
		}
	}
	_, err = ensureFormat(ctx, n.bucket, n.keys, adoptKey)
	if errors.Is(err, errMasterKey) {
		if n.newKey { // it opens nothing, and would look like the right one next time
			os.Remove(cfg.keyFile())
		}
		return fmt.Errorf("%w: put the right one at %s (or set master-key, or master-key-kms). If it is lost, shoebox rebuild -new-master-key goes on with a new one: photographs and people stay, but every app password has to be made again", err, cfg.keyFile())
	}
	return err
}

func (n *node) openBucket(ctx context.Context) error {
	cfg := n.cfg
	if cfg.bucketName == "" {
		b, err := diskbucket.Open(cfg.path("bucket"), &diskbucket.Options{Logger: n.log})
		if err != nil {
			return err
		}
		n.disk, n.bucket = b, b
		return nil
	}
	b, err := s3bucket.Open(ctx, s3bucket.Options{
		Bucket: cfg.bucketName, Prefix: cfg.bucketPrefix, Endpoint: cfg.bucketEndpoint, Region: cfg.bucketRegion,
		PathStyle: cfg.bucketPathStyle, SSE: cfg.sse(), KMSKeyID: cfg.bucketKMSKey,
		AllowInsecureBucket: cfg.allowInsecure, Logger: n.log,
		TempDir: cfg.path("tmp"), TempFree: func() (uint64, error) { return badgerkv.Free(cfg.path("tmp")) },
	})
	if err != nil {
		return bucketHint(err)
	}
	n.bucket = b
	return nil
}

// bucketHint names the settings that are about what s3bucket says is wrong.
func bucketHint(err error) error {
	if errors.Is(err, object.ErrUnfit) {
		return fmt.Errorf("%w (the settings -bucket-sse and -allow-insecure-bucket are about this)", err)
	}
	return err
}

// openIndex opens the index in dir and what is made of it, and brings it up to the
// bucket's log.
func (n *node) openIndex(ctx context.Context, dir string) (err error) {
	cfg := n.cfg
	n.index, err = badgerkv.Open(dir, &badgerkv.Options{Logger: n.log})
	if err != nil {
		if errors.Is(err, kv.ErrInUse) {
			err = fmt.Errorf("%w (data-dir %s)", err, cfg.dataDir)
		}
		return err
	}
	n.jobs = job.New(n.index, &job.Options{Logger: n.log})
	opt := &backend.Options{
		Logger: n.log, MaxSize: int64(cfg.maxUpload), Sniff: media.Sniff, Queue: n.jobs, MinFree: uint64(cfg.minFree),
		Variants:     render.Names(),
		TrashKeep:    fail.Duration("trash.keep", days(cfg.trashDays)),
		VersionKeep:  fail.Duration("version.keep", days(cfg.versionDays)),
		CollectAfter: fail.Duration("collect.after", days(cfg.collectDays)),
		Journal:      journal.Options{SnapshotEvery: cfg.snapshotEvery, SnapshotAge: cfg.snapshotAge, Progress: n.progress},
	}
	if n.disk != nil {
		opt.Free = n.free
	} else if cfg.spool > 0 && cfg.workers > 0 {
		// A bucket in a directory can be read again for nothing.
		if opt.Spool, err = backend.OpenSpool(cfg.path("spool"), int64(cfg.spool)); err != nil {
			return fmt.Errorf("open the spool: %w", err)
		}
	}
	opt.Deleted = func(ctx context.Context, uid string, gone *backend.Trashed) {
		n.accounts.NoteDeleted(ctx, uid, gone.By, string(gone.Entry.Key))
	}
	n.backend = backend.New(n.bucket, n.index, opt)
	if err := n.setAsideAccounts(ctx); err != nil {
		return err
	}
	if n.accounts, err = account.Open(ctx, n.bucket, n.index, n.keys, &account.Options{Logger: n.log, Revoked: n.backend.DropLocks, Grace: cfg.grace()}); err != nil {
		return err
	}
	return n.openLibraries(ctx)
}

// openLibraries replays what the logs have and the index has not. It would happen at
// the first use too; now it is known that all is well before the first request.
func (n *node) openLibraries(ctx context.Context) error {
	users, err := n.accounts.Users(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, u := range users {
		g.Go(func() error {
			return n.openLibrary(ctx, u.UID)
		})
	}
	return g.Wait()
}

// replaceIndex sets the index aside and makes a new one from the bucket.
func (n *node) replaceIndex(ctx context.Context) error {
	if err := n.closeIndex(); err != nil {
		n.log.Warn("the damaged index did not close cleanly", "err", err)
	}
	aside, err := setAside(n.cfg.path("index"), "damaged")
	if err != nil {
		return fmt.Errorf("set the damaged index aside: %w", err)
	}
	start := time.Now()
	if err := n.openIndex(ctx, n.cfg.path("index")); err != nil {
		return fmt.Errorf("make the index anew from the bucket: %w", err)
	}
	n.replaced = true
	n.log.Warn("the index was made anew from the bucket; sessions ended, so people sign in again",
		"dur", time.Since(start).Round(time.Millisecond), "aside", aside)
	return nil
}

// setAside renames dir to dir.why-DATE, and removes what was set aside so before: a
// second copy of something that can be made anew helps nobody.
func setAside(dir, why string) (aside string, err error) {
	old, err := filepath.Glob(dir + "." + why + "-*")
	if err != nil {
		return "", err
	}
	aside = dir + "." + why + "-" + time.Now().UTC().Format("20060102T150405")
	if err := os.Rename(dir, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, name := range old {
		if name != aside {
			if err := os.RemoveAll(name); err != nil {
				return "", err
			}
		}
	}
	return aside, nil
}

// free is how many bytes the directory that is the bucket can still take.
func (n *node) free() (uint64, error) {
	free, _, err := n.disk.Free()
	return free, err
}

func (n *node) closeIndex() (err error) {
	if n.index != nil {
		if n.accounts != nil {
			flush, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			err = n.accounts.Flush(flush)
		}
		err = errors.Join(err, n.index.Close())
		n.index, n.accounts = nil, nil
	}
	return err
}

func (n *node) close() error {
	err := n.closeIndex()
	if c, ok := n.bucket.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}
