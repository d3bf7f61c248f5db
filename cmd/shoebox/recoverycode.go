package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// recoveryName is where the master keys are in the bucket, sealed with the recovery code.
const recoveryName = "v1/recovery.json"

// A recovery is what is there.
type recovery struct {
	V      int       `json:"v"`
	Made   time.Time `json:"made"`
	Sealed []byte    `json:"sealed"` // see account.Keys.Backup
}

func recoveryCodeCommand() *command {
	var restore bool
	return &command{
		name: "recovery-code", short: "print a code that brings the master key back",
		long: `
Puts the master keys into the bucket, sealed with a new recovery code, and prints the
code: this once. Write it on paper. Whoever has the bucket and the code has everything;
one of the two alone opens nothing. An earlier code stops working.

    shoebox recovery-code

On a new machine, before the first start there, it asks for the code and makes the key
file again:

    shoebox recovery-code -restore -bucket s3://our-photos

After rotate-master-key make another code: the old one brings back older keys only.

With master-key-kms the code is for the day when the KMS key is gone: -restore makes the
key file, and at the next start that is wrapped with the KMS key that is set then, or is
used as it is if none is set.`,
		flags: func(f *flag.FlagSet) {
			f.BoolVar(&restore, "restore", false, "read the code from standard input and write the key file")
		},
		run: func(ctx context.Context, in *invocation) error {
			if restore {
				return restoreKey(ctx, in, os.Stdin)
			}
			code, err := ask[string](ctx, in, "recovery-code", none{})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(in.stdout, "recovery code: %s\nIt is shown only now, and an earlier one works no more. Write it down, and keep it apart from the bucket.\n", code)
			return err
		},
	}
}

func (n *node) recoveryCode(ctx context.Context, _ none) (string, error) {
	code, sealed, err := n.keys.Backup()
	if err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(recovery{1, time.Now().UTC().Truncate(time.Second), sealed}, "", "  ")
	if err != nil {
		return "", err
	}
	if _, err := n.bucket.Put(ctx, recoveryName, bytes.NewReader(text), int64(len(text)), &object.PutOptions{Type: "application/json"}); err != nil {
		return "", fmt.Errorf("put the sealed keys into the bucket: %w", err)
	}
	n.accounts.Note(ctx, account.Event{Actor: operatorName, What: "recovery code made"})
	return string(code), nil
}

// restoreKey makes the key file again.
func restoreKey(ctx context.Context, in *invocation, stdin io.Reader) error {
	n := &node{cfg: in.cfg, log: quiet(in)}
	if err := os.MkdirAll(in.cfg.dataDir, 0o700); err != nil {
		return fmt.Errorf("make data-dir: %w", err)
	}
	if err := n.openBucket(ctx); err != nil {
		return err
	}
	defer n.close()
	r, err := n.bucket.Get(ctx, recoveryName, 0, -1)
	if errors.Is(err, object.ErrNotExist) {
		return errors.New("the bucket has no sealed keys: no recovery code was made with shoebox recovery-code")
	}
	if err != nil {
		return fmt.Errorf("read the sealed keys from the bucket: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	r.Close()
	if err != nil {
		return fmt.Errorf("read the sealed keys from the bucket: %w", err)
	}
	var kept recovery
	if err := json.Unmarshal(text, &kept); err != nil || kept.V != 1 {
		return fmt.Errorf("%s is not what this version of Shoebox writes there", recoveryName)
	}
	fmt.Fprintf(in.stderr, "Recovery code, as made on %s: ", kept.Made.Format(time.DateOnly))
	line, err := bufio.NewReader(io.LimitReader(stdin, 1000)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the code: %w", err)
	}
	if err := account.RestoreKeyFile(in.cfg.keyFile(), account.Secret(line), kept.Sealed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(in.stdout, "The master key is in %s again. Now: %s\n", in.cfg.keyFile(), in.cfg.commandLine("rebuild"))
	return err
}
