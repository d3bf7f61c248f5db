package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scripts in testdata/script. Beside testscript's own commands they have
//
//	serve [FLAG…]               starts the server; sets $WEB, $S3, $LINK; its greeting is stdout
//	halt, crash                 end it as an operator does, and as a power cut does; its log is stderr
//	sign-in LINK                signs in on the page
//	http METHOD URL [USER:PASSWORD [FILE]]   prints status and body; fails if it is not 2xx
//	remember NAME REGEXP        sets $NAME to the first group of REGEXP in the last stdout
func TestScripts(t *testing.T) {
	dir := filepath.Dir(built(t))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", dir+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Values[serverKey{}] = new(*server)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":    scriptServe,
			"halt":     func(ts *testscript.TestScript, _ bool, _ []string) { scriptEnd(ts, (*server).stop) },
			"crash":    func(ts *testscript.TestScript, _ bool, _ []string) { scriptEnd(ts, (*server).kill) },
			"sign-in":  scriptSignIn,
			"http":     scriptHTTP,
			"remember": scriptRemember,
		},
	})
}

type serverKey struct{}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	s, err := startServer(context.Background(), filepath.Join(filepath.Dir(must(program())), "shoebox"), env, ts.MkAbs("."), args...)
	ts.Check(err)
	*ts.Value(serverKey{}).(**server) = s
	ts.Defer(func() { s.kill() })
	ts.Setenv("WEB", s.web)
	ts.Setenv("S3", s.s3)
	ts.Setenv("LINK", s.link)
	io.WriteString(ts.Stdout(), s.greeting)
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

func scriptEnd(ts *testscript.TestScript, end func(*server) error) {
	s := ts.Value(serverKey{}).(**server)
	if *s == nil {
		ts.Fatalf("no server runs")
	}
	ts.Check(end(*s))
	io.WriteString(ts.Stderr(), (*s).log.String())
	*s = nil
}

func scriptSignIn(ts *testscript.TestScript, neg bool, args []string) {
	_, err := signIn(args[0])
	if neg != (err != nil) {
		ts.Fatalf("sign in: %v", err)
	}
}

func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD URL [USER:PASSWORD [FILE]]")
	}
	var body io.Reader
	if len(args) > 3 {
		body = strings.NewReader(ts.ReadFile(args[3]))
	}
	req, err := http.NewRequest(args[0], args[1], body)
	ts.Check(err)
	if len(args) > 2 {
		user, password, _ := strings.Cut(args[2], ":")
		req.SetBasicAuth(user, password)
	}
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d\n%s\n", res.StatusCode, text)
	if neg == (res.StatusCode < 300) {
		ts.Fatalf("%s %s: %s", args[0], args[1], res.Status)
	}
}

func scriptRemember(ts *testscript.TestScript, neg bool, args []string) {
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("stdout has no %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}
