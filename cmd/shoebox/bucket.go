package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// A format is the bucket's own word about itself, in the object v1/format.json:
//
//	{"shoebox": 1, "id": "…", "created": "2026-01-02T15:04:05Z", "key": "1:…"}
//
// It is written once, when the bucket is first used, and read at every start.
type format struct {
	Shoebox int       `json:"shoebox"` // version of the layout
	ID      string    `json:"id"`      // random; tells this bucket from its copies' namesakes
	Created time.Time `json:"created"`
	Key     string    `json:"key"` // check value of the master key: account.Keys.Check
}

const layout = 1

// errMasterKey says that the bucket's secrets were sealed with a key we do not have.
var errMasterKey = errors.New("the bucket was written with another master key")

// ensureFormat reads the bucket's format, or writes it if the bucket is new. The error
// wraps errMasterKey if keys are not the bucket's, unless adopt is set: then the format
// is written anew with them.
func ensureFormat(ctx context.Context, b object.Bucket, keys *account.Keys, adopt bool) (format, error) {
	f, err := readFormat(ctx, b)
	if errors.Is(err, object.ErrNotExist) {
		f = format{Shoebox: layout, ID: strings.ToLower(rand.Text()), Created: time.Now().UTC().Truncate(time.Second), Key: keys.Check()}
		err = writeFormat(ctx, b, f, true)
		if errors.Is(err, object.ErrExist) { // somebody else was quicker
			f, err = readFormat(ctx, b)
		}
	}
	switch {
	case err != nil:
		return f, fmt.Errorf("read the bucket's format: %w", err)
	case f.Shoebox != layout:
		return f, fmt.Errorf("the bucket has layout %d, and this version of Shoebox knows %d only: use the version that wrote it, or a newer one", f.Shoebox, layout)
	case keys.Matches(f.Key):
		return f, nil
	case !adopt:
		return f, errMasterKey
	}
	f.Key = keys.Check()
	return f, writeFormat(ctx, b, f, false)
}

func readFormat(ctx context.Context, b object.Bucket) (f format, err error) {
	r, err := b.Get(ctx, object.FormatName, 0, -1)
	if err != nil {
		return f, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("%s is not what Shoebox writes there: %w", object.FormatName, err)
	}
	return f, nil
}

func writeFormat(ctx context.Context, b object.Bucket, f format, createOnly bool) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	_, err = b.Put(ctx, object.FormatName, bytes.NewReader(text), int64(len(text)),
		&object.PutOptions{CreateOnly: createOnly, Type: "application/json"})
	return err
}

// prove finds out whether the bucket keeps the rule on which every commit stands.
func prove(ctx context.Context, b object.Bucket) error {
	return object.SelfTest(ctx, b, "v1/selftest/")
}
