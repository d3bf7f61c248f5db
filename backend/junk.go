package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/journal"
)

// Junk's content is in the index alone, which may be lost. What gets a name by which it is
// junk no more must not stay there: it gets an object first, as at a PUT.

// errInline says that a plan found junk that has no object yet, or other content by now.
var errInline = errors.New("junk is to become a file")

// transfer runs the plan of a Move or a Copy, which returns what it makes. own is nil, or bears the content of src, if
// that is junk and dst is not; makeOwn takes it.
func (l *Library) transfer(ctx context.Context, op string, src, dst Key, plan func(tx *journal.Tx, own *Entry) (*Entry, error)) (made *Entry, err error) {
	var own *Entry
	for range 5 {
		var planErr error
		err := l.t.log.Update(ctx, op, func(tx *journal.Tx) error {
			made, planErr = plan(tx, own)
			return planErr
		})
		// After any other error a segment may refer to it.
		if own != nil && (err == nil && made.Object != own.Object || err != nil && err == planErr) {
			l.b.discard(ctx, own.Object)
		}
		if err == nil {
			return made, nil
		}
		if err != errInline {
			return nil, fault(err)
		}
		from, err := l.t.resolve(l.live(ctx), src)
		if err != nil {
			return nil, err
		}
		if own, err = l.ownObject(ctx, from, dst); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the source changes all the time", ErrUnavailable)
}

// ownObject stores the content of junk, which is to be at key, as an object, and returns
// what it is then. The caller discards the object if no row comes to refer to it.
func (l *Library) ownObject(ctx context.Context, junk *Entry, key Key) (*Entry, error) {
	if err := l.b.spaceFor(junk.Size); err != nil {
		return nil, err
	}
	sums, err := newSummer(bytes.NewReader(junk.Inline), int64(len(junk.Inline)), l.b.opt.MaxSize, nil)
	if err != nil {
		return nil, err
	}
	defer sums.close()
	own := clone(junk)
	_, own.Name = key.Split()
	if err := l.store(ctx, own, key, sums, l.b.opt.Now(), &PutOptions{Modified: junk.Modified, Type: junk.Type}); err != nil {
		return nil, err
	}
	own.Size, own.MD5, own.SHA256, own.CRC32C = sums.n, sums.hex("md5"), sums.hex("sha256"), sums.hex("crc32c")
	own.ETag = own.MD5
	return own, nil
}

// makeOwn gives e the object of own, if it is junk by its content and not by its name.
func makeOwn(e, own *Entry) error {
	if len(e.Inline) == 0 || Junk(e.Name) {
		return nil
	}
	if own == nil || !bytes.Equal(own.Inline, e.Inline) {
		return errInline
	}
	e.Inline, e.Object, e.logged = nil, own.Object, false
	e.Size, e.MD5, e.SHA256, e.CRC32C, e.ETag, e.Type = own.Size, own.MD5, own.SHA256, own.CRC32C, own.ETag, own.Type
	return nil
}
