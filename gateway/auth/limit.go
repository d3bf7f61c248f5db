package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Failures are limited so that a client gone wild makes little noise; guessing
// 202 random bits is hopeless anyway. A right credential is never delayed: it is
// checked before anybody is counted.
const (
	failureBurst = 10
	failureEvery = 6 * time.Second
	maxBuckets   = 50_000
)

// limiter is a token bucket for each address and each key id that failed.
type limiter struct {
	now func() time.Time

	mu sync.Mutex
	m  map[string]time.Time // when the bucket will be full again
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, m: make(map[string]time.Time)}
}

// take takes a token from each bucket and says how long to wait for the next
// one if any has none left; 0 means all had.
func (l *limiter) take(buckets ...string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if wait := l.wait(now, buckets); wait > 0 {
		return wait
	}
	for _, b := range buckets {
		full := l.m[b]
		if full.Before(now) {
			full = now
		}
		if _, there := l.m[b]; !there && len(l.m) >= maxBuckets {
			l.shrink(now)
		}
		l.m[b] = full.Add(failureEvery)
	}
	return 0
}

// wait is how long it is until each bucket has a token.
func (l *limiter) wait(now time.Time, buckets []string) (wait time.Duration) {
	for _, b := range buckets {
		// An empty bucket takes failureBurst tokens' time to fill.
		if full := l.m[b]; full.After(now) {
			wait = max(wait, full.Sub(now)-(failureBurst-1)*failureEvery)
		}
	}
	return wait
}

// shrink drops full buckets, and if that is not enough, any.
func (l *limiter) shrink(now time.Time) {
	for b, full := range l.m {
		if !full.After(now) {
			delete(l.m, b)
		}
	}
	for b := range l.m {
		if len(l.m) < maxBuckets*3/4 {
			return
		}
		delete(l.m, b)
	}
}

// network is what an address is counted by: itself, or its /64.
func network(addr netip.Addr) string {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// Failed counts a credential that was refused and logs it, for fail2ban and the
// like, in a line of fixed form. key is the app password's id, or "" if none was
// named. If the result is positive there were too many: answer 429 with
// Retry-After (see TooMany).
func (a *Auth) Failed(r *http.Request, proto, key, reason string) (wait time.Duration) {
	addr := a.ClientAddr(r)
	buckets := []string{network(addr)}
	if key != "" {
		buckets = append(buckets, key)
	}
	if wait := a.failures.take(buckets...); wait > 0 {
		return wait
	}
	if key == "" {
		key = "-"
	}
	a.logFailure(r.Context(), addr, proto, key, reason)
	return 0
}

// logFailure writes "auth: failed ip=… proto=… key=… reason=…". The facts are in
// the message, too: its form does not depend on the log's handler.
func (a *Auth) logFailure(ctx context.Context, addr netip.Addr, proto, key, reason string) {
	a.log.LogAttrs(ctx, slog.LevelWarn, fmt.Sprintf("auth: failed ip=%s proto=%s key=%s reason=%s", addr, word(proto), word(key), word(reason)))
}

// word keeps what a client sent from looking like other parts of a log line.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), 32)]
}

// Succeeded notes the use of an app password.
func (a *Auth) Succeeded(r *http.Request, p *Principal, proto string) {
	if p.Key != "" {
		a.accounts.Touch(p.Key, proto, a.ClientAddr(r), r.UserAgent())
	}
}

// TooMany answers 429 (RFC 6585 §4).
func TooMany(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", RetryAfter(wait))
	http.Error(w, "Too many attempts with a wrong app password. Wait a little, then try again.", http.StatusTooManyRequests)
}

// RetryAfter is the header's value, in whole seconds.
func RetryAfter(wait time.Duration) string {
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}
