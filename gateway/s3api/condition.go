package s3api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// conditions are If-Match and If-None-Match, for a write.
func (q *request) conditions() backend.Conditions {
	return backend.Conditions{
		IfMatch:     etags(q.r.Header.Get("If-Match")),
		IfNoneMatch: etags(q.r.Header.Get("If-None-Match")),
	}
}

// etags takes a list of entity tags apart; they may be bare, as some clients send
// them. Weakness is passed over: all of ours are strong.
func etags(list string) []string {
	var tags []string
	for t := range strings.SplitSeq(list, ",") {
		t = strings.TrimPrefix(strings.TrimSpace(t), "W/")
		if t = strings.Trim(t, `"`); t != "" {
			tags = append(tags, t)
		}
	}
	return tags
}

// holds evaluates the conditions of a read against an entry, in the order of RFC
// 9110 §13.2.2. header gets a condition's value by its plain name, so that the
// ones of a copy source can be asked as well.
func holds(e *backend.Entry, header func(name string) string) (status int) {
	modified := e.Modified.Truncate(time.Second)
	match := func(list string) bool {
		for _, t := range etags(list) {
			if t == "*" || t == etagOf(e) {
				return true
			}
		}
		return false
	}
	since := func(name string) (time.Time, bool) {
		t, err := http.ParseTime(header(name))
		return t, err == nil
	}
	if v := header("If-Match"); v != "" {
		if !match(v) {
			return http.StatusPreconditionFailed
		}
	} else if t, ok := since("If-Unmodified-Since"); ok && modified.After(t) {
		return http.StatusPreconditionFailed
	}
	if v := header("If-None-Match"); v != "" {
		if match(v) {
			return http.StatusNotModified
		}
	} else if t, ok := since("If-Modified-Since"); ok && !modified.After(t) {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// A span is a range of bytes.
type span struct{ off, n int64 }

// parseRange reads a Range header for an object of size bytes. ok is false if the
// whole object is to be sent: also for units that are not known, malformed ranges
// and several of them at once (RFC 9110 §14.2 allows it, S3 does it).
func parseRange(header string, size int64) (s span, ok bool, err error) {
	unit, spec, _ := strings.Cut(header, "=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !strings.EqualFold(unit, "bytes") || !dash || strings.Contains(spec, ",") {
		return s, false, nil
	}
	number := func(v string) (int64, bool) {
		n, err := strconv.ParseUint(v, 10, 63)
		return int64(n), err == nil
	}
	unsatisfiable := refuse("InvalidRange", "The range lies beyond the object.")
	unsatisfiable.head = map[string]string{"Content-Range": fmt.Sprintf("bytes */%d", size)}
	if first == "" {
		n, ok := number(last)
		if !ok {
			return s, false, nil
		}
		if n == 0 || size == 0 {
			return s, false, unsatisfiable
		}
		n = min(n, size)
		return span{size - n, n}, true, nil
	}
	off, ok := number(first)
	if !ok {
		return s, false, nil
	}
	end := size - 1
	if last != "" {
		if end, ok = number(last); !ok || end < off {
			return s, false, nil
		}
		end = min(end, size-1)
	}
	if off >= size {
		return s, false, unsatisfiable
	}
	return span{off, end - off + 1}, true, nil
}
