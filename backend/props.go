package backend

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// maxProp is the largest value of a dead property in bytes.
const maxProp = 4 << 10

// propRow is the data of a dead property's row; its S is "<namespace> <name>", which no
// other pair of the two can have, since a name has no blank.
type propRow struct {
	Space string `json:"ns,omitempty"`
	Local string `json:"n"`
	Lang  string `json:"lang,omitempty"`
	Inner string `json:"x,omitempty"`
}

func propKey(uid string, ino Ino, n xml.Name) kv.Key {
	return kv.Key{P: propPartition(uid, ino), S: n.Space + " " + n.Local}
}

func (l *Library) props(ctx context.Context, e *Entry) ([]Prop, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayLook, e.Key); err != nil {
		return nil, err
	}
	if !e.Props {
		return nil, nil
	}
	rows, _, err := r.Scan(propPartition(l.t.uid, e.Ino), "", "", false, MaxProps)
	if err != nil {
		return nil, err
	}
	var out []Prop
	for _, row := range rows {
		var d propRow
		if err := json.Unmarshal(row.D, &d); err != nil {
			return nil, fmt.Errorf("property row: %w", err)
		}
		out = append(out, Prop{Name: xml.Name{Space: d.Space, Local: d.Local}, Lang: d.Lang, Inner: []byte(d.Inner)})
	}
	return out, nil
}

func (l *Library) setProps(ctx context.Context, key Key, p PropPatch, c Conditions) (*Entry, error) {
	return l.amend(ctx, "props", key, func(tx *journal.Tx, e *Entry) error {
		if err := c.check(e); err != nil {
			return err
		}
		if len(p.Set)+len(p.Remove) > MaxProps {
			return fmt.Errorf("%w: at most %d properties", ErrTooLarge, MaxProps)
		}
		for _, n := range p.Remove {
			tx.Del(propKey(l.t.uid, e.Ino, n))
		}
		for _, s := range p.Set {
			if len(s.Inner) > maxProp || len(s.Name.Space)+len(s.Name.Local) > 512 {
				return fmt.Errorf("%w: a property has at most %d bytes", ErrTooLarge, maxProp)
			}
			d, err := marshal(propRow{s.Name.Space, s.Name.Local, s.Lang, string(s.Inner)})
			if err != nil {
				return err
			}
			k := propKey(l.t.uid, e.Ino, s.Name)
			if junkRow(e) {
				tx.Local(kv.Op{Key: k, D: d})
			} else {
				tx.Put(k, d)
			}
		}
		rows, _, err := tx.Scan(propPartition(l.t.uid, e.Ino), "", "", false, MaxProps+1)
		if err != nil {
			return err
		}
		if len(rows) > MaxProps {
			return fmt.Errorf("%w: at most %d properties", ErrTooLarge, MaxProps)
		}
		e.Props = len(rows) > 0
		if p.Modified != nil {
			e.Modified = *p.Modified
		}
		if p.Created != nil {
			e.Created = *p.Created
		}
		return nil
	})
}
