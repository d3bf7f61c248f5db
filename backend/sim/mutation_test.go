package sim

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// A mutation is a broken world, in which the promises of the Library can not be kept: the
// bucket, the index or the face above the Library do what they must not. It is the negative
// control of the simulation, which must find each within the histories of TestMutations.
type mutation string

const (
	forgetRow    mutation = "the index forgets one row of a commit now and then"
	forgetCommit mutation = "the index says that it committed what it did not"
	tearCommit   mutation = "the index commits the first half and says that it was all"
	forgetJob    mutation = "the index forgets jobs"
	blindIndex   mutation = "the index that can not be read says that there is no row"
	shortScan    mutation = "the index leaves out the last row of a scan"
	answerEarly  mutation = "the log is answered for before it is stored"
	noFence      mutation = "the bucket lets a segment of the log be overwritten"
	loseSegment  mutation = "the bucket loses a segment of the log"
	loseOriginal mutation = "the bucket loses an original that it took"
	damage       mutation = "the bucket stores another byte"
	cutShort     mutation = "the bucket's answer ends early as if that were its end"
	noCondition  mutation = "the face forgets the conditions of a request"
	noOverwrite  mutation = "the face overwrites where it must not"
	noQuota      mutation = "the face forgets the quota"
	noMode       mutation = "the face forgets what an app password may not do"
	twice        mutation = "the face does a request twice"
	noTrash      mutation = "the face purges what it deletes"
)

var mutations = []mutation{
	forgetRow, forgetCommit, tearCommit, forgetJob, blindIndex, shortScan,
	answerEarly, noFence, loseSegment, loseOriginal, damage, cutShort,
	noCondition, noOverwrite, noQuota, noMode, twice, noTrash,
}

// within is how many histories a mutation may take to be found.
const within = 60

// TestMutations: what is broken is found.
func TestMutations(t *testing.T) {
	defer oneAtATime()()
	warm(t)
	for _, m := range mutations {
		t.Run(string(m), func(t *testing.T) {
			for seed := uint64(1); seed <= within; seed++ {
				if w := simulate(t, seed, variant{ops: 60, broken: m}, nil); w.bad != nil {
					why, _, _ := strings.Cut(w.bad.Error(), "\n")
					t.Logf("found by history %d: %.200s", seed, why)
					return
				}
			}
			t.Errorf("%d histories did not find it", within)
		})
	}
}

// is says whether the world is broken so.
func (w *world) is(m mutation) bool { return w.broken == m }

// strikes says, of a world that is broken so, whether it shows now.
func (w *world) strikes(m mutation, a *actor, permille int) bool {
	return w.broken == m && !a.calm && a.chance(permille)
}

// mutateCommit is what a commit becomes.
func (s *store) mutateCommit(a *actor, ops []kv.Op) []kv.Op {
	w := s.n.w
	switch {
	case w.strikes(forgetRow, a, 50):
		i := a.rng.IntN(len(ops))
		return append(append([]kv.Op(nil), ops[:i]...), ops[i+1:]...)
	case w.strikes(forgetCommit, a, 30):
		return nil
	case w.strikes(tearCommit, a, 20):
		return ops[:len(ops)/2]
	case w.is(forgetJob):
		var left []kv.Op
		for _, op := range ops {
			if !strings.HasPrefix(op.P, "j#") && !strings.HasPrefix(op.P, "ji#") || op.Kind == kv.Del {
				left = append(left, op)
			}
		}
		return left
	}
	return ops
}

// mutatePut is what becomes of storing an object. ok says that nothing is to be done.
func (b *bucket) mutatePut(a *actor, name string, d []byte, o *object.PutOptions) (_ []byte, ok bool) {
	w := b.n.w
	isLog, isOriginal := strings.HasPrefix(name, "v1/l/"), strings.HasPrefix(name, "v1/o/")
	switch {
	case isLog && w.strikes(answerEarly, a, 50):
		return d, true
	case isLog && w.is(noFence):
		o.CreateOnly = false
	case isOriginal && w.strikes(loseOriginal, a, 50):
		return d, true
	case isOriginal && len(d) > 0 && w.strikes(damage, a, 50):
		d = bytes.Clone(d)
		d[a.rng.IntN(len(d))] ^= 1
	}
	return d, false
}

// mutate is what the face makes of a request.
func (c *client) mutate(o *op) *op {
	m := *o
	switch {
	case c.w.is(noCondition):
		m.cond = backend.Conditions{}
	case c.w.is(noOverwrite):
		m.overwrite = true
	case c.w.is(noQuota):
		m.quota = nil
	case c.w.is(noMode):
		m.access = backend.ReadWrite
	}
	return &m
}

// mutateAfter is what the face does after a request that went well.
func (c *client) mutateAfter(ctx context.Context, o *op, err error) {
	switch {
	case err != nil:
	case c.w.is(twice) && (o.kind == "put" || o.kind == "copy") && o.broken == "":
		again := *o
		c.sendAs(ctx, &again)
	case c.w.is(noTrash) && o.kind == "delete":
		l, err := c.open(ctx, backend.Access{})
		if err == nil {
			_, err = l.EmptyTrash(ctx)
		}
		if err != nil && !errors.Is(err, backend.ErrUnavailable) {
			c.w.log(c.name, "mutation: %v", err)
		}
	}
}
