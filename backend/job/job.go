// Package job is the durable queue: work that must happen at least once after a
// commit, kept as rows of the same store and so queued in the same commit.
//
// # Rows
//
//	P           S                         data
//	j#<uid>     <due, 13 digits>#<id>     a job that is queued or running
//	jd#<uid>    <died, 13 digits>#<id>    a job that was given up
//	ji#<id>     -                         where the job's row is
//	ju          <uid>                     a user who has jobs, or had: it stays
//
// Times are milliseconds since 1970. Each user has a partition, so that the jobs of
// one's bulk upload lie beside, not before, those of others, however many. A
// job row is a version byte, 1, and JSON (type record); an index row is a
// version byte, 1, a byte q or d for queued or dead, the user, '#', and the sort
// key of the job row. A row of ju is a version byte, 1.
//
// The index row is the truth: there is at most one a job, everything that
// happens to a job is conditional on its version, and a job row that it does not
// point at is a left-over, which Claim removes. A lease is nothing but a due
// time in the future: when the worker dies, the job falls due again.
//
// A job may run more than once, but not twice at a time as long as workers keep
// their leases, so what it does must be idempotent: results go under names that
// follow from the job.
package job

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

var (
	// ErrLost says that the lease is no longer the caller's: it ran out and
	// another took the job, or the job is done.
	ErrLost = errors.New("job: lease was lost")
	// ErrNotExist says that there is no such job.
	ErrNotExist = errors.New("job: does not exist")
)

// A Job is work to be done for one object.
type Job struct {
	ID     string // follows from Kind, Object and Recipe; set by the queue
	Kind   string // what is to be done, as "variants"
	UID    string // whose library; not "", without '#'
	Ino    string // the entry
	Object string // the name of the object in the bucket
	Recipe string // which version of the work, or ""

	Attempts  int       // claims so far; in a Lease, this one too
	Due       time.Time // when it may be claimed (again); ms
	Queued    time.Time // when it came into the queue; ms
	LastError string    // of the attempt before, at most 500 bytes

	// Of a job that works in steps, see Continue: where it is, and how far that is, for
	// people.
	Cursor, Note string
}

// ID is the name of the job that does kind to object by recipe.
func ID(kind, object, recipe string) string {
	h := sha256.New()
	for _, s := range []string{kind, object, recipe} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return strings.ToLower(idEncoding.EncodeToString(h.Sum(nil)[:15])) // 24 characters
}

var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// A Lease is a job that the caller may work on until Due.
type Lease struct {
	Job
	// Spent says that the job was claimed Options.MaxAttempts times before, and that
	// each time its worker ended without a result. The caller should not do it again,
	// but Fail it: what kills the worker would do so again.
	Spent bool
	Last  bool // Fail gives the job up: it has no attempt left

	sort string // of the job row
	v    uint64 // of the index row
}

// Options adjusts a Queue. The zero value, and nil, are ready for use.
type Options struct {
	Logger      *slog.Logger     // nil means slog.DiscardHandler
	Now         func() time.Time // nil means time.Now
	Lease       time.Duration    // how long a claim lasts; 0 means 2 minutes
	MaxAttempts int              // claims before a job is given up; 0 means 6
	// Backoff is how long to wait after the nth failed attempt; n ≥ 1, at most an hour.
	// nil means 1 s, 2 s, 4 s … 10 minutes, less up to a quarter at random.
	Backoff func(n int) time.Duration
}

// A Queue is a view of the jobs in a store. Any number of queues, in any number
// of processes, may work on one store. Its methods may be called at once from
// several goroutines.
type Queue struct {
	store       kv.Store
	log         *slog.Logger
	now         func() time.Time
	lease       time.Duration
	maxAttempts int
	backoff     func(int) time.Duration

	claim sync.Mutex // one Claim at a time: more would fight for the same jobs

	mu     sync.Mutex
	bell   chan struct{}    // closed by Ring
	turn   uint64           // jobs handed out
	looked time.Time        // when those of ju were last read by lively
	lines  map[string]*line // by user
}

