package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// doneAge is how long an upload that was completed is remembered.
const doneAge = 24 * time.Hour

// forgottenAtOnce is how many uploads that were completed one plan forgets.
const forgottenAtOnce = journal.MaxPlanRows / 2

// expireUploads forgets uploads of which nothing has come for Options.UploadAge, and those
// done a day ago.
func (b *Backend) expireUploads(ctx context.Context, t *tree) error {
	defer t.uploads.recount()
	r := live{ctx, b.x}
	l := &Library{b: b, t: t}
	now := b.opt.Now()
	for from, more := "", true; more; {
		rows, m, err := r.Scan("m#"+t.uid, from, "", false, scanPage)
		if err != nil {
			return err
		}
		more = m
		var done []string
		for _, row := range rows {
			from = row.S + "\x00"
			var u uploadRow
			if err := json.Unmarshal(row.D, &u); err != nil {
				return fmt.Errorf("upload row: %w", err)
			}
			one := UnderWay{Upload: *u.public(row.S)}
			switch {
			case u.Done != "":
				if b.forgettable(&u, now) {
					done = append(done, row.S)
				}
				continue
			case now.Sub(one.Created) < b.opt.UploadAge:
				continue
			}
			if err := l.measure(r, &one); err != nil {
				return err
			}
			if now.Sub(one.Last) < b.opt.UploadAge { // slow, and alive
				continue
			}
			if err := b.expireUpload(ctx, t, row.S, &u); err != nil {
				return err
			}
		}
		for ids := range slices.Chunk(done, forgottenAtOnce) {
			if err := b.forgetUploads(ctx, t, ids, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgettable says whether a completed upload was remembered for long enough.
func (b *Backend) forgettable(u *uploadRow, now time.Time) bool {
	at := time.UnixMilli(u.DoneAt)
	if u.DoneAt == 0 { // by a Shoebox of before: it was not older than this
		at = time.UnixMilli(u.Created).Add(b.opt.UploadAge)
	}
	return now.Sub(at) >= doneAge
}

// forgetUploads removes the rows of completed uploads.
func (b *Backend) forgetUploads(ctx context.Context, t *tree, ids []string, now time.Time) error {
	var gone []string
	err := t.log.Update(ctx, "expire", func(tx *journal.Tx) error {
		gone = nil
		for _, id := range ids {
			u, err := t.readUpload(tx, id, true)
			if err == ErrNoUpload || err == nil && (u.Done == "" || !b.forgettable(u, now)) { // begun anew
				continue
			}
			if err != nil {
				return err
			}
			tx.Del(uploadKey(t.uid, id))
			gone = append(gone, id)
		}
		return nil
	})
	for _, id := range gone {
		if err != nil {
			break
		}
		err = b.dropParts(ctx, t.uid, id)
	}
	return err
}

// expireUpload forgets an upload that was abandoned.
func (b *Backend) expireUpload(ctx context.Context, t *tree, id string, u *uploadRow) error {
	var gone, unused bool
	err := t.log.Update(ctx, "expire", func(tx *journal.Tx) error {
		gone = false
		is, err := t.readUpload(tx, id, false)
		if err == ErrNoUpload || err == nil && is.Object != u.Object { // ended meanwhile, and begun anew
			return nil
		}
		if err != nil {
			return err
		}
		gone = true
		tx.Del(uploadKey(t.uid, id))
		unused, err = t.unused(tx, object.ULIDOf(u.Object))
		return err
	})
	if err != nil || !gone {
		return err
	}
	t.uploads.end(id)
	b.abort(ctx, u)
	if unused { // and never to be used: it was completed, and the commit never made
		b.discard(ctx, u.Object)
	}
	if err := b.dropOwn(ctx, t.uid, id); err != nil {
		return err
	}
	return b.dropParts(ctx, t.uid, id)
}

// dropOwn deletes the objects of the small chunks of an upload that was abandoned.
func (b *Backend) dropOwn(ctx context.Context, uid, id string) error {
	parts, _, err := b.x.Scan(ctx, partKey(uid, id, 0).P, "", "", false, 0)
	if err != nil {
		return err
	}
	for _, row := range parts {
		var p partRow
		if err := json.Unmarshal(row.D, &p); err != nil {
			return fmt.Errorf("part row: %w", err)
		}
		b.discard(ctx, p.Own)
	}
	return nil
}
