package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/shoebox-photos/shoebox"

// arrows says what each package of ours may import of ours, from the top: the first
// pattern that matches a package counts. "…" at the end of a pattern is anything.
// ARCHITECTURE.md draws it.
var arrows = []struct {
	pkg string
	may []string
}{
	{"cmd/shoebox/internal/…", nil},
	{"cmd/shoebox/crash", []string{"…"}}, // tests only
	{"cmd/shoebox", []string{"…"}},       // the only wiring

	{"gateway", []string{"gateway/auth"}},
	{"gateway/auth/sigv4", nil},
	{"gateway/status", []string{"backend"}},
	{"gateway/auth", []string{"backend", "backend/account"}},
	{"gateway/nextcloud", []string{"backend", "backend/account", "gateway/auth", "gateway/dav", "gateway/status"}},
	{"gateway/…", []string{"backend", "backend/account", "gateway/auth", "gateway/auth/sigv4", "gateway/status"}},

	{"processing/internal/vp8", nil},
	{"processing/internal/…", []string{"processing/media", "processing/render"}},
	{"processing/media", nil},
	{"processing/render", []string{"processing/internal/vp8", "processing/media"}},
	{"processing", []string{"backend", "backend/job", "backend/kv", "processing/…"}},

	{"backend/sim", []string{"backend/…"}}, // tests only
	{"backend/fail", nil},                  // which all may import: without its build tag it is nothing
	{"backend", []string{"backend/job", "backend/journal", "backend/kv", "backend/object"}},
	{"backend/account", []string{"backend", "backend/journal", "backend/kv", "backend/object"}},
	{"backend/account/awskms", []string{"backend/account"}},
	{"backend/account/awskms/kmstest", nil}, // tests only
	{"backend/journal", []string{"backend/kv", "backend/object"}},
	{"backend/job", []string{"backend/kv"}},
	{"backend/kv", nil},
	{"backend/object", nil},
	{"backend/kv/…", []string{"backend/kv"}},         // a driver knows nothing but the interface
	{"backend/object/…", []string{"backend/object"}}, // that it implements
}

// homes says which package alone may import a library, so that its types stay there.
var homes = map[string]string{
	"github.com/dgraph-io/badger":           "backend/kv/badgerkv",
	"github.com/aws/aws-sdk-go-v2":          "backend/object/s3bucket or backend/account/awskms",
	"github.com/johannesboyne/gofakes3":     "gateway/s3api",
	"golang.org/x/net/webdav":               "gateway/dav",
	"github.com/coreos/go-oidc":             "gateway/auth",
	"github.com/chai2010/webp":              "processing/…",
	"github.com/disintegration/imaging":     "processing/…",
	"google.golang.org/protobuf/encoding":   "backend",
	"rsc.io/qr":                             "gateway/browse",
	"github.com/andybalholm/brotli":         "processing/media",
	"github.com/rogpeppe/go-internal":       "", // tests only
	"github.com/google/go-cmp":              "", // not at all
	"github.com/stretchr/testify":           "",
	"github.com/prometheus/client_golang":   "",
	"github.com/shoebox-photos/shoebox/cmd": "cmd/shoebox",
}

type goPackage struct {
	ImportPath, Dir, Name string
	GoFiles, CgoFiles     []string
	Imports               []string
}

func goList(t *testing.T) (pkgs []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,CgoFiles,Imports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func matches(pattern, pkg string) bool {
	before, ok := strings.CutSuffix(pattern, "…")
	return pattern == pkg || ok && strings.HasPrefix(pkg, before)
}

// isHome says whether pkg is one of those that home names, with " or " between them.
func isHome(home, pkg string) bool {
	return slices.ContainsFunc(strings.Split(home, " or "), func(h string) bool { return matches(h, pkg) })
}

func TestArrows(t *testing.T) {
	for _, p := range goList(t) {
		pkg := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		i := slices.IndexFunc(arrows, func(a struct {
			pkg string
			may []string
		}) bool {
			return matches(a.pkg, pkg)
		})
		if i < 0 {
			t.Errorf("%s: arrows has no rule for it", pkg)
			continue
		}
		for _, imp := range p.Imports {
			if ours, ok := strings.CutPrefix(imp, module+"/"); ok && ours != "backend/fail" && !slices.ContainsFunc(arrows[i].may, func(m string) bool { return matches(m, ours) }) {
				t.Errorf("%s must not import %s", pkg, ours)
			}
			for lib, home := range homes {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !isHome(home, pkg) && !strings.HasPrefix(imp, module+"/"+pkg) {
					t.Errorf("%s must not import %s: only %q may", pkg, imp, home)
				}
			}
		}
		if len(p.CgoFiles) > 0 && pkg != "processing/render" && pkg != "processing/internal/vp8" {
			t.Errorf("%s uses cgo", pkg)
		}
		for _, bad := range []string{"util", "utils", "common", "types", "helpers", "misc"} {
			if path.Base(pkg) == bad {
				t.Errorf("%s: %q says nothing", pkg, bad)
			}
		}
	}
}

// Nothing registers itself: what there is, is named in serve.go.
func TestNoInit(t *testing.T) {
	for _, p := range goList(t) {
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s has an init function in %s", p.ImportPath, name)
				}
			}
		}
	}
}

// ARCHITECTURE.md says of every library what it saves us.
func TestDependenciesAreExplained(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range goList(t) {
		for _, imp := range p.Imports {
			first, _, _ := strings.Cut(imp, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(imp, module) {
				continue
			}
			// github.com/owner/name is told as owner/name, others by their first two or three elements.
			parts := strings.Split(strings.TrimPrefix(imp, "github.com/"), "/")
			name := strings.Join(parts[:min(2, len(parts))], "/")
			if first == "golang.org" {
				name = strings.Join(parts[:3], "/")
			}
			if owner, _, ok := strings.Cut(name, "/"); ok && owner == "aws" {
				name = "aws-sdk-go-v2"
			}
			if !strings.Contains(string(text), name) {
				t.Errorf("%s uses %s, which ARCHITECTURE.md does not explain", p.ImportPath, name)
			}
		}
	}
}
