package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// timelineMax is the largest page of the timeline.
const timelineMax = 500

// A page of the timeline looks at so many rows, or, as long as it has found nothing, at ten
// times as many: those of a deleted collection stay until the trash is emptied.
const timelineLooks = 5000

func (l *Library) timeline(ctx context.Context, cursor string, n int) (*TimelinePage, error) {
	r := l.live(ctx)
	top, err := l.top(r)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayList, top); err != nil {
		return nil, err
	}
	n = min(max(n, 1), timelineMax)
	page := new(TimelinePage)
	memo := make(map[Ino]*Key)
	from := ""
	if cursor != "" {
		from = cursor + "\x00"
	}
	for looked := 0; len(page.Items) < n && (looked < timelineLooks || len(page.Items) == 0 && looked < 10*timelineLooks); {
		rows, more, err := r.Scan("t#"+l.t.uid, from, "", false, min(n-len(page.Items), kv.MaxGet))
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			page.Next = ""
			break
		}
		entries, err := l.timelineEntries(ctx, r, rows, memo)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if top.Contains(e.Key) {
				page.Items = append(page.Items, e)
			}
		}
		looked += len(rows)
		page.Next = rows[len(rows)-1].S
		from = page.Next + "\x00"
		if !more {
			page.Next = ""
			break
		}
	}
	return page, nil
}

// timelineEntries reads the entries that timeline rows point at, in two reads for all of
// them. Rows of what is in the trash, or not at that time any more, are passed over.
func (l *Library) timelineEntries(ctx context.Context, r live, rows []kv.Row, memo map[Ino]*Key) ([]*Entry, error) {
	keys := make([]kv.Key, len(rows))
	for i, row := range rows {
		_, ino, _ := strings.Cut(row.S, "#")
		keys[i] = pointerKey(l.t.uid, Ino(ino))
	}
	pointers, err := l.b.x.Get(ctx, keys...)
	if err != nil {
		return nil, fault(fmt.Errorf("read index: %w", err))
	}
	keys = keys[:0]
	var at []pointer
	var dirs []Key
	var want []string
	for i, row := range pointers {
		if row.V == 0 {
			continue
		}
		var p pointer
		if err := json.Unmarshal(row.D, &p); err != nil {
			return nil, fmt.Errorf("back pointer: %w", err)
		}
		dir, ok, err := l.t.keyOf(r, p.Dir, memo)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		at = append(at, p)
		dirs = append(dirs, dir)
		want = append(want, rows[i].S)
		keys = append(keys, entryKey(l.t.uid, p.Dir, p.S))
	}
	if len(keys) == 0 {
		return nil, nil
	}
	found, err := l.b.x.Get(ctx, keys...)
	if err != nil {
		return nil, fault(fmt.Errorf("read index: %w", err))
	}
	var out []*Entry
	for i, row := range found {
		if row.V == 0 {
			continue
		}
		e, err := decodeEntry(dirs[i], at[i].S, row.D)
		if err != nil {
			return nil, err
		}
		if t, _ := e.CaptureTime(); timelineKey(l.t.uid, t, e.Ino).S == want[i] {
			out = append(out, e)
		}
	}
	return out, nil
}

// finish records what processing found (see Finish).
func (b *Backend) finish(ctx context.Context, uid string, results []Processed) error {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return err
	}
	// Results in one plan: entry, back pointer, reference, two of the timeline, two of the
	// job and one of the content are 8 rows each.
	const each = 10
	for len(results) > 0 {
		part := results[:min(each, len(results))]
		results = results[len(part):]
		var stale map[string][]string // by object: variants that were replaced
		err := t.log.Update(ctx, "processed", func(tx *journal.Tx) error {
			w := t.writer(tx)
			stale = make(map[string][]string)
			for _, p := range part {
				for _, op := range p.Done {
					tx.Local(op)
				}
				old, err := w.processed(p)
				if err != nil {
					return err
				}
				for _, name := range old {
					if !slices.Contains(p.Media.Variants, name) {
						stale[p.Object] = append(stale[p.Object], name)
					}
				}
			}
			return w.err
		})
		if err != nil {
			return fault(err)
		}
		for _, p := range part {
			b.opt.Spool.drop(p.Object)
		}
		for obj, names := range stale {
			if err := b.dropStale(ctx, t, obj, names); err != nil {
				b.log.Warn("variants of an old recipe stay", "op", "processed", "err", err)
			}
		}
	}
	return nil
}

// processed puts one result into the entry's row, wherever that is by now, also in the
// trash. It returns the variants that the entry had.
func (w *writer) processed(p Processed) (old []string, err error) {
	at, ok, err := w.t.pointerOf(w.tx, p.Ino)
	if err != nil || !ok {
		return nil, err
	}
	row, err := w.tx.Get(entryKey(w.t.uid, at.Dir, at.S))
	if err != nil || row.V == 0 {
		return nil, err
	}
	e, err := decodeEntry("", at.S, row.D)
	if err != nil {
		return nil, err
	}
	if e.Object != p.Object {
		return nil, nil
	}
	if old = e.Media.Variants; p.Media.NoPreview != "" && len(old) > 0 {
		// What was made before is better than nothing; another program may do better still.
		by := p.Media.By
		p.Media, old = e.Media, nil
		p.Media.By = by
	}
	if at.Dir != TrashIno {
		w.forget(e)
	}
	e.Media = p.Media
	e.Media.Processed = true
	if at.Dir == TrashIno { // its name there is its ino
		d, err := encodeEntry(e)
		if err != nil {
			return nil, err
		}
		w.tx.Put(entryKey(w.t.uid, at.Dir, at.S), d)
		return old, nil
	}
	w.put(&Entry{Ino: at.Dir}, e)
	if e.SHA256 != "" && len(e.Media.Variants) > 0 {
		w.tx.Local(kv.Op{Key: contentKey(w.t.uid, e.SHA256), D: []byte(e.Ino)})
	}
	return old, nil
}
