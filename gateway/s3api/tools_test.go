package s3api_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/pem"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Real programs against this face, over HTTP and over HTTPS, for most of them send other
// bodies over each. A test is skipped, and says so, where its program is not installed.
//
//	go test ./gateway/s3api -v -run 'Boto3|AWSSync|Rclone|Restic|S3cmd|S3fs' -tools.files 5000 -timeout 30m

var toolFiles = flag.Int("tools.files", 200, "files in the trees that programs copy")

// A tool runs programs against a world.
type tool struct {
	*world
	dir string // scratch, and their home
	ca  string // file with the certificate
	env []string
}

// withTool runs a test of programs over both schemes.
func withTool(t *testing.T, programs []string, test func(*testing.T, *tool)) {
	if testing.Short() {
		t.Skip("programs take a while")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	both(t, func(t *testing.T, w *world) {
		x := &tool{world: w, dir: t.TempDir()}
		x.t = t
		x.env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + x.dir, "LC_ALL=C.UTF-8", "PYTHONWARNINGS=ignore",
			"AWS_ACCESS_KEY_ID=SBOWNER", "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_DEFAULT_REGION=auto",
			"RCLONE_CONFIG_SB_TYPE=s3", "RCLONE_CONFIG_SB_PROVIDER=Other", "RCLONE_CONFIG_SB_ENDPOINT=" + w.srv.URL, "RCLONE_CONFIG_SB_REGION=auto",
			"RCLONE_CONFIG_SB_ACCESS_KEY_ID=SBOWNER", "RCLONE_CONFIG_SB_SECRET_ACCESS_KEY=" + secretKey,
			"RESTIC_REPOSITORY=s3:" + w.srv.URL + "/photos/restic", "RESTIC_PASSWORD=x",
		}
		for _, name := range []string{"PYENV_ROOT", "PYENV_VERSION"} {
			if v, ok := os.LookupEnv(name); ok {
				x.env = append(x.env, name+"="+v)
			}
		}
		if c := w.srv.Certificate(); c != nil {
			x.ca = filepath.Join(x.dir, "ca.pem")
			if err := os.WriteFile(x.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			x.env = append(x.env, "RCLONE_CA_CERT="+x.ca, "CURL_CA_BUNDLE="+x.ca)
		}
		test(t, x)
	})
}

// run is what a program says; it must succeed.
func (x *tool) run(name string, args ...string) string {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = x.env, x.dir
	// Into a file: a pipe would stay open as long as what mounts is at work behind us.
	said, err := os.CreateTemp(x.dir, "said-")
	if err != nil {
		x.t.Fatal(err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	err = cmd.Run()
	out, _ := os.ReadFile(said.Name())
	if err != nil {
		x.t.Fatalf("%s %v: %v: %s", name, args, err, out[max(0, len(out)-2000):])
	}
	return string(out)
}

// rclone runs the one that is installed, or that SHOEBOX_TEST_RCLONE names.
func (x *tool) rclone(args ...string) string {
	x.t.Helper()
	return x.run(rcloneName(), args...)
}

func rcloneName() string { return cmp.Or(os.Getenv("SHOEBOX_TEST_RCLONE"), "rclone") }

// tree makes n files with names and sizes of many kinds; the first is empty.
func (x *tool) tree(n int) string {
	x.t.Helper()
	root := filepath.Join(x.dir, "src")
	for i := range n {
		name := filepath.Join(root, fmt.Sprintf("%d", i/100), fmt.Sprintf("IMG %04d é+%%.jpg", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			x.t.Fatal(err)
		}
		if err := os.WriteFile(name, random(i*7%9973), 0o600); err != nil {
			x.t.Fatal(err)
		}
	}
	return root
}

// same compares two trees and counts their files.
func (x *tool) same(a, b string) (files int) {
	x.t.Helper()
	walk := func(root, other string, compare bool) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if !compare {
				_, err := os.Stat(filepath.Join(other, rel))
				return err
			}
			files++
			one, err1 := os.ReadFile(path)
			two, err2 := os.ReadFile(filepath.Join(other, rel))
			if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
				x.t.Errorf("%s differs: %v, %v", rel, err1, err2)
			}
			return nil
		})
		if err != nil {
			x.t.Error(err)
		}
	}
	walk(a, b, true)
	walk(b, a, false)
	return files
}

