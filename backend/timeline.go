package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// timelineMax is the largest page of the timeline.
const timelineMax = 500

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
	for len(page.Items) < n {
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
	var want []string
	for i, row := range pointers {
		if row.V == 0 {
			continue
		}
		var p pointer
		if err := json.Unmarshal(row.D, &p); err != nil {
			return nil, fmt.Errorf("back pointer: %w", err)
		}
		at = append(at, p)
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
		dir, ok, err := l.t.keyOf(r, at[i].Dir, memo)
		if err != nil {
			return nil, err
		}
		if row.V == 0 || !ok {
			continue
		}
		e, err := decodeEntry(dir, at[i].S, row.D)
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
	// Results in one plan: entry, back pointer, reference, two of the timeline and two of
	// the job are 7 rows each.
	const each = 10
	for len(results) > 0 {
		part := results[:min(each, len(results))]
		results = results[len(part):]
		err := t.log.Update(ctx, "processed", func(tx *journal.Tx) error {
			w := t.writer(tx)
			for _, p := range part {
				for _, op := range p.Done {
					tx.Local(op)
				}
				if err := w.processed(p); err != nil {
					return err
				}
			}
			return w.err
		})
		if err != nil {
			return fault(err)
		}
	}
	return nil
}

// processed puts one result into the entry's row, wherever that is by now, also in the
// trash.
func (w *writer) processed(p Processed) error {
	at, ok, err := w.t.pointerOf(w.tx, p.Ino)
	if err != nil || !ok {
		return err
	}
	row, err := w.tx.Get(entryKey(w.t.uid, at.Dir, at.S))
	if err != nil || row.V == 0 {
		return err
	}
	e, err := decodeEntry("", at.S, row.D)
	if err != nil {
		return err
	}
	if e.Object != p.Object {
		return nil
	}
	if at.Dir != TrashIno {
		w.forget(e)
	}
	e.Media = p.Media
	e.Media.Processed = true
	if at.Dir == TrashIno { // its name there is its ino
		d, err := encodeEntry(e)
		if err != nil {
			return err
		}
		w.tx.Put(entryKey(w.t.uid, at.Dir, at.S), d)
		return nil
	}
	w.put(&Entry{Ino: at.Dir}, e)
	return nil
}
