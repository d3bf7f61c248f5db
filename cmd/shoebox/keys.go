package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/account/awskms"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Where the master keys come from: a file that is made at the first start, the
// environment, or AWS KMS, which unwraps what the bucket has.

// keyFile is where the master key is kept, if neither the environment nor KMS has it.
func (c *config) keyFile() string {
	if c.masterKeyFile != "" {
		return c.masterKeyFile
	}
	return c.path("master.key")
}

// keysAreAFile says whether they are in keyFile.
func (c *config) keysAreAFile() bool { return c.masterKey == "" && len(c.masterKeyKMS) == 0 }

// loadKeys reads the keys that need no bucket.
func (n *node) loadKeys() (err error) {
	if len(n.cfg.masterKeyKMS) > 0 {
		return nil
	}
	n.keys, n.newKey, err = account.LoadKeys(n.cfg.keyFile(), n.cfg.masterKey.Reveal())
	return err
}

// wrappedStore is where keys are that KMS has wrapped.
func (n *node) wrappedStore(ctx context.Context) (*account.WrappedStore, error) {
	w, err := awskms.New(ctx, awskms.Options{Keys: n.cfg.masterKeyKMS, Region: n.cfg.bucketRegion})
	if err != nil {
		return nil, fmt.Errorf("master-key-kms: %w", err)
	}
	return &account.WrappedStore{Wrapper: w, Bucket: n.bucket, Path: n.cfg.path("master-key.kms")}, nil
}

// unwrapKeys has KMS unwrap the keys. If it cannot, for it never wrapped any, or with a
// KMS key that is gone, then keys in a file that are the bucket's, all of them, are wrapped
// now. A bucket that is new, or whose key is lost (adopt), gets a key of its own.
func (n *node) unwrapKeys(ctx context.Context, adopt bool) error {
	store, err := n.wrappedStore(ctx)
	if err != nil {
		return err
	}
	var fault error
	if n.keys, fault = store.Load(ctx); fault == nil {
		return nil
	}
	never := errors.Is(fault, account.ErrNoKeys)
	f, err := readFormat(ctx, n.bucket)
	unused := errors.Is(err, object.ErrNotExist)
	if err != nil && !unused {
		return fmt.Errorf("read the bucket's format: %w", err)
	}
	from, err := n.keysInFile()
	if err != nil {
		return err
	}
	if from != nil && !unused && !from.Matches(f.Key) {
		from = nil
	}
	if from != nil && !never && !adopt {
		// A rotation that was killed may have made a key that the file has not, and sealed
		// with it. Or nobody knows what there is: the bucket may only be down.
		covered, err := store.Covered(ctx, from)
		if err != nil {
			return fault // it says why, too
		}
		if !covered {
			return fmt.Errorf("%w; and %s has not all keys that are wrapped, so it can not replace them", fault, n.cfg.keyFile())
		}
	}
	switch {
	case from != nil, adopt, unused && never:
	case never:
		return fmt.Errorf("%w, and that is not at %s, so that KMS could wrap it: put it there", errMasterKey, n.cfg.keyFile())
	default:
		return fault
	}
	n.keys, err = store.Create(ctx, from, !never)
	if err != nil && !never {
		return errors.Join(fault, err)
	}
	if err != nil {
		return err
	}
	if from != nil {
		n.log.Warn("the master key is wrapped with KMS now: remove the file, and call rotate-master-key if somebody may have a copy", "file", n.cfg.keyFile())
	}
	return nil
}

// keysInFile are those of keyFile, nil if there is none.
func (n *node) keysInFile() (*account.Keys, error) {
	if _, err := os.Stat(n.cfg.keyFile()); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	keys, _, err := account.LoadKeys(n.cfg.keyFile(), "")
	return keys, err
}

// newMasterKey adds a master key where they are kept, which seals from now on.
func (n *node) newMasterKey(ctx context.Context) error {
	switch {
	case n.cfg.masterKey != "":
		return errors.New("the master key comes from the environment: put a second one beside it there (1:…,2:…), start the server again, and use -rewrap-only")
	case len(n.cfg.masterKeyKMS) > 0:
		store, err := n.wrappedStore(ctx)
		if err != nil {
			return err
		}
		_, err = store.Rotate(ctx, n.keys)
		return err
	}
	_, err := n.keys.Rotate(n.cfg.keyFile())
	return err
}