// TestAWSSync is aws s3 sync there and back.
func TestAWSSync(t *testing.T) {
	withTool(t, []string{"aws"}, func(t *testing.T, x *tool) {
		aws := func(args ...string) string {
			args = append([]string{"--endpoint-url", x.srv.URL, "s3", "sync", "--no-progress"}, args...)
			if x.ca != "" {
				args = append([]string{"--ca-bundle", x.ca}, args...)
			}
			return x.run("aws", args...)
		}
		src, back := x.tree(*toolFiles), filepath.Join(x.dir, "back")
		want(t, "went up", strings.Count(aws(src, "s3://photos/sync"), "upload:"), *toolFiles)
		want(t, "came down", strings.Count(aws("s3://photos/sync", back), "download:"), *toolFiles)
		want(t, "went up again", strings.Count(aws(src, "s3://photos/sync"), "upload:"), 0)
		want(t, "the same", x.same(src, back), *toolFiles)
		if err := os.RemoveAll(filepath.Join(src, "0")); err != nil {
			t.Fatal(err)
		}
		want(t, "deleted", strings.Count(aws("--delete", src, "s3://photos/sync"), "delete:"), min(100, *toolFiles))
	})
}

// TestBoto3 runs testdata/python_sdk.py: the transfers, the checksums and the forms of Python's SDK.
func TestBoto3(t *testing.T) {
	python := ""
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if out, err := exec.Command(name, "-c", "import sys, boto3; print(sys.executable)").Output(); err == nil {
			python = strings.TrimSpace(string(out))
			break
		}
	}
	if python == "" {
		t.Skip("boto3 is not installed (Debian's package is python3-boto3)")
	}
	script, err := filepath.Abs("testdata/python_sdk.py")
	if err != nil {
		t.Fatal(err)
	}
	withTool(t, []string{python}, func(t *testing.T, x *tool) {
		t.Logf("%s", strings.TrimSpace(x.run(python, script, x.srv.URL, x.ca)))
	})
}

// TestRcloneBisync keeps a directory and a bucket the same, both ways.
func TestRcloneBisync(t *testing.T) {
	withTool(t, []string{rcloneName()}, func(t *testing.T, x *tool) {
		src, back := x.tree(min(*toolFiles, 500)), filepath.Join(x.dir, "back")
		bisync := func(args ...string) { x.rclone(append([]string{"bisync", src, "sb:photos/both"}, args...)...) }
		x.rclone("mkdir", "sb:photos/both")
		bisync("--resync")
		x.put("both/0/from the bucket.jpg", "new there")
		x.put("both/0/IMG 0002 é+%.jpg", "changed there")
		if err := os.WriteFile(filepath.Join(src, "from here.jpg"), []byte("new here"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(src, "0", "IMG 0003 é+%.jpg")); err != nil {
			t.Fatal(err)
		}
		want(t, "deleted there", x.remove("both/0/IMG 0004 é+%.jpg", ""), "")
		bisync()
		x.rclone("copy", "sb:photos/both", back)
		want(t, "files", x.same(src, back), min(*toolFiles, 500))
		want(t, "new here", x.get("both/from here.jpg"), "new here")
		if b, err := os.ReadFile(filepath.Join(src, "0", "IMG 0002 é+%.jpg")); err != nil || string(b) != "changed there" {
			t.Errorf("changed there: %q, %v", b, err)
		}
		if _, err := os.Stat(filepath.Join(src, "0", "IMG 0004 é+%.jpg")); err == nil {
			t.Error("what was deleted there is here yet")
		}
		x.rclone("check", src, "sb:photos/both")
	})
}

// mounted runs use while a mount is at a directory.
func (x *tool) mounted(mount func(at string), use func(at string)) {
	x.t.Helper()
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		x.t.Skip("nothing can be mounted here:", err)
	} else {
		f.Close()
	}
	fusermount := "fusermount3"
	if _, err := exec.LookPath(fusermount); err != nil {
		if fusermount, err = exec.LookPath("fusermount"); err != nil {
			x.t.Skip("fusermount is not installed (Debian's package is fuse3)")
		}
	}
	at := filepath.Join(x.dir, "mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { exec.Command(fusermount, "-uz", at).Run() })
	mount(at)
	use(at)
	x.run(fusermount, "-u", at)
}

// usual is what people do in a mounted directory.
func (x *tool) usual(at string) {
	t := x.t
	src := x.tree(min(*toolFiles, 50))
	x.run("cp", "-r", src, filepath.Join(at, "tree"))
	want(t, "copied", x.same(src, filepath.Join(at, "tree")), min(*toolFiles, 50))
	big := random(12 << 20)
	for name, content := range map[string]string{"big": string(big), "empty": "", "small": "x"} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(at, "big"), filepath.Join(at, "tree", "renamed")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(at, "tree"), filepath.Join(at, "other")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(at, "other", "renamed")); err != nil || !bytes.Equal(b, big) {
		t.Errorf("renamed: %d bytes, %v", len(b), err)
	}
	if err := os.Remove(filepath.Join(at, "small")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(at, "small")); err == nil {
		t.Error("what was removed is there yet")
	}
}

