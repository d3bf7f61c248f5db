package fail_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/fail"
)

// Every point in the source is in the list, and every name in the list is a point.
func TestPointsAreListed(t *testing.T) {
	call := regexp.MustCompile(`\bfail\.(?:Point|Error)\("([^"]*)"\)`)
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range call.FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
			if fail.Points[string(m[1])] == "" {
				t.Errorf("%s: point %q is not in Points", name, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range fail.Points {
		if !found[name] {
			t.Errorf("point %q is nowhere", name)
		}
	}
}

// BenchmarkPoint shows what a point costs: without the tag nothing, not even a call.
func BenchmarkPoint(b *testing.B) {
	n := 0
	for b.Loop() {
		fail.Point("W5.sent")
		n++
	}
}
