package backend

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// window is how much of an object is asked for at once when nobody has said what will
// be read: a GET that is left half-read costs its connection.
const window = 8 << 20

// Content reads a file. It asks the bucket at the first Read, not before. What is read
// from the first byte to the last is compared with the checksum of the upload: if it
// differs, the last Read fails, so that no client takes damaged content for whole.
type Content struct {
	ino    Ino
	ctx    context.Context // of the request that opened it
	b      *Backend
	name   string
	inline []byte // the content, if name is ""
	size   int64
	off    int64
	to     int64 // Expect: reads will end here
	body   io.ReadCloser
	end    int64 // where body ends

	want   Checksum  // of the whole; its Sum is nil if none is known
	sum    hash.Hash // of what has been read from the start without a gap; nil if not compared
	summed int64     // how many bytes that is
}

func (l *Library) open(ctx context.Context, e *Entry) (*Content, error) {
	if e.Dir {
		return nil, ErrIsCollection
	}
	if err := l.allow(l.live(ctx), mayRead, e.Key); err != nil {
		return nil, err
	}
	if e.Object == "" && int64(len(e.Inline)) != e.Size {
		return nil, fmt.Errorf("backend: internal error: no object for %d bytes", e.Size)
	}
	c := &Content{ino: e.Ino, ctx: ctx, b: l.b, name: e.Object, inline: e.Inline, size: e.Size}
	// CRC-32C finds what disks and networks do to content, and costs a tenth of SHA-256.
	// That the content is what nobody else could have made, the check of originals tells.
	// Rows of before do not have it.
	for _, known := range []Checksum{checksumOf("crc32c", e.CRC32C), checksumOf("sha256", e.SHA256)} {
		if known.Sum != nil {
			c.want = known
			break
		}
	}
	return c, nil
}

// checksumOf is a sum in hex as a Checksum, without Sum if it is none.
func checksumOf(algorithm, sum string) Checksum {
	raw, err := hex.DecodeString(sum)
	if err != nil || len(raw) == 0 {
		raw = nil
	}
	return Checksum{algorithm, raw}
}

// Size in bytes.
func (c *Content) Size() int64 { return c.size }

// Expect says that n bytes from off will be read, so that the bucket is asked for
// just these.
func (c *Content) Expect(off, n int64) { c.off, c.to = off, min(off+n, c.size) }

// Read is an io.Reader. An error wraps ErrUnavailable if the bucket does not give the
// bytes that the index promises.
func (c *Content) Read(p []byte) (int, error) {
	if c.off >= c.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.name == "" {
		n := copy(p, c.inline[c.off:])
		c.off += int64(n)
		return n, nil
	}
	if c.body == nil {
		end := min(c.off+window, c.size)
		if c.to > c.off {
			end = c.to
		}
		body, err := c.b.bucket.Get(c.ctx, c.name, c.off, end-c.off)
		if err != nil {
			return 0, fault(fmt.Errorf("read original: %w", err))
		}
		c.body, c.end = body, end
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.end-c.off)])
	damaged := c.verify(p[:n])
	c.off += int64(n)
	switch {
	case damaged != nil:
		c.close()
		return 0, damaged
	case c.off == c.end:
		c.close()
		err = nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: original ends at byte %d of %d", ErrUnavailable, c.off, c.size)
	case err != nil:
		err = fault(fmt.Errorf("read original: %w", err))
	}
	return n, err
}

// verify takes the bytes that were read at off, and compares when they are the last.
func (c *Content) verify(read []byte) error {
	if c.off == 0 && c.want.Sum != nil {
		c.sum, c.summed = NewHash(c.want.Algorithm), 0
	}
	if c.sum == nil || c.summed != c.off {
		return nil
	}
	c.sum.Write(read)
	if c.summed += int64(len(read)); c.summed < c.size {
		return nil
	}
	got := c.sum.Sum(nil)
	c.sum = nil
	if bytes.Equal(got, c.want.Sum) {
		return nil
	}
	c.b.damaged.Store(c.name, nil) // the next upload of it takes its place
	c.b.log.Error("an original is not what was uploaded: bring it back from the bucket's versions or a backup", "ino", string(c.ino))
	return fmt.Errorf("%w: the original in the bucket is damaged", ErrUnavailable)
}

// Seek is an io.Seeker; it costs nothing.
func (c *Content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.off
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	if offset != c.off {
		c.close()
		c.off = offset
	}
	return offset, nil
}

func (c *Content) close() {
	if c.body != nil {
		c.body.Close()
		c.body = nil
	}
}

// Close releases what a read has opened.
func (c *Content) Close() error {
	c.close()
	return nil
}

// openOriginal reads from the spool or the bucket.
func (b *Backend) openOriginal(ctx context.Context, uid, name string) (io.ReadCloser, int64, error) {
	if !strings.HasPrefix(name, object.OriginalPrefix(uid)) {
		return nil, 0, fmt.Errorf("backend: internal error: original %q is not of %s", name, uid)
	}
	if f, size, ok := b.opt.Spool.open(name); ok {
		return f, size, nil
	}
	info, err := b.bucket.Head(ctx, name)
	if errors.Is(err, object.ErrNotExist) {
		return nil, 0, ErrNotExist // only here: the job of an original that was dropped
	}
	if err != nil {
		return nil, 0, fault(fmt.Errorf("read original: %w", err))
	}
	r, err := b.bucket.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, 0, fault(fmt.Errorf("read original: %w", err))
	}
	return r, info.Size, nil
}

// putVariant stores a variant.
func (b *Backend) putVariant(ctx context.Context, uid, original, variant, recipe, ext, mediaType string, data []byte) error {
	if object.ULIDOf(original) == "" {
		return fmt.Errorf("backend: internal error: %q is no original", original)
	}
	name := object.VariantName(uid, original, variant+"-"+recipe+"."+ext)
	_, err := b.bucket.Put(ctx, name, bytes.NewReader(data), int64(len(data)), &object.PutOptions{Type: mediaType, Meta: map[string]string{"sb-v": "1"}})
	if err != nil {
		return fault(fmt.Errorf("store variant: %w", err))
	}
	return nil
}

func (l *Library) openVariant(ctx context.Context, e *Entry, variant string) (io.ReadCloser, string, error) {
	if err := l.allow(l.live(ctx), mayRead, e.Key); err != nil {
		return nil, "", err
	}
	for _, v := range e.Media.Variants {
		if strings.HasPrefix(v, variant+"-") {
			r, err := l.b.bucket.Get(ctx, object.VariantName(l.t.uid, e.Object, v), 0, -1)
			if errors.Is(err, object.ErrNotExist) { // it can be made again, if it was not just now
				now, err := l.statIno(ctx, e.Ino)
				if err == nil && now.Object == e.Object && !slices.Equal(now.Media.Variants, e.Media.Variants) {
					return l.openVariant(ctx, now, variant)
				}
				l.b.renew(ctx, l.t.uid, e)
			}
			if err != nil {
				return nil, "", fault(fmt.Errorf("read variant: %w", err))
			}
			if l.b.opt.Variants != nil && e.Media.By == "" && !slices.Contains(l.b.opt.Variants, v) {
				l.b.renew(ctx, l.t.uid, e)
			}
			return r, v, nil
		}
	}
	return nil, "", ErrNotExist
}
