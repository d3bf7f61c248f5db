package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the built program, built once for all tests, or SHOEBOX_TEST_BINARY.
var program = sync.OnceValues(func() (string, error) {
	if b := os.Getenv("SHOEBOX_TEST_BINARY"); b != "" {
		return filepath.Abs(b)
	}
	dir, err := os.MkdirTemp("", "shoebox-test")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "shoebox")
	if text, err := exec.Command("go", "build", "-o", out, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, text)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := program(); err == nil && os.Getenv("SHOEBOX_TEST_BINARY") == "" {
		os.RemoveAll(filepath.Dir(b))
	}
	os.Exit(code)
}

func built(t testing.TB) string {
	t.Helper()
	b, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// extraEnv is added to the environment of the program; tests that set it are not parallel.
var extraEnv []string

// environ is the environment without what would change the program's settings.
func environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SHOEBOX_") && !strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	return append(env, extraEnv...)
}

// shoebox runs a command and returns what it printed.
func shoebox(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), built(t), args...)
	cmd.Env = environ()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("shoebox %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// A server is a running "shoebox serve".
type server struct {
	cmd           *exec.Cmd
	web, s3, link string
	greeting      string
	log           *tail
	done          chan error
}

// tail keeps what a process writes.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *tail) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// startServer starts serve on free ports and waits until it has said where everything is.
func startServer(ctx context.Context, program string, env []string, dir string, args ...string) (*server, error) {
	args = append([]string{"serve", "-listen", "127.0.0.1:0", "-s3-listen", "127.0.0.1:0", "-min-free", "0"}, args...)
	s := &server{cmd: exec.CommandContext(ctx, program, args...), log: new(tail), done: make(chan error, 1)}
	s.cmd.Dir, s.cmd.Env, s.cmd.Stderr = dir, env, s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan bool, 1)
	go func() {
		var text strings.Builder
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			fmt.Fprintln(&text, sc.Text())
			// The last line of the greeting says how to sign in.
			if strings.Contains(sc.Text(), "shoebox login-link") {
				s.greeting = text.String()
				ready <- true
				io.Copy(io.Discard, stdout)
			}
		}
		s.done <- s.cmd.Wait()
		close(s.done)
	}()
	select {
	case <-ready:
	case err := <-s.done:
		return nil, fmt.Errorf("serve ended: %v\n%s", err, s.log)
	case <-time.After(30 * time.Second):
		s.cmd.Process.Kill()
		return nil, fmt.Errorf("serve does not get ready\n%s", s.log)
	}
	find := func(expr string) string {
		if m := regexp.MustCompile(expr).FindStringSubmatch(s.greeting); m != nil {
			return m[1]
		}
		return ""
	}
	s.web, s.s3 = find(`page\s+(\S+)/\n`), find(`S3\s+(\S+)`)
	s.link = find(`(http\S+/login/link\S+)`)
	return s, nil
}

func serveIn(t testing.TB, data string, args ...string) *server {
	t.Helper()
	s, err := startServer(context.WithoutCancel(t.Context()), built(t), environ(), "", append([]string{"-data-dir", data}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.done
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	return s
}

// stop ends the server as an operator does.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return <-s.done
}

// kill ends it as a power cut does.
func (s *server) kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	<-s.done
	return nil
}

// A browser is a client of the page with its cookies.
type browser struct {
	*http.Client
	base string
}

// signIn uses a login link as a person does.
func signIn(link string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, err
	}
	b := &browser{&http.Client{Jar: jar}, u.Scheme + "://" + u.Host}
	if _, err := b.do("GET", link, nil); err != nil { // a page with a button; looking uses nothing up
		return nil, err
	}
	req, err := http.NewRequest("POST", b.base+"/login/link", strings.NewReader(url.Values{"t": {u.Query().Get("t")}}.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := b.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Request.URL.Path != "/" {
		return nil, fmt.Errorf("sign in: %s at %s", res.Status, res.Request.URL.Path)
	}
	return b, nil
}

// do sends a request and returns the body of a good answer.
func (b *browser) do(method, to string, change func(*http.Request)) ([]byte, error) {
	if strings.HasPrefix(to, "/") {
		to = b.base + to
	}
	req, err := http.NewRequest(method, to, nil)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(req)
	}
	res, err := b.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = errors.New(res.Status + ": " + string(body))
	}
	return body, err
}
