package media

import (
	"strings"
	"time"
)

// A stamp is a date and time of day as written, and the offset from UTC if that
// is written too.
type stamp struct {
	wall      time.Time // the clock's reading, as if in UTC
	hasClock  bool      // not the day alone
	offset    int       // minutes east
	hasOffset bool
}

// parseStamp reads the forms that cameras and programs write:
//
//	2006:01:02 15:04:05          EXIF 2.32 §4.6.6
//	2006-01-02T15:04:05.123-07:00  XMP part 1 §8.2.1.1, ISO 8601
//	2006-01-02T15:04:05-0700     QuickTime
//	2006-01-02                   XMP: the day alone
//
// It refuses days that no calendar has, the years before photography (1826), the
// empty dates of clocks that were not set, and what comes more than a day after now:
// such a photo would lead the timeline for ever.
func parseStamp(s string, now time.Time) (stamp, bool) {
	s = strings.TrimSpace(strings.TrimRight(s, "\x00"))
	var st stamp
	p := parser{s: s}
	year, month, day := p.digits(4), 0, 0
	p.oneOf(":-/.")
	month = p.digits(2)
	p.oneOf(":-/.")
	day = p.digits(2)
	var hour, minute, second, milli int
	if !p.failed && p.s != "" {
		st.hasClock = true
		p.oneOf(" Tt")
		hour = p.digits(2)
		p.oneOf(":.")
		minute = p.digits(2)
		if p.peek(":.") {
			p.oneOf(":.")
			second = p.digits(2)
			if p.peek(".,") {
				p.oneOf(".,")
				milli = p.fraction()
			}
		}
		if zone := strings.TrimSpace(p.s); zone != "" {
			st.offset, st.hasOffset = parseOffset(zone)
			if !st.hasOffset {
				return stamp{}, false
			}
		}
	}
	if p.failed || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 60 {
		return stamp{}, false
	}
	second = min(second, 59) // a leap second would be the next minute's first
	st.wall = time.Date(year, time.Month(month), day, hour, minute, second, milli*1e6, time.UTC)
	return st, st.wall.Day() == day && believable(st.wall, now)
}

// believable says whether a photo can have been taken at wall.
func believable(wall, now time.Time) bool {
	switch {
	case wall.Year() < firstYear, wall.After(now.Add(24 * time.Hour)):
		return false
	case wall.Equal(time.Unix(0, 0)), wall.Equal(time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)):
		return false // the zero of Unix and of QuickTime
	}
	return true
}

