package backend

import (
	"context"
	"encoding/json"
	"fmt"
)

func marshal(v any) ([]byte, error) {
	d, err := json.Marshal(v)
	if err != nil {
		err = fmt.Errorf("backend: internal error: %w", err)
	}
	return d, err
}

func (t *tree) readUsage(r rows) (usageRow, error) {
	var u usageRow
	row, err := r.Get(usageKey(t.uid))
	if err != nil || row.V == 0 {
		return u, err
	}
	if err := json.Unmarshal(row.D, &u); err != nil {
		return u, fmt.Errorf("usage row: %w", err)
	}
	return u, nil
}

func (l *Library) usage(ctx context.Context) (Usage, error) {
	u, err := l.t.readUsage(l.live(ctx))
	return Usage{Bytes: u.Bytes, Files: u.Files, Quota: l.acc.Quota, QuotaFiles: l.acc.QuotaFiles}, err
}
