package gateway_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
	"github.com/shoebox-photos/shoebox/gateway/nextcloud"
)

// Real WebDAV clients against all that stands before a library. Each test is skipped,
// and says so, where its program is not installed.

// A site is a whole gateway with a user "ana", a library "photos", and an app password.
type site struct {
	*httptest.Server
	t        testing.TB
	b        *backend.Backend
	uid      string           // Ana's
	lib      *backend.Library // hers
	password string
	dir      string // scratch
}

func newSite(t *testing.T, tools ...string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("clients take a while")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	return openSite(t, membucket.New(), memkv.New(), nil)
}

// openSite is a site over a bucket and an index, that logs its requests to log.
func openSite(t testing.TB, bucket object.Bucket, index kv.Store, log *slog.Logger) *site {
	t.Helper()
	b := backend.New(bucket, index, nil)
	a, err := account.Open(t.Context(), bucket, index, account.GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.CreateUser(t.Context(), account.NewUser{Login: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	lib, err := b.Library(t.Context(), u.UID, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	_, secret, err := a.Mint(t.Context(), u.UID, account.MintOptions{Label: "client", DAV: true})
	if err != nil {
		t.Fatal(err)
	}
	au, err := auth.New(a, &auth.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	page := http.NotFoundHandler()
	g := gateway.New(gateway.Faces{
		DAV: au.Basic("Shoebox", "dav", dav.New(b, nil)), Page: dav.Above("/dav", page), S3: page,
		Nextcloud: nextcloud.New(b, a, au, nil),
	}, &gateway.Options{Logger: log, ClientAddr: au.ClientAddr, IsSecure: au.IsSecure, Follow: au.Follow})
	s := &site{Server: httptest.NewServer(g.Web()), t: t, b: b, uid: u.UID, lib: lib, password: string(secret), dir: t.TempDir()}
	t.Cleanup(s.Close)
	return s
}

// run runs a program to its end and returns what it says.
func (s *site) run(stdin string, env []string, name string, args ...string) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Stdin = s.dir, strings.NewReader(stdin)
	c.Env = append(append(os.Environ(), "HOME="+s.dir, "LC_ALL=C.UTF-8", "TERM=dumb", "no_proxy=127.0.0.1"), env...)
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	return string(out), err
}

// must is run that may not fail.
func (s *site) must(stdin string, env []string, name string, args ...string) string {
	s.t.Helper()
	out, err := s.run(stdin, env, name, args...)
	if err != nil {
		s.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// files makes some files below dir, with names that are hard on clients, and returns
// their sums.
func (s *site) files(dir string) map[string]string {
	s.t.Helper()
	sums := make(map[string]string)
	when := time.Date(2023, 5, 6, 7, 8, 9, 0, time.UTC)
	for i, name := range []string{"2024/05/IMG_0001.jpg", "2024/05/with space.jpg", "2024/ünï/日本 (1).jpg", "2024/a&b;c+d'e~f=g@h.txt", "2024/empty.bin", "2024/larger.bin"} {
		data := bytes.Repeat([]byte(name), i*100)
		switch {
		case strings.Contains(name, "empty"):
			data = nil
		case strings.Contains(name, "larger"):
			data = bytes.Repeat([]byte("0123456789abcdef"), 11<<16) // 11 MiB
		}
		path := filepath.Join(s.dir, dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			s.t.Fatal(err)
		}
		os.Chtimes(path, when, when)
		sums[name] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return sums
}

// same checks that the files below dir are those of sums.
func (s *site) same(dir string, sums map[string]string) {
	s.t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		data, err := os.ReadFile(path)
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); err != nil || got != sums[filepath.ToSlash(name)] {
			s.t.Errorf("%s differs: %v", name, err)
		}
		n++
		return nil
	})
	if err != nil || n != len(sums) {
		s.t.Errorf("%s has %d files of %d: %v", dir, n, len(sums), err)
	}
}

// get is what a file holds, as a client without quirks reads it.
func (s *site) get(path string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest("GET", s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetBasicAuth("ana", s.password)
	resp, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestLitmus runs the conformance suite of neon's author, version 0.13.
func TestLitmus(t *testing.T) {
	s := newSite(t, "litmus")
	want := map[string]int{"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
	for suite, n := range want {
		out, _ := s.run("", []string{"TESTS=" + suite}, "litmus", "-k", s.URL+"/dav/photos/", "ana", s.password)
		m := regexp.MustCompile("summary for `" + suite + "': of (\\d+) tests run: (\\d+) passed, (\\d+) failed").FindStringSubmatch(out)
		if m == nil {
			t.Errorf("%s came to no end:\n%s", suite, out)
			continue
		}
		passed, _ := strconv.Atoi(m[2])
		if failed, _ := strconv.Atoi(m[3]); failed > 0 || passed != n {
			t.Errorf("%s: %d passed of %d\n%s", suite, passed, n, grep(out, "FAIL|SKIP|WARN"))
		}
	}
}

func grep(text, pattern string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if regexp.MustCompile(pattern).MatchString(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestCadaver locks, finds the lock, saves by a rename, and sets properties.
func TestCadaver(t *testing.T) {
	s := newSite(t, "cadaver")
	host, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	netrc := fmt.Sprintf("machine %s\nlogin ana\npassword %s\n", host, s.password)
	if err := os.WriteFile(filepath.Join(s.dir, ".netrc"), []byte(netrc), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "local.txt"), []byte("what is local"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://%s:%s/dav/photos/", host, port)
	for _, step := range []struct{ commands, want string }{
		{"mkcol c\nput local.txt c/a.txt\nls c\n", `a\.txt`},
		{"lock c/a.txt\ndiscover c/a.txt\nunlock c/a.txt\n", `(?s)Locking .c/a\.txt.: succeeded.*Scope: exclusive.*Unlocking .c/a\.txt.: succeeded`},
		{"propset c/a.txt note kept\npropget c/a.txt note\n", `(?s)Setting property.*succeeded.*Value of note is: kept`},
		{"copy c/a.txt c/b.txt\nput local.txt c/t.tmp\nmove c/t.tmp c/b.txt\n", `(?s)Copying.*succeeded.*Moving.*succeeded`},
		{"lock c/b.txt\nmove c/b.txt c/d.txt\n", `(?s)Locking.*succeeded.*Moving.*succeeded`},
		{"get c/d.txt back.txt\ndelete c/d.txt\nrmcol c\nls\n", `(?s)Downloading.*succeeded.*Deleting .d?.*succeeded|Deleting.*succeeded`},
	} {
		out, err := s.run("set overwrite on\n"+step.commands+"quit\n", nil, "cadaver", url)
		if err != nil || !regexp.MustCompile(step.want).MatchString(out) || strings.Contains(out, "failed") {
			t.Errorf("%q: %v\n%s", step.commands, err, out)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(s.dir, "back.txt")); string(got) != "what is local" {
		t.Errorf("got %q back", got)
	}
}

// TestCurl: ranges, conditions, an upload that is not announced by length, and resuming.
func TestCurl(t *testing.T) {
	s := newSite(t, "curl")
	curl := func(args ...string) string {
		t.Helper()
		return s.must("0123456789", nil, "curl", append([]string{"-sS", "-u", "ana:" + s.password, "-w", "|%{http_code}"}, args...)...)
	}
	u := s.URL + "/dav/photos/"
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"|201", []string{"-X", "MKCOL", u + "c/"}},
		{"|201", []string{"-T", "-", "-H", "Content-Type: text/plain", u + "c/a.txt"}},
		{"|204", []string{"-T", "-", u + "c/a.txt"}},
		{"234|206", []string{"-r", "2-4", u + "c/a.txt"}},
		{"56789|206", []string{"-C", "5", u + "c/a.txt"}},
		{"|304", []string{"-H", `If-None-Match: "781e5e245d69b566979b86e28d23f2c7"`, u + "c/a.txt"}},
		{"|201", []string{"-X", "COPY", "-H", "Destination: " + u + "c/b.txt", u + "c/a.txt"}},
		{"|201", []string{"-X", "MOVE", "-H", "Destination: " + u + "c/d%20e.txt", u + "c/b.txt"}},
		{"0123456789|200", []string{u + "c/d%20e.txt"}},
		{"|204", []string{"-X", "DELETE", u + "c"}},
	} {
		if got := curl(tt.args...); !strings.HasSuffix(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

// TestRcloneWebDAV syncs as its vendor "owncloud", which compares times and hashes, and
// as "nextcloud", which sends large files in chunks.
func TestRcloneWebDAV(t *testing.T) {
	rclone := rcloneProgram()
	for _, vendor := range []string{"owncloud", "nextcloud"} {
		t.Run(vendor, func(t *testing.T) {
			s := newSite(t, rclone)
			sums := s.files("src")
			env := s.rcloneEnv(vendor)
			do := func(args ...string) string {
				t.Helper()
				return s.must("", env, rclone, args...)
			}
			do("sync", "src", "sb:photos/x")
			out := do("sync", "-v", "--stats-one-line", "src", "sb:photos/x")
			if !strings.Contains(out, "There was nothing to transfer") {
				t.Errorf("the second sync transfers:\n%s", out)
			}
			out = do("check", "-v", "src", "sb:photos/x")
			if !strings.Contains(out, "0 differences found") || strings.Contains(out, "hashes could not be checked") && vendor == "owncloud" {
				t.Errorf("check:\n%s", out)
			}
			do("copy", "sb:photos/x", "back")
			s.same(filepath.Join(s.dir, "back"), sums)
			do("moveto", "sb:photos/x/2024/05", "sb:photos/x/2024/06")
			do("copyto", "sb:photos/x/2024/larger.bin", "sb:photos/x/copy.bin")
			if out := do("lsf", "--format", "pst", "sb:photos/x/copy.bin"); !strings.Contains(out, "11534336;2023-05-06") {
				t.Errorf("a copy on the server: %s", out)
			}
			do("about", "sb:")
			do("purge", "sb:photos/x")
			if out := do("lsf", "sb:photos"); out != "" {
				t.Errorf("after purge: %s", out)
			}
		})
	}
}

// rcloneProgram is Debian's rclone, or what SHOEBOX_TEST_RCLONE names: another version.
func rcloneProgram() string { return cmp.Or(os.Getenv("SHOEBOX_TEST_RCLONE"), "rclone") }

// rcloneEnv is an environment in which "sb:" is Ana's share.
func (s *site) rcloneEnv(vendor string) []string {
	s.t.Helper()
	conf := filepath.Join(s.dir, "none.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return []string{
		"RCLONE_CONFIG=" + conf, "RCLONE_CONFIG_SB_TYPE=webdav", "RCLONE_CONFIG_SB_VENDOR=" + vendor,
		"RCLONE_CONFIG_SB_URL=" + s.URL + "/remote.php/dav/files/ana", "RCLONE_CONFIG_SB_USER=ana",
		"RCLONE_CONFIG_SB_PASS=" + strings.TrimSpace(s.must("", nil, rcloneProgram(), "obscure", s.password)),
		"RCLONE_CONFIG_SB_NEXTCLOUD_CHUNK_SIZE=5Mi",
	}
}

// TestRcloneMount mounts the share as deploy/clients.md says, which takes FUSE.
func TestRcloneMount(t *testing.T) {
	rclone := rcloneProgram()
	s := newSite(t, rclone, "fusermount3")
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		t.Skip("mounting takes /dev/fuse")
	} else {
		f.Close()
	}
	env := s.rcloneEnv("owncloud")
	mnt := filepath.Join(s.dir, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("fusermount3", "-u", "-z", mnt).Run() })
	mount := func() {
		t.Helper()
		// Its parent ends when it is mounted.
		if out, err := s.run("", env, rclone, "mount", "sb:photos", mnt, "--daemon", "--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--cache-dir", filepath.Join(s.dir, "cache"), "--dir-cache-time", "1m"); err != nil {
			t.Skipf("rclone cannot mount here: %v\n%s", err, out)
		}
	}
	umount := func() {
		t.Helper()
		s.must("", nil, "fusermount3", "-u", mnt)
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mount()
	sums := s.files("src")
	s.must("", nil, "cp", "-r", "--preserve=timestamps", "src/2024", mnt) // no permissions: it has none
	ok(os.Rename(filepath.Join(mnt, "2024/a&b;c+d'e~f=g@h.txt"), filepath.Join(mnt, "2024/renamed.txt")))
	ok(os.Rename(filepath.Join(mnt, "2024/renamed.txt"), filepath.Join(mnt, "2024/a&b;c+d'e~f=g@h.txt")))
	s.same(mnt, sums)
	umount()
	mount() // anew, with nothing remembered
	s.same(mnt, sums)
	st, err := os.Stat(filepath.Join(mnt, "2024/05/IMG_0001.jpg"))
	ok(err)
	if want := time.Date(2023, 5, 6, 7, 8, 9, 0, time.UTC); !st.ModTime().Equal(want) {
		t.Errorf("the time of a file: got %v, want %v", st.ModTime(), want)
	}
	f, err := os.Open(filepath.Join(mnt, "2024/larger.bin"))
	ok(err)
	part := make([]byte, 16)
	_, err = f.ReadAt(part, 5<<20)
	ok(err)
	f.Close()
	if string(part) != "0123456789abcdef" {
		t.Errorf("from the middle: got %q", part)
	}
	ok(os.RemoveAll(filepath.Join(mnt, "2024")))
	umount()
	if code, _ := s.get("/dav/photos/2024/"); code != 404 {
		t.Errorf("after its removal: got status %d", code)
	}
}

// TestDavfs2 mounts the share, which takes root and FUSE.
func TestDavfs2(t *testing.T) {
	s := newSite(t, "mount.davfs", "umount")
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		t.Skip("mounting takes root and /dev/fuse")
	}
	mnt, cache := filepath.Join(s.dir, "mnt"), filepath.Join(s.dir, "cache")
	conf := fmt.Sprintf("ask_auth 0\nsecrets %s/secrets\ncache_dir %s\ndelay_upload 0\ngui_optimize 0\n", s.dir, cache)
	for name, text := range map[string]string{"davfs2.conf": conf, "secrets": fmt.Sprintf("%s/dav/photos/ ana %s\n", s.URL, s.password)} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for d := s.dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		os.Chmod(d, 0o755) // davfs2 gives up root for a user of its own
	}
	for _, d := range []string{mnt, cache} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	s.run("", nil, "chown", "root:davfs2", cache)
	os.Chmod(cache, 0o775)
	mount := func() {
		t.Helper()
		if out, err := s.run("", nil, "mount.davfs", s.URL+"/dav/photos/", mnt, "-o", "conf="+filepath.Join(s.dir, "davfs2.conf")+",uid=0,gid=0"); err != nil {
			t.Skipf("davfs2 cannot mount here: %v\n%s", err, out)
		}
	}
	mount()
	t.Cleanup(func() { exec.Command("umount", "-l", mnt).Run() })
	data := bytes.Repeat([]byte("0123456789abcdef"), 3<<16)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(os.Mkdir(filepath.Join(mnt, "d"), 0o755))
	ok(os.WriteFile(filepath.Join(mnt, "d/a b.bin"), data, 0o644))
	ok(os.Rename(filepath.Join(mnt, "d/a b.bin"), filepath.Join(mnt, "d/c.bin")))
	f, err := os.OpenFile(filepath.Join(mnt, "d/c.bin"), os.O_WRONLY|os.O_APPEND, 0)
	ok(err)
	_, err = f.WriteString("tail")
	ok(err)
	ok(f.Close())
	s.must("", nil, "umount", mnt)
	if code, got := s.get("/dav/photos/d/c.bin"); code != 200 || got != string(data)+"tail" {
		t.Errorf("got status %d, %d bytes, want %d", code, len(got), len(data)+4)
	}
	mount()
	got, err := os.ReadFile(filepath.Join(mnt, "d/c.bin"))
	if err != nil || len(got) != len(data)+4 {
		t.Errorf("read back %d bytes, %v", len(got), err)
	}
	ok(os.Remove(filepath.Join(mnt, "d/c.bin")))
	s.must("", nil, "umount", mnt)
	if code, _ := s.get("/dav/photos/d/c.bin"); code != 404 {
		t.Errorf("a removed file: got status %d", code)
	}
}

// TestNginx stands behind a proxy that renames the host, speaks another scheme to the
// client, and closes its connections.
func TestNginx(t *testing.T) {
	s := newSite(t, "nginx")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := l.Addr().String()
	l.Close()
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
  access_log off; client_max_body_size 0;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen %[2]s; location / {
    proxy_pass http://%[3]s; proxy_http_version 1.0; proxy_request_buffering off; proxy_buffering off;
    proxy_set_header Host inner.invalid; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-For $remote_addr;
  } }
}`, s.dir, front, s.Listener.Addr())
	if err := os.WriteFile(filepath.Join(s.dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "nginx", "-p", s.dir, "-c", filepath.Join(s.dir, "nginx.conf"))
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	do := func(want int, method, path string, body io.Reader, headers ...string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+front+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("ana", s.password)
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			if r.Header.Set(name, value); name == "Anonymous" {
				r.Header.Del("Authorization")
			}
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s %q: got status %d, want %d", method, path, headers, resp.StatusCode, want)
		}
	}
	for begin := time.Now(); ; { // until it listens
		conn, err := net.Dial("tcp", front)
		if err == nil {
			conn.Close()
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("nginx does not answer")
		}
	}
	large := func() io.Reader { return bytes.NewReader(make([]byte, 12<<20)) }
	do(201, "PUT", "/dav/photos/a.bin", large())
	// The Destination is what the client calls us: another host, another scheme.
	do(201, "COPY", "/dav/photos/a.bin", nil, "Destination: https://"+front+"/dav/photos/b.bin")
	do(201, "MOVE", "/dav/photos/b.bin", nil, "Destination: https://photos.example.org/dav/photos/c%20d.bin")
	do(412, "PUT", "/dav/photos/a.bin", strings.NewReader("x"), "If: <https://"+front+"/dav/photos/a.bin> ([\"another\"])")
	// Refusals of uploads that are under way arrive, and not as 502.
	do(401, "PUT", "/dav/photos/a.bin", large(), "Anonymous: yes")
	do(412, "PUT", "/dav/photos/a.bin", large(), "If-None-Match: *")
	do(409, "PUT", "/dav/photos/none/a.bin", large())
	do(400, "PUT", "/dav/photos/a.bin", large(), "OC-Checksum: MD5:00000000000000000000000000000000")
	do(207, "PROPFIND", "/dav/photos/", nil, "Depth: 1")
}

// TestGio goes through GNOME's virtual file system, as its file manager does.
func TestGio(t *testing.T) {
	s := newSite(t, "gio", "dbus-run-session")
	if a, _ := filepath.Glob("/usr/lib*/gvfs*/gvfsd-dav"); len(a) == 0 {
		if _, err := os.Stat("/usr/libexec/gvfsd-dav"); err != nil {
			t.Skip("gvfsd-dav is not installed")
		}
	}
	script := `set -e
gio mount "$1/" < password
U=$1
echo hello > local.txt
gio mkdir "$U/a dir"
gio copy local.txt "$U/a dir/a.txt"
test "$(gio list -l "$U/a dir" | cut -f 1,2)" = "$(printf 'a.txt\t6')"
test "$(gio cat "$U/a dir/a.txt")" = hello
gio copy "$U/a dir/a.txt" "$U/a dir/b.txt"
gio rename "$U/a dir/b.txt" c.txt
gio move "$U/a dir/c.txt" "$U/a dir/d é.txt"
if gio rename "$U/a dir/a.txt" 'd é.txt'; then echo 'renamed onto what was there'; exit 1; fi
echo longer >> local.txt
gio copy local.txt "$U/a dir/a.txt"
test "$(gio cat "$U/a dir/a.txt" | wc -c)" = 13
gio remove "$U/a dir/a.txt" "$U/a dir/d é.txt" "$U/a dir"
test -z "$(gio list "$U")"
gio mount -u "$U/"
`
	for name, text := range map[string]string{"run.sh": script, "password": s.password + "\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := s.run("", []string{"XDG_RUNTIME_DIR=" + s.dir, "GVFS_DISABLE_FUSE=1"}, "dbus-run-session", "--", "sh", "-x", "run.sh", "dav://ana@"+s.Listener.Addr().String()+"/dav/photos")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
