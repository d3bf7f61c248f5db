package backend

import (
	"context"
	"fmt"
	"io"

	"github.com/shoebox-photos/shoebox/backend/journal"
)

// rehash reads a file's content through and notes its checksums. A file that came in
// parts has none of the whole until somebody wants one.
func (l *Library) rehash(ctx context.Context, key Key) (*Entry, error) {
	e, err := l.stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if e.Dir {
		return nil, ErrIsCollection
	}
	if e.MD5 != "" && e.SHA1 != "" && e.SHA256 != "" {
		return e, nil
	}
	if err := l.allow(l.live(ctx), mayChange, key); err != nil {
		return nil, err
	}
	c, err := l.open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s, err := newSummer(c, e.Size, l.b.opt.MaxSize, nil, "sha1")
	if err != nil {
		return nil, err
	}
	defer s.close()
	if _, err := io.Copy(io.Discard, s); err != nil {
		return nil, fault(fmt.Errorf("hash: %w", err))
	}
	return l.amend(ctx, "hash", key, func(_ *journal.Tx, now *Entry) error {
		if now.Dir || now.Object != e.Object || now.ETag != e.ETag {
			return ErrPrecondition // it was replaced meanwhile
		}
		now.MD5, now.SHA1, now.SHA256, now.CRC32C = s.hex("md5"), s.hex("sha1"), s.hex("sha256"), s.hex("crc32c")
		return nil
	})
}

// prove reads an original back, just after its parts were put together, for the
// checksums its client gave, and notes those it has.
func (l *Library) prove(ctx context.Context, e *Entry, expect []Checksum) error {
	rc, err := l.b.bucket.Get(ctx, e.Object, 0, -1)
	if err != nil {
		return err
	}
	defer rc.Close()
	s, err := newSummer(rc, e.Size, l.b.opt.MaxSize, expect, "sha1")
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := io.Copy(io.Discard, s); err != nil {
		return err
	}
	e.MD5, e.SHA1, e.SHA256, e.CRC32C = s.hex("md5"), s.hex("sha1"), s.hex("sha256"), s.hex("crc32c")
	return nil
}
