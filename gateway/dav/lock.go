package dav

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// LOCK is answered here, not by the package. That would take the lock before
// there is an entry to hold it, refresh without a look at the path, tell the lock
// root without prefix or escapes, and answer 500 where a parent is missing.

const (
	defaultTimeout = 10 * time.Minute
	maxTimeout     = time.Hour
	maxOwner       = 4 << 10 // bytes
)

// parseTimeout reads the Timeout header (RFC 4918 §10.7). Locks always expire, and
// clients refresh them, so what is longer, or infinite, is cut.
func parseTimeout(s string) time.Duration {
	for t := range strings.SplitSeq(s, ",") {
		t = strings.ToLower(strings.TrimSpace(t))
		if t == "infinite" {
			return maxTimeout
		}
		digits, ok := strings.CutPrefix(t, "second-")
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n > uint64(maxTimeout/time.Second) {
			return maxTimeout
		}
		return max(time.Duration(n)*time.Second, time.Second)
	}
	return defaultTimeout
}

func (q *request) lock() error {
	timeout := parseTimeout(q.r.Header.Get("Timeout"))
	info, err := q.readXML()
	if err != nil {
		return err
	}
	if info == nil {
		return q.refresh(timeout)
	}
	if info.name != dav("lockinfo") {
		return errXML
	}
	scope, kind := info.child(dav("lockscope")), info.child(dav("locktype"))
	if scope == nil || kind == nil {
		return errXML
	}
	shared := scope.child(dav("shared")) != nil
	if shared == (scope.child(dav("exclusive")) != nil) || kind.child(dav("write")) == nil {
		return refuse(http.StatusNotImplemented, "Locks are write locks, exclusive or shared.")
	}
	infinite := true // RFC 4918 §9.10.3
	switch strings.ToLower(q.r.Header.Get("Depth")) {
	case "", "infinity":
	case "0":
		infinite = false
	default:
		return refuse(http.StatusBadRequest, "A lock's Depth is 0 or infinity.")
	}
	var owner []byte
	if o := info.child(dav("owner")); o != nil {
		if owner = o.appendInner(nil); len(owner) > maxOwner {
			return errXML
		}
	}
	if err := q.watch(); err != nil {
		return err
	}
	e, err := q.lookup()
	if err != nil && !missing(err) {
		return err
	}
	if err := check(q.cond, e); err != nil {
		return err
	}
	if err := q.unlocked(infinite, shared); err != nil {
		return err
	}
	if e == nil {
		if err := q.reserve(); err != nil {
			return err
		}
	}
	take := q.lib.Lock
	if shared {
		take = q.lib.LockShared
	}
	l, err := take(q.ctx, q.key, infinite, string(owner), q.principal.By(), timeout)
	if err != nil {
		if q.created {
			// Nobody has seen it yet, but if somebody has, it is in the trash.
			q.lib.Delete(q.commitContext(), q.key, &backend.DeleteOptions{Conditions: backend.Conditions{IfMatch: []string{q.entry.ETag}}})
		}
		if errors.Is(err, backend.ErrLocked) {
			if met := q.unlocked(infinite, shared); met != nil {
				return met
			}
		}
		return err
	}
	q.w.Header().Set("Lock-Token", "<"+l.Token+">")
	return q.discover(l)
}

// unlocked says whether nobody else's lock is in the way of one on the request's
// key. The Library is asked again when it gives the lock; this one names the roots.
func (q *request) unlocked(below, shared bool) error {
	locks, err := q.lib.Locks(q.ctx, q.key, below)
	if err != nil || len(locks) == 0 {
		return err
	}
	met := &lockedError{conflict: true}
	for _, l := range locks {
		if !shared || !l.Shared {
			met.roots = append(met.roots, q.href(l.Key, false))
		}
	}
	if met.roots == nil {
		return nil
	}
	return met
}

// reserve makes the empty file that a LOCK of a free name asks for (RFC 4918 §7.3).
func (q *request) reserve() (err error) {
	q.guard.protect = []protected{{key: q.key, member: true}}
	if err := q.allowed(q.ctx); err != nil {
		return err
	}
	if dir, _ := q.key.Split(); dir == "" {
		return backend.ErrTopLevel
	}
	c := q.confirm(backend.Conditions{IfNoneMatch: []string{"*"}})
	q.entry, q.created, err = q.lib.Put(q.ctx, q.key, eof{}, 0, &backend.PutOptions{Conditions: c, ByLock: true})
	if errors.Is(err, backend.ErrPrecondition) {
		if _, again := q.lib.Stat(q.ctx, q.key); again == nil {
			return nil // somebody was faster; then it is a lock on what they made
		}
	}
	return err
}

// refresh sets a lock's expiry anew. The If header names it, and it must cover the
// request's path (RFC 4918 §9.10.2).
func (q *request) refresh(timeout time.Duration) error {
	if err := q.watch(); err != nil {
		return err
	}
	if len(q.guard.tokens) == 0 {
		return refuse(http.StatusBadRequest, "A LOCK without a body refreshes the lock that its If header names; it names none.")
	}
	var err error
	for _, token := range q.guard.tokens {
		var l backend.Lock
		if l, err = q.lib.RefreshLock(q.ctx, q.key, token, timeout); err == nil {
			return q.discover(l)
		}
		if !errors.Is(err, backend.ErrNoLock) {
			break
		}
	}
	return err
}

// discover answers with the lock.
func (q *request) discover(l backend.Lock) error {
	b := []byte(xmlHeader + `<D:prop xmlns:D="DAV:"><D:lockdiscovery>`)
	b = q.appendLock(b, &l)
	b = append(b, "</D:lockdiscovery></D:prop>\n"...)
	h := q.w.Header()
	h.Set("Content-Type", xmlType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	code := http.StatusOK
	if q.created {
		code = http.StatusCreated
	}
	q.w.WriteHeader(code)
	q.w.Write(b)
	return nil
}

// appendLock appends an activelock (RFC 4918 §14.1).
func (q *request) appendLock(dst []byte, l *backend.Lock) []byte {
	depth := "0"
	if l.Infinite {
		depth = "infinity"
	}
	left := max(int64(l.Expires.Sub(q.opt.Now())+time.Second-1)/int64(time.Second), 1)
	dst = append(dst, "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope>"...)
	if l.Shared {
		dst = append(dst, "<D:shared/>"...)
	} else {
		dst = append(dst, "<D:exclusive/>"...)
	}
	dst = append(dst, "</D:lockscope><D:depth>"...)
	dst = append(dst, depth...)
	dst = append(dst, "</D:depth>"...)
	if l.Owner != "" {
		dst = append(dst, "<D:owner>"...)
		dst = append(dst, l.Owner...)
		dst = append(dst, "</D:owner>"...)
	}
	dst = append(dst, "<D:timeout>Second-"...)
	dst = strconv.AppendInt(dst, left, 10)
	dst = append(dst, "</D:timeout><D:locktoken><D:href>"...)
	dst = appendText(dst, l.Token)
	dst = append(dst, "</D:href></D:locktoken><D:lockroot><D:href>"...)
	dst = append(dst, q.href(l.Key, false)...)
	return append(dst, "</D:href></D:lockroot></D:activelock>"...)
}
