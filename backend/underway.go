package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// An UnderWay is an upload under way, as a person is told of it.
type UnderWay struct {
	Upload
	Chunked bool   // it was opened by OpenChunked: Key may be "" until it is finished
	By      string // who began it: Access.By
	Parts   int
	Bytes   int64     // that have arrived
	Last    time.Time // when the last of them arrived; Created if none has
}

// UploadsUnderWay are the user's uploads into what this Access sees, the one that was
// active last first. Uploads that nobody goes on with are dropped after Options.UploadAge.
func (l *Library) UploadsUnderWay(ctx context.Context) ([]UnderWay, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayList, ""); err != nil {
		return nil, err
	}
	top, err := l.top(r)
	if err != nil {
		return nil, err
	}
	rows, _, err := r.Scan("m#"+l.t.uid, "", "", false, 0)
	if err != nil {
		return nil, err
	}
	var out []UnderWay
	for _, row := range rows {
		var u uploadRow
		if err := json.Unmarshal(row.D, &u); err != nil {
			return nil, fmt.Errorf("upload row: %w", err)
		}
		if u.Done != "" || !l.visible(top, Key(u.Key)) {
			continue
		}
		one := UnderWay{Upload: *u.public(row.S), By: u.By}
		if err := l.measure(r, &one); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Last.After(out[j].Last) })
	return out, nil
}

// measure counts what has arrived of an upload.
func (l *Library) measure(r rows, u *UnderWay) error {
	begun, err := r.Get(begunKey(l.t.uid, u.ID))
	if err != nil {
		return err
	}
	u.Chunked, u.Last = begun.V != 0, u.Created
	for from, more := "0", true; more; { // what is before it is not a part
		var rows []kv.Row
		if rows, more, err = r.Scan(partKey(l.t.uid, u.ID, 0).P, from, "", false, 1000); err != nil {
			return err
		}
		for _, row := range rows {
			p, _, err := decodePart(row)
			if err != nil {
				return err
			}
			u.Parts++
			u.Bytes += p.Size
			if at := time.UnixMilli(p.T).UTC(); at.After(u.Last) {
				u.Last = at
			}
			from = row.S + "\x00"
		}
	}
	return nil
}

// Abort is AbortUpload or AbortChunked, whichever the upload needs. ErrNoUpload.
func (l *Library) Abort(ctx context.Context, id string) error {
	if _, err := l.upload(ctx, id); err != nil {
		return err
	}
	begun, err := l.live(ctx).Get(begunKey(l.t.uid, id))
	if err != nil {
		return err
	}
	if begun.V != 0 {
		return l.abortChunked(ctx, id)
	}
	return l.abortUpload(ctx, id)
}
