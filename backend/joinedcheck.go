package backend

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// joinedBefore says of an upload that the bucket does not know any more whether it was put
// together by an earlier try, whose answer or commit was lost, and of the very parts that are
// named now: a client may have sent others since, or name others. sums are the parts' MD5.
// It reads the object. ErrNoUpload if there is none, ErrPart if it is of other parts.
func (b *Backend) joinedBefore(ctx context.Context, name string, parts []object.Part, sums [][]byte) error {
	r, err := b.bucket.Get(ctx, name, 0, -1)
	if errors.Is(err, object.ErrNotExist) {
		return ErrNoUpload
	}
	if err != nil {
		return fault(fmt.Errorf("complete upload: %w", err))
	}
	defer r.Close()
	for i, p := range parts {
		sum := md5.New()
		n, err := io.CopyN(sum, r, p.Size)
		if err != nil && err != io.EOF {
			return fault(fmt.Errorf("complete upload: %w", err))
		}
		if n < p.Size || !bytes.Equal(sum.Sum(nil), sums[i]) {
			return fmt.Errorf("%w: it was put together of others before, and its answer lost: send it anew", ErrPart)
		}
	}
	switch n, err := io.ReadFull(r, make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("%w: it was put together of more before, and its answer lost: send it anew", ErrPart)
	case err != io.EOF:
		return fault(fmt.Errorf("complete upload: %w", err))
	}
	return nil
}
