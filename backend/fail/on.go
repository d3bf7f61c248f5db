//go:build failpoints

package fail

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Enabled says whether the program was built with the tag failpoints.
const Enabled = true

type plan struct {
	at   int64  // the hit at which it strikes
	do   string // kill, error or sleep
	hits atomic.Int64
}

var armed = sync.OnceValue(func() map[string]*plan {
	plans, err := parse(os.Getenv("SHOEBOX_TEST_FAIL"))
	if err != nil {
		panic(err)
	}
	return plans
})

// parse reads NAME:HIT[:kill|:error|:sleep], separated by commas.
func parse(s string) (map[string]*plan, error) {
	plans := make(map[string]*plan)
	for _, entry := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		f := strings.Split(entry, ":")
		if len(f) < 2 || len(f) > 3 {
			return nil, fmt.Errorf("fail: %q is not NAME:HIT[:kill|:error|:sleep]", entry)
		}
		p := &plan{do: "kill"}
		if len(f) == 3 {
			p.do = f[2]
		}
		var err error
		if p.at, err = strconv.ParseInt(f[1], 10, 64); err != nil || p.at < 1 {
			return nil, fmt.Errorf("fail: %q: hits are counted from 1", entry)
		}
		if _, ok := Points[f[0]]; !ok {
			return nil, fmt.Errorf("fail: there is no point %q", f[0])
		}
		switch p.do {
		case "kill", "error", "sleep":
		default:
			return nil, fmt.Errorf("fail: %q is none of kill, error, sleep", p.do)
		}
		plans[f[0]] = p
	}
	return plans, nil
}

// Point is a place at which a test may end the process.
func Point(name string) { _ = Error(name) }

// Error is a Point that may also return ErrInjected.
func Error(name string) error {
	if _, ok := Points[name]; !ok {
		panic("fail: internal error: point " + name + " is not in Points")
	}
	p := armed()[name]
	if p == nil || p.hits.Add(1) != p.at {
		return nil
	}
	fmt.Fprintf(os.Stderr, "fail: %s at %s, hit %d\n", p.do, name, p.at)
	switch p.do {
	case "error":
		return fmt.Errorf("%w at %s", ErrInjected, name)
	case "sleep":
		time.Sleep(time.Second)
		return nil
	}
	// As the kernel ends a process: no deferred call runs, no buffer is written.
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

var durations = sync.OnceValue(func() map[string]time.Duration {
	set := make(map[string]time.Duration)
	for _, entry := range strings.FieldsFunc(os.Getenv("SHOEBOX_TEST_SET"), func(r rune) bool { return r == ',' }) {
		name, value, _ := strings.Cut(entry, "=")
		d, err := time.ParseDuration(value)
		if err != nil {
			panic(fmt.Errorf("fail: SHOEBOX_TEST_SET: %w", err))
		}
		set[name] = d
	}
	return set
})

// Duration is d, unless a test has set another for name.
func Duration(name string, d time.Duration) time.Duration {
	if other, ok := durations()[name]; ok {
		return other
	}
	return d
}

var skipped = sync.OnceValue(func() map[string]bool {
	names := make(map[string]bool)
	for _, name := range strings.FieldsFunc(os.Getenv("SHOEBOX_TEST_SKIP"), func(r rune) bool { return r == ',' }) {
		names[name] = true
	}
	return names
})

// Skip says whether a test wants something left out, to show that it is needed.
func Skip(name string) bool { return skipped()[name] }
