//go:build failpoints

package fail

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in string
		ok bool
	}{
		{"", true},
		{"W5.sent:1", true},
		{"W5.sent:3:error,W6.begin:2:sleep", true},
		{"W5.sent", false},
		{"W5.sent:0", false},
		{"W5.sent:1:explode", false},
		{"nowhere:1", false},
	} {
		if _, err := parse(c.in); (err == nil) != c.ok {
			t.Errorf("%q: got %v", c.in, err)
		}
	}
}

// A child of this test dies at the second hit, by signal.
func TestKill(t *testing.T) {
	if os.Getenv("SHOEBOX_TEST_FAIL") != "" {
		Point("W5.sent")
		os.Stdout.WriteString("first\n")
		Point("W5.sent")
		os.Stdout.WriteString("second\n")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "SHOEBOX_TEST_FAIL=W5.sent:2")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() || strings.TrimSpace(string(out)) != "first" {
		t.Errorf("got %v, %q", err, out)
	}
}
