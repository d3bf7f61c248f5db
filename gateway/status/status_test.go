package status

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
)

// TestEverySentinel: an error that a Library may return and the table has not would
// be a 500.
func TestEverySentinel(t *testing.T) {
	told := make(map[string]bool)
	for _, a := range answers {
		told[a.err.Error()] = true
	}
	f, err := parser.ParseFile(token.NewFileSet(), "../../backend/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range v.Names {
			call, ok := v.Values[i].(*ast.CallExpr)
			if !ok || !strings.HasPrefix(name.Name, "Err") {
				continue
			}
			n++
			if text := strings.Trim(call.Args[0].(*ast.BasicLit).Value, `"`); !told[text] {
				t.Errorf("backend.%s (%q) has no answer", name.Name, text)
			}
		}
		return true
	})
	if n < 20 {
		t.Errorf("found %d sentinels, want all of them", n)
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err      error
		code, s3 int
		name     string
	}{
		{backend.ErrNotExist, 404, 404, "NoSuchKey"},
		{fmt.Errorf("open original: %w", backend.ErrUnavailable), 503, 503, "SlowDown"},
		// A bucket that cannot be reached is never "not there", whatever it is wrapped in.
		{errors.Join(backend.ErrNotExist, backend.ErrUnavailable), 503, 503, "SlowDown"},
		{backend.ErrParent, 409, 404, "NoSuchKey"},
		{backend.ErrQuota, 507, 403, "QuotaExceeded"},
		{fmt.Errorf("put: %w", context.DeadlineExceeded), 503, 503, "SlowDown"},
		{errors.New("surprise"), 500, 500, "InternalError"},
	} {
		if a := Of(c.err); a.Code != c.code || a.S3Code != c.s3 || a.S3 != c.name {
			t.Errorf("Of(%v): got %d, %s %d, want %d, %s %d", c.err, a.Code, a.S3, a.S3Code, c.code, c.name, c.s3)
		}
	}
	for _, a := range answers {
		if a.Text == "" || !strings.HasSuffix(a.Text, ".") || a.S3 == "" || a.Code != 499 && http.StatusText(a.Code) == "" {
			t.Errorf("answer to %v: %+v", a.err, a.Answer)
		}
	}
}
