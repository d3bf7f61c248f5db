package object

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrUnfit says that a bucket breaks a rule on which the safety of what is kept
// in it stands. It is not for retrying: another store must be chosen.
var ErrUnfit = errors.New("bucket is not fit for use")

const cleanupTime = 30 * time.Second

// SelfTest writes, reads and deletes one object below prefix ("" or ending in a
// slash), and proves that the bucket refuses a second create-only write of one
// name: on that stands the order of every commit. It is to be called before a
// bucket is used. A bucket that fails the proof is ErrUnfit; one that can not be
// asked is ErrUnavailable.
func SelfTest(ctx context.Context, b Bucket, prefix string) (err error) {
	name := prefix + "selftest-" + rand.Text()
	defer func() { err = errors.Join(err, cleanup(ctx, b, name)) }()
	first, second := []byte("first of "+name), []byte("second, of "+name)
	opt := &PutOptions{CreateOnly: true, Type: "text/plain", Meta: map[string]string{"sb-selftest": "1"}}
	if _, err := b.Put(ctx, name, bytes.NewReader(first), int64(len(first)), opt); err != nil {
		return fmt.Errorf("self-test of the bucket: write: %w", err)
	}
	switch _, err := b.Put(ctx, name, bytes.NewReader(second), int64(len(second)), opt); {
	case err == nil:
		return fmt.Errorf("self-test of the bucket: %w: it took a second create-only write of one name "+
			"(it ignores If-None-Match: *), so two writers would overwrite each other; use a store that "+
			"supports conditional writes, such as Amazon S3, MinIO, Ceph, Garage 2, R2 or versitygw", ErrUnfit)
	case !errors.Is(err, ErrExist):
		return fmt.Errorf("self-test of the bucket: second create-only write: %w", err)
	}
	if err := readBack(ctx, b, name, first); err != nil {
		return fmt.Errorf("self-test of the bucket: %w", err)
	}
	if err := b.Delete(ctx, name); err != nil {
		return fmt.Errorf("self-test of the bucket: delete: %w", err)
	}
	if _, err := b.Head(ctx, name); err == nil {
		return fmt.Errorf("self-test of the bucket: %w: a deleted object is still there", ErrUnfit)
	} else if !errors.Is(err, ErrNotExist) {
		return fmt.Errorf("self-test of the bucket: look for what was deleted: %w", err)
	}
	return nil
}

// SelfTestRace is the harder proof: 16 writers create one name at once, and
// exactly one may win. It takes 16 writes in place of two.
func SelfTestRace(ctx context.Context, b Bucket, prefix string) (err error) {
	const racers = 16
	name := prefix + "selftest-race-" + rand.Text()
	defer func() { err = errors.Join(err, cleanup(ctx, b, name)) }()
	errs := make([]error, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			_, errs[i] = b.Put(ctx, name, bytes.NewReader([]byte{byte('A' + i)}), 1, &PutOptions{CreateOnly: true})
		})
	}
	close(start)
	wg.Wait()
	winner, won := -1, 0
	for i, err := range errs {
		switch {
		case err == nil:
			winner, won = i, won+1
		case !errors.Is(err, ErrExist):
			return fmt.Errorf("self-test of the bucket: one of %d writers at once: %w", racers, err)
		}
	}
	if won != 1 {
		return fmt.Errorf("self-test of the bucket: %w: of %d create-only writes of one name at once %d were "+
			"accepted, must be 1; two writers would overwrite each other", ErrUnfit, racers, won)
	}
	if err := readBack(ctx, b, name, []byte{byte('A' + winner)}); err != nil {
		return fmt.Errorf("self-test of the bucket: %w", err)
	}
	return nil
}

// readBack reads the object three ways.
func readBack(ctx context.Context, b Bucket, name string, want []byte) error {
	for _, c := range []struct{ off, n int64 }{{0, -1}, {int64(len(want)) / 2, 1}} {
		r, err := b.Get(ctx, name, c.off, c.n)
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
		_ = r.Close()
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		part := want[c.off:]
		if c.n >= 0 {
			part = part[:min(int64(len(part)), c.n)]
		}
		if !bytes.Equal(got, part) {
			return fmt.Errorf("%w: it gave back %d bytes that are not the %d written", ErrUnfit, len(got), len(part))
		}
	}
	for info, err := range b.List(ctx, name, "") {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if info.Name == name && info.Size == int64(len(want)) {
			return nil
		}
	}
	return fmt.Errorf("%w: an object just written is not listed", ErrUnfit)
}

// cleanup removes a test's object even if ctx has ended.
func cleanup(ctx context.Context, b Bucket, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := b.Delete(ctx, name); err != nil {
		return fmt.Errorf("self-test of the bucket: remove the test's object: %w", err)
	}
	return nil
}
