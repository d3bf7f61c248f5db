package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/account/awskms/kmstest"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

// TestKMSKeepsNewerKeys: a rotation was killed once its key was made, the file from before KMS
// is still there, and the server is started with a KMS key that opens nothing. The file must
// not take the place of what it lacks.
func TestKMSKeepsNewerKeys(t *testing.T) {
	kms := kmstest.New(t)
	one, two := kms.NewKey("one"), kms.NewKey("two")
	for _, pair := range append(kms.Env(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null") {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	ctx, dir, bucket := t.Context(), t.TempDir(), membucket.New()
	begin := func(key string) *node {
		return &node{cfg: &config{dataDir: dir, masterKeyKMS: conf.List{key}}, log: slog.New(slog.DiscardHandler), bucket: bucket}
	}
	if _, _, err := account.LoadKeys(filepath.Join(dir, "master.key"), ""); err != nil {
		t.Fatal(err)
	}
	n := begin(one)
	if err := n.unwrapKeys(ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := ensureFormat(ctx, bucket, n.keys, false); err != nil {
		t.Fatal(err)
	}
	if err := n.newMasterKey(ctx); err != nil {
		t.Fatal(err)
	}
	sealed := n.keys.Seal(nil, []byte("since then"))

	err := begin(two).unwrapKeys(ctx, false)
	if err == nil || !strings.Contains(err.Error(), "another KMS key: name that one, too") {
		t.Errorf("got %v", err)
	}
	opens := func(want bool) {
		t.Helper()
		n := begin(one)
		if err := n.unwrapKeys(ctx, false); err != nil {
			t.Fatal(err)
		}
		if _, err := n.keys.Open(nil, sealed); (err == nil) != want {
			t.Errorf("what was sealed since is opened: %v", err)
		}
	}
	opens(true)
	// The bucket can not be read: nobody knows what it has.
	n = begin(one)
	n.bucket = unreadable{bucket}
	if err := n.unwrapKeys(ctx, false); err == nil {
		t.Error("keys were written over some that could not be read")
	}
	opens(true)
	// Who says that they are lost (rebuild -new-master-key) goes on with the file's.
	if err := os.Remove(filepath.Join(dir, "master-key.kms")); err != nil {
		t.Fatal(err)
	}
	n = begin(two)
	if err := n.unwrapKeys(ctx, true); err != nil || n.keys.Current() != 1 {
		t.Errorf("adopted: %v", err)
	}
}

// unreadable is a bucket of which the wrapped keys can not be read.
type unreadable struct{ *membucket.Bucket }

func (b unreadable) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if name == account.WrappedName {
		return nil, errors.New("a fault that will pass")
	}
	return b.Bucket.Get(ctx, name, off, n)
}
