package crash

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The numbers of `go test ./...` are small; these flags ask for more.
var (
	trials   = flag.Int("crash.trials", 1, "kills at each crash point")
	random   = flag.Int("crash.random", 5, "kills at random moments")
	workTime = flag.Duration("crash.time", 1500*time.Millisecond, "longest work before a kill")
	parallel = flag.Int("crash.parallel", 2, "trials at once")
	nClients = flag.Int("crash.clients", 16, "clients at once, half of them with shared keys too")
	only     = flag.String("crash.point", "", "the one crash point to try; empty means all")
	seed     = flag.Uint64("crash.seed", 0, "of all that is random; 0 means by the clock")
	splits   = flag.Int("crash.splits", 8, "trials with two gateways on one bucket")
	damages  = flag.Int("crash.damages", 14, "damaged files")
	fulls    = flag.Int("crash.fulls", 1, "times the disk becomes full")
	cuts     = flag.Int("crash.cuts", 1, "power cuts")
	nth      = flag.Int("crash.nth", 1, "of the eight faults of an S3 bucket that any request can have, how many strike at each in turn")
	faults   = flag.Int("crash.faults", 1, "rounds over all faults of an S3 bucket")
)

var seedOnce = sync.OnceValue(func() uint64 {
	if *seed != 0 {
		return *seed
	}
	return uint64(time.Now().UnixNano())
})

// source is randomness that a seed makes again.
func source(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seedOnce(), stream)) }

// program is the real program, built with the crash points, or what SHOEBOX_TEST_BINARY names.
var program = sync.OnceValues(func() (string, error) {
	if b := os.Getenv("SHOEBOX_TEST_BINARY"); b != "" {
		return filepath.Abs(b)
	}
	dir, err := os.MkdirTemp("", "shoebox-crash")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "shoebox")
	text, err := exec.Command("go", "build", "-tags", "failpoints", "-o", out, "..").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, text)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("SHOEBOX_TEST_BINARY") == "" && programBuilt.Load() {
		if b, err := program(); err == nil {
			os.RemoveAll(filepath.Dir(b))
		}
	}
	os.Exit(code)
}

var programBuilt atomic.Bool

func built(t testing.TB) string {
	t.Helper()
	b, err := program()
	if err != nil {
		t.Fatal(err)
	}
	programBuilt.Store(true)
	return b
}

// environ is the environment without settings of the program, and with more.
func environ(more ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SHOEBOX_") && !strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	return append(env, more...)
}

// A gateway is a running "shoebox serve".
type gateway struct {
	cmd     *exec.Cmd
	data    string
	web, s3 string
	log     *tail
	dead    chan struct{} // closed when it has ended
	err     error         // how, then
}

// tail keeps what a process writes.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *tail) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// patience is how long a program may take for what it does in milliseconds when nothing
// else runs on the machine.
const patience = 5 * time.Minute

var errDied = errors.New("the gateway ended before it was ready")

// start starts serve on free ports over the data directory, and waits until it has said
// where everything is.
func start(ctx context.Context, program, data string, env []string, args ...string) (*gateway, error) {
	args = append([]string{"serve", "-data-dir", data, "-listen", "127.0.0.1:0", "-s3-listen", "127.0.0.1:0",
		"-min-free", "0", "-workers", "1", "-snapshot-every", "25", "-log-level", "warn"}, args...)
	g := &gateway{cmd: exec.CommandContext(ctx, program, args...), data: data, log: new(tail), dead: make(chan struct{})}
	g.cmd.Env, g.cmd.Stderr = env, g.log
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go func() {
		var text strings.Builder
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			fmt.Fprintln(&text, sc.Text())
			if strings.Contains(sc.Text(), "shoebox login-link") { // the last line of the greeting
				ready <- text.String()
				io.Copy(io.Discard, stdout)
			}
		}
		g.err = g.cmd.Wait()
		close(g.dead)
	}()
	select {
	case text := <-ready:
		find := func(expr string) string {
			if m := regexp.MustCompile(expr).FindStringSubmatch(text); m != nil {
				return m[1]
			}
			return ""
		}
		g.web, g.s3 = find(`page\s+(\S+)/\n`), find(`S3\s+(\S+)`)
		return g, nil
	case <-g.dead:
		return nil, fmt.Errorf("%w: %v\n%s", errDied, g.err, g.log)
	case <-time.After(patience):
		g.kill()
		return nil, fmt.Errorf("serve does not get ready\n%s", g.log)
	}
}

// kill ends it as a power cut does.
func (g *gateway) kill() {
	g.cmd.Process.Kill()
	<-g.dead
}

func (g *gateway) isDead() bool {
	select {
	case <-g.dead:
		return true
	default:
		return false
	}
}

// command runs a command of the program on the data directory.
func command(ctx context.Context, program string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("shoebox %s: %w\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out), err
}

// fsck checks everything at the deepest level. While pictures are made smaller it may say
// that it should be asked again.
func fsck(ctx context.Context, program, data string, args ...string) (text string, err error) {
	poll(patience, func() bool {
		text, err = command(ctx, program, environ(), append([]string{"fsck", "-level", "5", "-data-dir", data}, args...)...)
		return err == nil || !strings.Contains(err.Error(), "changing too fast")
	})
	return text, err
}

// An access is an app password.
type access struct{ login, secret, id string }

// A template is a data directory with an owner, a library and an app password, from
// which each trial takes a copy.
type template struct {
	access
	data string
}

func newTemplate(t *testing.T, data string) *template {
	t.Helper()
	return newTemplateIn(t, data, environ())
}

func newTemplateIn(t *testing.T, data string, env []string, args ...string) *template {
	t.Helper()
	p := built(t)
	g, err := start(t.Context(), p, data, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	text, err := command(t.Context(), p, environ(), "app-password", "create", "-label", "crash test", "-data-dir", data)
	if err != nil {
		t.Fatal(err)
	}
	a, err := parseAccess(text)
	if err != nil {
		t.Fatal(err)
	}
	return &template{a, data}
}

// parseAccess reads what app-password create printed.
func parseAccess(text string) (a access, err error) {
	for _, f := range []struct {
		into *string
		expr string
	}{{&a.login, `user: (\S+)`}, {&a.secret, `password: (\S+)`}, {&a.id, `access key id: (\S+)`}} {
		if m := regexp.MustCompile(f.expr).FindStringSubmatch(text); m != nil {
			*f.into = m[1]
		} else if f.into != &a.id { // one for WebDAV only has none
			return a, fmt.Errorf("no %s in what app-password create printed", f.expr)
		}
	}
	return a, nil
}

// clone copies the data directory with its extended attributes.
func (tp *template) clone(t *testing.T, dir string) string {
	t.Helper()
	data := filepath.Join(dir, "data")
	if text, err := exec.Command("cp", "-a", "--sparse=always", tp.data, data).CombinedOutput(); err != nil {
		t.Fatalf("copy the data directory: %v %s", err, text)
	}
	os.Remove(filepath.Join(data, "admin.sock"))
	return data
}

// dav sends one WebDAV request.
func (a access) dav(ctx context.Context, c *http.Client, base, method, key string, body []byte, header map[string]string) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, base+"/dav/"+key, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth(a.login, a.secret)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// s3Client asks once: a retry would hide what became of the first try.
func (a access) s3Client(base string, c *http.Client) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(base), Region: "us-east-1", UsePathStyle: true, HTTPClient: c, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(a.id, a.secret, ""),
	})
}

func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience}
}