// left looks at what usual must have left in the bucket.
func (x *tool) left() {
	x.t.Helper()
	want(x.t, "big", x.get("other/renamed") == string(random(12<<20)), true)
	want(x.t, "empty", x.get("empty"), "")
	files := 0
	for _, key := range x.list() {
		if !strings.HasSuffix(key, "/") {
			files++
		}
	}
	want(x.t, "files", files, min(*toolFiles, 50)+2)
}

func TestRcloneMount(t *testing.T) {
	withTool(t, []string{rcloneName()}, func(t *testing.T, x *tool) {
		x.mounted(func(at string) {
			// Without its cache a file is in the bucket when it is closed. (With it rclone 1.60
			// loses one that is renamed before it was sent; 1.76 does not.)
			x.rclone("mount", "sb:photos", at, "--daemon", "--dir-cache-time", "1s", "--vfs-cache-mode", "off", "--log-file", filepath.Join(x.dir, "log"))
		}, x.usual)
		x.left()
	})
}

func TestS3fs(t *testing.T) {
	withTool(t, []string{"s3fs"}, func(t *testing.T, x *tool) {
		secret := filepath.Join(x.dir, "secret")
		if err := os.WriteFile(secret, []byte("SBOWNER:"+secretKey), 0o600); err != nil {
			t.Fatal(err)
		}
		x.mounted(func(at string) {
			x.run("s3fs", "photos", at, "-o", "url="+x.srv.URL+",use_path_request_style,endpoint=auto,retries=2,multipart_size=10,passwd_file="+secret)
		}, x.usual)
		x.left()
	})
}

func TestRestic(t *testing.T) {
	withTool(t, []string{"restic"}, func(t *testing.T, x *tool) {
		restic := func(args ...string) string {
			args = append([]string{"-o", "s3.bucket-lookup=path", "--no-cache"}, args...)
			if x.ca != "" {
				args = append([]string{"--cacert", x.ca}, args...)
			}
			return x.run("restic", args...)
		}
		src, back := x.tree(min(*toolFiles, 1000)), filepath.Join(x.dir, "back")
		restic("init")
		restic("backup", src)
		if err := os.WriteFile(filepath.Join(src, "more"), random(9<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		restic("backup", src)
		restic("check", "--read-data")
		restic("restore", "latest", "--target", back)
		want(t, "restored", x.same(src, filepath.Join(back, src)), min(*toolFiles, 1000)+1)
		restic("forget", "--keep-last", "1", "--prune")
		restic("check", "--read-data")
	})
}

func TestS3cmd(t *testing.T) {
	withTool(t, []string{"s3cmd"}, func(t *testing.T, x *tool) {
		_, host, _ := strings.Cut(x.srv.URL, "//")
		config := filepath.Join(x.dir, "s3cfg")
		text := fmt.Sprintf("[default]\naccess_key = SBOWNER\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nbucket_location = auto\nuse_https = %v\nca_certs_file = %s\nmultipart_chunk_size_mb = 5\n",
			secretKey, host, host, x.ca != "", x.ca)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s3cmd := func(args ...string) string {
			return x.run("s3cmd", append([]string{"-c", config, "--no-progress"}, args...)...)
		}
		n := min(*toolFiles, 500)
		src, back := x.tree(n), filepath.Join(x.dir, "back")
		if err := os.Mkdir(back, 0o700); err != nil {
			t.Fatal(err)
		}
		s3cmd("sync", src+"/", "s3://photos/cmd/")
		s3cmd("sync", "s3://photos/cmd/", back+"/")
		want(t, "the same", x.same(src, back), n)
		want(t, "again", strings.Count(s3cmd("sync", src+"/", "s3://photos/cmd/"), "upload:"), 0)
		big := filepath.Join(x.dir, "big")
		if err := os.WriteFile(big, random(11<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		s3cmd("put", big, "s3://photos/big")
		s3cmd("mv", "s3://photos/big", "s3://photos/cmd/moved")
		want(t, "moved", x.get("cmd/moved") == string(random(11<<20)), true)
		if out := s3cmd("info", "s3://photos/cmd/moved"); !strings.Contains(out, strconv.Itoa(11<<20)) {
			t.Errorf("info: %s", out)
		}
		s3cmd("del", "-r", "--force", "s3://photos/cmd/")
		want(t, "keys", x.list(), "[]")
	})
}
