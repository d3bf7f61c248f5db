package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A refresh token may be good once, and a provider may take its second use for a theft
// and end the whole account. So before a node uses one it takes the lease on the proof.
// The row is onceKey("lease", uid NUL issuer NUL subject), leaseRow.
type leaseRow struct {
	V       int    `json:"v"`
	Expires int64  `json:"expires"` // as in onceRow: sweep removes both
	Holder  string `json:"holder"`
}

// LeaseProof lets nobody else, on any node, have the lease on a proof until end is called
// or life is over. It is the proof as it is once the lease is held: whoever had the lease
// before may have replaced the token. p is nil, and end not needed, if somebody else has
// the lease, or the proof is gone.
func (a *Accounts) LeaseProof(ctx context.Context, was *Proof, life time.Duration) (p *Proof, end func(), err error) {
	k := onceKey("lease", hash(was.UID+"\x00"+was.Issuer+"\x00"+was.Subject))
	var row leaseRow
	v, err := a.get(ctx, k, &row)
	if err != nil {
		return nil, nil, fmt.Errorf("lease a proof: %w", err)
	}
	now := a.now()
	if v != 0 && now.Before(when(row.Expires)) {
		return nil, nil, nil
	}
	row = leaseRow{1, millis(now.Add(life)), rand.Text()}
	op := kv.Op{Key: k, Kind: kv.Put, Cond: kv.Absent, D: encode(row)}
	if v != 0 {
		op.Cond, op.V = kv.At, v
	}
	err = a.x.Commit(ctx, []kv.Op{op})
	if errors.As(err, new(*kv.CondError)) || errors.Is(err, kv.ErrConflict) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lease a proof: %w", err)
	}
	end = func() { a.endLease(context.WithoutCancel(ctx), k, row.Holder) }
	list, err := a.Proofs(ctx, was.UID)
	for _, one := range list {
		if one.Issuer == was.Issuer && one.Subject == was.Subject {
			return one, end, nil
		}
	}
	end()
	return nil, nil, err
}

// endLease removes the lease if it is still the holder's. Should that fail, it runs out.
func (a *Accounts) endLease(ctx context.Context, k kv.Key, holder string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var row leaseRow
	v, err := a.get(ctx, k, &row)
	if err == nil && v != 0 && row.Holder == holder {
		err = a.x.Commit(ctx, []kv.Op{{Key: k, Kind: kv.Del, Cond: kv.At, V: v}})
	}
	if err != nil {
		a.opt.Logger.WarnContext(ctx, "the lease on a proof stays until it runs out", "err", err)
	}
}
