package dav

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// parseMtime reads X-OC-Mtime and X-OC-CTime: seconds since 1970, perhaps with a
// fraction. Zero means that there is none that makes sense.
func parseMtime(s string) time.Time {
	whole, frac, _ := strings.Cut(strings.TrimSpace(s), ".")
	return parseSeconds(whole, frac)
}

// parseSeconds reads seconds since 1970 and a fraction of digits.
func parseSeconds(whole, frac string) time.Time {
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < -62135596800 || sec > 253402300799 { // years 1 to 9999
		return time.Time{}
	}
	var nano int64
	if frac != "" {
		frac = (frac + "000000000")[:9]
		if nano, err = strconv.ParseInt(frac, 10, 64); err != nil || nano < 0 {
			return time.Time{}
		}
	}
	if sec == 0 && nano < 1e6 {
		nano = 1e6 // a time that is zero in milliseconds would be none in the index
	}
	return time.Unix(sec, nano).UTC()
}

// parseTime reads a time as the clients write it: Windows as HTTP does, rclone and
// ownCloud in seconds since 1970, others as RFC 3339.
func parseTime(s string) (time.Time, bool) {
	if t, err := http.ParseTime(s); err == nil {
		return t.UTC(), true
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil && t.Year() > 0 {
		return t.UTC(), true
	}
	t := parseMtime(s)
	return t, !t.IsZero()
}

func appendHTTPTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, http.TimeFormat)
}
