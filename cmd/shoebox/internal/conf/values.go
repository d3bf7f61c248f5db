package conf

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// A Secret is never printed: not by fmt, not by slog, not in JSON. It is set from
// the environment or a file of its own, never from a flag.
type Secret string

const redacted = "redacted"

// String says "redacted", or nothing if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Set implements flag.Value.
func (s *Secret) Set(v string) error {
	*s = Secret(strings.TrimSpace(v))
	return nil
}

// SecretVar defines the secret setting name, and name-file, which names a file that
// holds it.
func SecretVar(fs *flag.FlagSet, s *Secret, name, usage string) {
	fs.Var(s, name, usage)
	fs.Var(new(secretFile), name+"-file", "`file` that holds "+name+" and nothing else")
}

// A secretFile names a file that Parse reads a secret from.
type secretFile string

func (f *secretFile) String() string { return string(*f) }

func (f *secretFile) Set(v string) error {
	*f = secretFile(v)
	return nil
}

// Bytes is a size, written as 512MiB, 50GB or a plain number of bytes.
type Bytes int64

var units = []struct {
	name string
	size Bytes
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// String is the shortest exact form.
func (b Bytes) String() string {
	short := strconv.FormatInt(int64(b), 10)
	for _, u := range units {
		if s := fmt.Sprintf("%d%s", b/u.size, u.name); b != 0 && b%u.size == 0 && len(s) < len(short) {
			short = s
		}
	}
	return short
}

// Set implements flag.Value.
func (b *Bytes) Set(v string) error {
	size := Bytes(1)
	v = strings.TrimSpace(v)
	for _, u := range units {
		if n, ok := strings.CutSuffix(v, u.name); ok {
			v, size = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || Bytes(n) > (1<<62)/size {
		return errors.New("a size is written as 512MiB, 50GB or a number of bytes")
	}
	*b = Bytes(n) * size
	return nil
}

// List is a list of words, separated by commas or blanks.
type List []string

func (l List) String() string { return strings.Join(l, ",") }

// Set implements flag.Value; the list is replaced.
func (l *List) Set(v string) error {
	*l = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	return nil
}

// Approx shows a size as people read it: 1.4 GB.
func Approx(n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"kB", "MB", "GB", "TB", "PB"} {
		if f < 999.5 {
			break
		}
		f, unit = f/1000, u
	}
	if unit == "B" || f >= 99.95 {
		return fmt.Sprintf("%.0f %s", f, unit)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