// New makes a queue over store.
func New(store kv.Store, opt *Options) *Queue {
	if opt == nil {
		opt = new(Options)
	}
	q := &Queue{
		store:       store,
		log:         opt.Logger,
		now:         opt.Now,
		lease:       opt.Lease,
		maxAttempts: opt.MaxAttempts,
		backoff:     opt.Backoff,
		bell:        make(chan struct{}),
		lines:       make(map[string]*line),
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	if q.now == nil {
		q.now = time.Now
	}
	if q.lease <= 0 {
		q.lease = 2 * time.Minute
	}
	if q.maxAttempts <= 0 {
		q.maxAttempts = 6
	}
	if q.backoff == nil {
		q.backoff = backoff
	}
	return q
}

const maxBackoff = 10 * time.Minute

func backoff(n int) time.Duration {
	d := maxBackoff
	if n <= 10 {
		d = min(d, time.Second<<max(n-1, 0))
	}
	return d - rand.N(d/4)
}

// record is the data of a job row, as JSON after the version byte.
type record struct {
	Kind     string `json:"k"`
	UID      string `json:"u,omitempty"`
	Ino      string `json:"i,omitempty"`
	Object   string `json:"o,omitempty"`
	Recipe   string `json:"r,omitempty"`
	Attempts int    `json:"a,omitempty"`
	Leased   bool   `json:"l,omitempty"`
	Queued   int64  `json:"q"` // ms
	Error    string `json:"e,omitempty"`
	Cursor   string `json:"c,omitempty"`
	Note     string `json:"n,omitempty"`
}

const formatVersion = 1

func encode(j Job, leased bool) []byte {
	d, err := json.Marshal(record{
		Kind: j.Kind, UID: j.UID, Ino: j.Ino, Object: j.Object, Recipe: j.Recipe,
		Attempts: j.Attempts, Leased: leased, Queued: j.Queued.UnixMilli(), Error: j.LastError,
		Cursor: j.Cursor, Note: j.Note,
	})
	if err != nil {
		panic("job: internal error: " + err.Error())
	}
	return append([]byte{formatVersion}, d...)
}

// decode reads a row of j# or jd#.
func decode(r kv.Row) (j Job, leased bool, err error) {
	ms, id, ok := strings.Cut(r.S, "#")
	due, err := strconv.ParseInt(ms, 10, 64)
	if !ok || err != nil || len(r.D) == 0 || r.D[0] != formatVersion {
		return Job{}, false, errors.New("job: row has no known form")
	}
	var rec record
	if err := json.Unmarshal(r.D[1:], &rec); err != nil {
		return Job{}, false, fmt.Errorf("job: read row: %w", err)
	}
	return Job{
		ID: id, Kind: rec.Kind, UID: rec.UID, Ino: rec.Ino, Object: rec.Object, Recipe: rec.Recipe,
		Attempts: rec.Attempts, Due: time.UnixMilli(due), Queued: time.UnixMilli(rec.Queued), LastError: rec.Error,
		Cursor: rec.Cursor, Note: rec.Note,
	}, rec.Leased, nil
}

// States of a job, as its index row says.
const (
	queued = 'q'
	dead   = 'd'
)

func partition(state byte, uid string) string {
	if state == dead {
		return "jd#" + uid
	}
	return "j#" + uid
}

// sortKey is the sort key of a job at t; sortTime, that of no job, before it.
func sortKey(t time.Time, id string) string { return sortTime(t) + "#" + id }

func sortTime(t time.Time) string {
	return fmt.Sprintf("%013d", min(max(t.UnixMilli(), 0), 9_999_999_999_999))
}

func indexKey(id string) kv.Key { return kv.Key{P: "ji#" + id, S: "-"} }

func userKey(uid string) kv.Key { return kv.Key{P: "ju", S: uid} }

// A place is where a job's row is, or is to be.
type place struct {
	state byte
	uid   string
	sort  string
}

func (p place) key() kv.Key { return kv.Key{P: partition(p.state, p.uid), S: p.sort} }

// id is that of the job.
func (p place) id() string {
	_, id, _ := strings.Cut(p.sort, "#")
	return id
}

func (p place) encode() []byte {
	return fmt.Appendf([]byte{formatVersion, p.state}, "%s#%s", p.uid, p.sort)
}

// decodePlace reads an index row.
func decodePlace(d []byte) (p place, err error) {
	if len(d) < 2 || d[0] != formatVersion {
		return p, errors.New("job: index row has no known form")
	}
	p.state = d[1]
	p.uid, p.sort, _ = strings.Cut(string(d[2:]), "#")
	return p, nil
}

// move are the operations that take a job from one place to another and write
// it there. They fail unless the index row has version v.
func move(j Job, leased bool, from, to place, v uint64) []kv.Op {
	ops := []kv.Op{
		{Key: indexKey(j.ID), Kind: kv.Put, Cond: kv.At, V: v, D: to.encode()},
		{Key: to.key(), Kind: kv.Put, D: encode(j, leased)},
	}
	if from != to {
		ops = append(ops, kv.Op{Key: from.key(), Kind: kv.Del})
	}
	return ops
}
