package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRclone copies a tree in by WebDAV and compares it by S3, and the reverse, with a
// client that many people use. It is skipped where rclone is not installed.
func TestRclone(t *testing.T) {
	rclone, err := exec.LookPath("rclone")
	if err != nil {
		t.Skip("rclone is not installed")
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	srv := serveIn(t, data)
	page, err := signIn(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	c := newClients(t, srv, page)

	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), rclone, append([]string{"--config", filepath.Join(dir, "rclone.conf"), "--retries", "1"}, args...)...)
		cmd.Env = environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("rclone %s: %v\n%s", args[0], err, bytes.ReplaceAll(out, []byte(c.secret), []byte("…")))
		}
		return string(out)
	}
	run("config", "create", "dav", "webdav", "url="+srv.web+"/dav/", "vendor=owncloud", "user="+c.login, "pass="+c.secret, "--obscure")
	run("config", "create", "s3", "s3", "provider=Other", "endpoint="+srv.s3, "access_key_id="+c.id, "secret_access_key="+c.secret)

	src := filepath.Join(dir, "src")
	for i, name := range []string{"a.txt", "2024/Été & co/IMG 0001 (1) +50%.jpg", "2024/empty", "2024/deep/er/and/deeper/b", "c d/ü.jpg"} {
		name = filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		body := strings.Repeat(fmt.Sprintf("line of %s\n", filepath.Base(name)), 3000*i)
		if filepath.Base(name) == "empty" {
			body = ""
		}
		if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range [][2]string{{"dav", "s3"}, {"s3", "dav"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			in, out := way[0]+":photos/by-"+way[0], way[1]+":photos/by-"+way[0]
			run("copy", src, in)
			run("check", src, in, "--download")
			run("check", src, out, "--download")
			if text := run("copy", src, in, "-v"); strings.Contains(text, "Copied (") {
				t.Errorf("a second copy finds something to do:\n%s", text)
			}
			run("moveto", in+"/2024", in+"/2025")
			run("check", filepath.Join(src, "2024"), out+"/2025", "--download")
			run("purge", in)
			if left := run("lsf", way[1]+":photos"); left != "" {
				t.Errorf("after a purge by %s, %s still lists %q", way[0], way[1], left)
			}
		})
	}
}
