package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
)

func rebuildCommand() *command {
	var newKey, fromOriginals bool
	return &command{
		name: "rebuild", short: "make the index anew, from the bucket alone",
		long: `
Makes the index anew from what is in the bucket: names, folders, times, trash, people
and app passwords. It is needed only when the machine or its disk was lost, or fsck found
the index wrong; a damaged index is noticed at the start and made anew without it. Stop the
server first. Sessions end, so people sign in again.

    shoebox rebuild
    shoebox rebuild -bucket s3://our-photos -data-dir /srv/shoebox     # on a new machine

On a new machine put the master key in its place first (master.key in data-dir, or the
setting master-key). If it is lost:

    shoebox rebuild -new-master-key

goes on with a new one. Photographs and people stay; app passwords have to be made again.

If the log in the bucket is lost or damaged too, so that rebuild refuses it:

    shoebox rebuild -from-originals

brings every original that no log tells of into the library "recovered" of its owner,
under the name, with the time and the checksums that it bears. Folders that were renamed
since have their old names, and what was removed in the last weeks is there again. A damaged
log is kept in the bucket, below v1/x/. People that nobody knows any more are made anew as
recovered-…; shoebox login-link recovered-… signs in as one of them.`,
		flags: func(f *flag.FlagSet) {
			f.BoolVar(&newKey, "new-master-key", false, "go on with another master key than the bucket was written with")
			f.BoolVar(&fromOriginals, "from-originals", false, "recover what no log tells of from the originals themselves")
		},
		run: func(ctx context.Context, in *invocation) error { return rebuild(ctx, in, newKey, fromOriginals) },
	}
}

func rebuild(ctx context.Context, in *invocation, newKey, fromOriginals bool) (err error) {
	if r, err := call(ctx, in.cfg, "health", none{}); err == nil {
		r.Close()
		return errors.New("the server is running: stop it first")
	}
	bar := newBar(in.stderr)
	defer bar.done()
	n := &node{cfg: in.cfg, log: quiet(in), existing: !fromOriginals, recovering: fromOriginals, progress: showProgress(bar)}
	if err := unused(n, in.cfg.path("index")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.openStorage(ctx, newKey, prove); err != nil {
		return err
	}
	// The new index grows beside the old one, which stays until the new one is whole.
	index := in.cfg.path("index")
	if err := os.RemoveAll(index + ".new"); err != nil {
		return err
	}
	start := time.Now()
	if err := n.openIndex(ctx, index+".new"); err != nil {
		return fmt.Errorf("rebuild the index: %w", err)
	}
	if fromOriginals {
		if err := n.recoverAll(ctx, in.stdout, bar); err != nil {
			return err
		}
	}
	people, err := n.userList(ctx, none{})
	if err != nil {
		return err
	}
	if err := n.closeIndex(); err != nil {
		return fmt.Errorf("close the new index: %w", err)
	}
	// A server that was started meanwhile has the old one open.
	if err := unused(n, index); err != nil {
		return err
	}
	if _, err := setAside(index, "old"); err != nil {
		return fmt.Errorf("set the old index aside: %w", err)
	}
	if err := os.Rename(index+".new", index); err != nil {
		return fmt.Errorf("put the new index in its place: %w", err)
	}
	bar.done()
	var files int64
	for _, p := range people {
		files += p.Files
	}
	_, err = fmt.Fprintf(in.stdout, "rebuilt: %d people, %d files, in %s\n", len(people), files, time.Since(start).Round(time.Millisecond))
	return err
}

// unused makes sure that no process has the index in dir open. A damaged one is nobody's.
func unused(n *node, dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	x, err := badgerkv.Open(dir, &badgerkv.Options{Logger: n.log})
	if errors.Is(err, kv.ErrInUse) {
		return errors.New("a server has the index open: stop it first")
	}
	if err == nil {
		return x.Close()
	}
	return nil
}