// parseOffset reads an offset from UTC as EXIF, XMP and QuickTime write it, Z or
// ±hh:mm or ±hhmm, in minutes. The offsets on Earth go from -12:00 to +14:00.
func parseOffset(s string) (minutes int, ok bool) {
	s = strings.TrimSpace(strings.TrimRight(s, "\x00"))
	if s == "Z" || s == "z" {
		return 0, true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	p := parser{s: s[1:]}
	hours, part := p.digits(2), 0
	if p.peek(":") {
		p.oneOf(":")
	}
	if p.s != "" {
		part = p.digits(2)
	}
	minutes = 60*hours + part
	if s[0] == '-' {
		minutes = -minutes
	}
	if p.failed || p.s != "" || part > 59 || minutes < minOffset || minutes > maxOffset {
		return 0, false
	}
	return minutes, true
}

// A parser eats a string from the left.
type parser struct {
	s      string
	failed bool
}

func (p *parser) digits(n int) (v int) {
	if len(p.s) < n {
		p.failed = true
		return 0
	}
	for i := range n {
		c := p.s[i]
		if c < '0' || c > '9' {
			p.failed = true
			return 0
		}
		v = 10*v + int(c-'0')
	}
	p.s = p.s[n:]
	return v
}

// fraction eats all digits of a decimal fraction and gives its thousandths.
func (p *parser) fraction() (milli int) {
	n := 0
	for n < len(p.s) && p.s[n] >= '0' && p.s[n] <= '9' {
		if n < 3 {
			milli = 10*milli + int(p.s[n]-'0')
		}
		n++
	}
	for i := n; i < 3; i++ {
		milli *= 10
	}
	p.s = p.s[n:]
	return milli
}

func (p *parser) peek(set string) bool {
	return p.s != "" && strings.IndexByte(set, p.s[0]) >= 0
}

func (p *parser) oneOf(set string) {
	if !p.peek(set) {
		p.failed = true
		return
	}
	p.s = p.s[1:]
}

// setDate keeps a date, or a part of one, as written; the first of a name counts that is
// not blank.
func (f *found) setDate(name, s string) {
	if f.dates[name] != "" || strings.Trim(s, " :0\x00") == "" {
		return
	}
	if f.dates == nil {
		f.dates = make(map[string]string)
	}
	f.dates[name] = s
}

// taken weighs all dates found: the first believable one in the order of the From
// constants. That is the Metadata Working Group's: what says when the picture was made comes
// before what says when it became a file, which for a scan is decades later.
func (f *found) taken() (st stamp, from string, ok bool) {
	for _, c := range []struct{ from, date, offset, fraction string }{
		{FromExif, f.dates["DateTimeOriginal"], f.dates["OffsetTimeOriginal"], f.dates["SubSecTimeOriginal"]},
		{from: FromQuickTime, date: f.dates[quickTimeDate]},
		{from: FromQuickTime, date: f.dates[userDataDate]},
		{from: FromXMP, date: f.dates["XMP DateTimeOriginal"]},
		{from: FromXMP, date: f.dates["XMP DateCreated"]},
		{from: FromIPTC, date: f.iptcDate()},
		{FromExifDigitized, f.dates["DateTimeDigitized"], f.dates["OffsetTimeDigitized"], f.dates["SubSecTimeDigitized"]},
		{from: FromXMPDigitized, date: f.dates["XMP CreateDate"]},
		{from: FromXMPDigitized, date: f.dates["XMP DateTimeDigitized"]},
	} {
		next, valid := parseStamp(c.date, f.now)
		if !valid || ok && !(next.hasClock && next.wall.Truncate(24*time.Hour).Equal(st.wall)) {
			continue
		}
		st, from, ok = next, c.from, true
		if !st.hasOffset && (from == FromExif || from == FromExifDigitized) {
			st.offset, st.hasOffset = parseOffset(c.offset)
			if !st.hasOffset && f.isAbout(st.wall) {
				st.offset, st.hasOffset = parseOffset(f.dates["OffsetTime"])
			}
		}
		f.borrowOffset(&st)
		st.addFraction(c.fraction)
		if st.hasClock { // of a day alone, another may know the hour
			return st, from, true
		}
	}
	if ok {
		return st, from, true
	}
	if t := f.movieCreated; !t.IsZero() && believable(t, f.now) {
		return stamp{wall: t}, FromMovieHeader, true
	}
	if st, ok := parseStamp(f.dates["GPS"], f.now); ok {
		return st, FromGPS, true
	}
	if st, ok := parseStamp(f.dates["DateTime"], f.now); ok {
		if !st.hasOffset {
			st.offset, st.hasOffset = parseOffset(f.dates["OffsetTime"])
		}
		st.addFraction(f.dates["SubSecTime"])
		return st, FromExifModified, true
	}
	return stamp{}, "", false
}

// borrowOffset takes the offset from where the same time stands with it. UTC is not
// borrowed: some programs write it for want of better.
func (f *found) borrowOffset(st *stamp) {
	for _, other := range []string{f.dates["XMP DateTimeOriginal"], f.dates["XMP DateCreated"], f.iptcDate()} {
		if x, ok := parseStamp(other, f.now); ok && !st.hasOffset && x.offset != 0 && sameSecond(x.wall, st.wall) {
			st.offset, st.hasOffset = x.offset, true
		}
	}
}

// isAbout says whether the picture was last changed about when it was taken, that is by the
// camera: OffsetTime is of that change, and later ones may be made in another zone.
func (f *found) isAbout(wall time.Time) bool {
	changed, ok := parseStamp(f.dates["DateTime"], f.now)
	return !ok || changed.wall.Sub(wall).Abs() <= time.Hour
}

// iptcDate joins the day and the time of IPTC (IIM 4.2 §2:55, 2:60), which are two
// records; a day alone will do.
func (f *found) iptcDate() string {
	return strings.TrimSpace(f.dates["IPTC DateCreated"] + " " + f.dates["IPTC TimeCreated"])
}

func sameSecond(a, b time.Time) bool { return a.Truncate(time.Second).Equal(b.Truncate(time.Second)) }

// addFraction adds the digits of a second's fraction (EXIF 2.32, SubSecTime), unless it is
// there: "5" and "50" are half a second.
func (st *stamp) addFraction(digits string) {
	if p := (parser{s: strings.TrimSpace(digits)}); st.wall.Nanosecond() == 0 {
		st.wall = st.wall.Add(time.Duration(p.fraction()) * time.Millisecond)
	}
}
