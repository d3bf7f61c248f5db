package diskbucket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
)

func Example() {
	dir, err := os.MkdirTemp("", "bucket")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	b, err := diskbucket.Open(dir, nil)
	if err != nil {
		panic(err)
	}
	defer b.Close()

	ctx := context.Background()
	opt := &object.PutOptions{CreateOnly: true, Type: "text/plain"}
	if _, err := b.Put(ctx, "notes/first.txt", strings.NewReader("hello"), 5, opt); err != nil {
		panic(err)
	}
	_, err = b.Put(ctx, "notes/first.txt", strings.NewReader("again"), 5, opt)
	fmt.Println(errors.Is(err, object.ErrExist))

	r, err := b.Get(ctx, "notes/first.txt", 1, 3)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	fmt.Println(string(text), err)
	// Output:
	// true
	// ell <nil>
}
