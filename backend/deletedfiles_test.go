package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"
)

// DeletedFiles is what ListDeleted is compared with: it yields the files in the trash that were in a library, those in deleted
// collections too, each with the key that it had and the time when it, or the collection,
// was deleted. Their order is not that of their keys; the whole trash is looked through. A
// Cursor of "" says that the file went with a collection above it, and can not be restored
// but with that. As with Trash, who may only read sees none of it: what was deleted is not
// to be shown on a picture frame. An error comes alone and last.
func (l *Library) DeletedFiles(ctx context.Context, library Key) iter.Seq2[Trashed, error] {
	return func(yield func(Trashed, error) bool) {
		if err := l.deletedFiles(ctx, library, func(d Trashed) bool { return yield(d, nil) }); err != nil {
			yield(Trashed{}, err)
		}
	}
}

func (l *Library) deletedFiles(ctx context.Context, library Key, yield func(Trashed) bool) error {
	r := l.live(ctx)
	if err := l.allow(r, mayList, library); err != nil {
		return err
	}
	if l.acc.Mode != ReadWrite {
		return nil
	}
	top, err := l.top(r)
	if err != nil {
		return err
	}
	stopped := false
	var walk func(e *Entry, d Trashed) error
	walk = func(e *Entry, d Trashed) error {
		if !e.Dir {
			if d.Entry = e; top == "" || top.Contains(e.Key) {
				stopped = !yield(d)
			}
			return nil
		}
		if !l.visible(top, e.Key) {
			return nil
		}
		d.Cursor = ""
		for m, err := range l.t.membersOf(r, e) {
			if err == nil {
				err = walk(m, d)
			}
			if err != nil || stopped {
				return err
			}
		}
		return nil
	}
	for from, more := "", true; more; {
		rows, m, err := r.Scan("r#"+l.t.uid, from, "", false, scanPage)
		if err != nil {
			return err
		}
		more = m
		for _, row := range rows {
			from = row.S + "\x00"
			var was trashed
			if err := json.Unmarshal(row.D, &was); err != nil {
				return fmt.Errorf("trash row: %w", err)
			}
			if lib, _ := Key(was.Key).Library(); was.Purge || !Key(lib).Same(library) {
				continue
			}
			_, ino, _ := strings.Cut(row.S, "#")
			e, err := l.t.trashedEntry(r, Ino(ino), was)
			if err == ErrNotExist { // restored or removed meanwhile
				continue
			}
			if err == nil {
				err = walk(e, Trashed{Deleted: time.UnixMilli(was.T).UTC(), Cursor: row.S})
			}
			if err != nil || stopped {
				return err
			}
		}
	}
	return nil
}
