package backend

import (
	"context"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

func (l *Library) versions(ctx context.Context, ino Ino) ([]Version, error) {
	r := l.live(ctx)
	e, err := l.statIno(ctx, ino)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayRead, e.Key); err != nil {
		return nil, err
	}
	return l.t.versionsOf(r, e)
}

func (t *tree) versionsOf(r rows, e *Entry) ([]Version, error) {
	rows, _, err := r.Scan(versionPartition(t.uid, e.Ino), "", "", false, MaxVersions)
	if err != nil {
		return nil, err
	}
	var out []Version
	for _, row := range rows {
		v, err := decodeEntry("", e.Name, row.D)
		if err != nil {
			return nil, err
		}
		v.Key, v.Name = e.Key, e.Name
		at, err := fromInv(row.S)
		if err != nil {
			return nil, err
		}
		out = append(out, Version{Replaced: at, Entry: v})
	}
	return out, nil
}

// VersionsOf are earlier contents of e, newest first, also if it is in the trash. e came
// from this Library. An Access that may only read has none, as it sees nothing of the trash:
// what was replaced was taken out of its sight, and it may be from before e came there.
func (l *Library) VersionsOf(ctx context.Context, e *Entry) ([]Version, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayRead, e.Key); err != nil {
		return nil, err
	}
	if l.acc.Mode != ReadWrite {
		return nil, nil
	}
	return l.t.versionsOf(r, e)
}

func (l *Library) restoreVersion(ctx context.Context, ino Ino, replaced time.Time) (*Entry, error) {
	r := l.live(ctx)
	e, err := l.t.byIno(r, ino)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayChange, e.Key); err != nil {
		return nil, err
	}
	var made *Entry
	err = l.t.log.Update(ctx, "restore version", func(tx *journal.Tx) error {
		now, err := l.t.byIno(tx, ino)
		if err != nil {
			return err
		}
		k := kv.Key{P: versionPartition(l.t.uid, ino), S: inv(replaced)}
		row, err := tx.Get(k)
		if err != nil {
			return err
		}
		if row.V == 0 {
			return ErrNotExist
		}
		old, err := decodeEntry("", now.Name, row.D)
		if err != nil {
			return err
		}
		p, _, err := l.t.pointerOf(tx, ino)
		if err != nil {
			return err
		}
		w := l.writer(tx)
		w.forget(now)
		tx.Del(k)
		w.unref(old.Object, string(ino)+"@"+k.S)
		made = old
		made.Key, made.Name, made.Props, made.Created, made.Changed = now.Key, now.Name, now.Props, now.Created, l.b.opt.Now()
		if !made.Changed.After(now.Changed) {
			made.Changed = now.Changed.Add(time.Millisecond)
		}
		if now.Object != "" {
			w.keepVersion(now, made.Changed)
		} else { // its content is kept nowhere
			w.grow(-grownBy(now), 0)
		}
		w.put(&Entry{Ino: p.Dir}, made)
		l.lookAgain(tx, made)
		return w.err
	})
	if err != nil {
		return nil, fault(err)
	}
	if l.b.opt.Queue != nil {
		l.b.opt.Queue.Ring()
	}
	return made, nil
}
