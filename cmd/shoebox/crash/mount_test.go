package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A loop is an ext4 filesystem in a file, mounted. What is written to it and not synced
// is in memory only, so that a copy of the file is what a power cut leaves.
type loop struct{ image, dir string }

func run(name string, args ...string) (string, error) {
	text, err := exec.Command(name, args...).CombinedOutput()
	return string(text), err
}

// newLoop makes and mounts a filesystem; the test is skipped where that is not allowed.
func newLoop(t *testing.T, at string, size string) *loop {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a filesystem in a file")
	}
	l := &loop{filepath.Join(at, "image"), filepath.Join(at, "mounted")}
	if text, err := run("truncate", "-s", size, l.image); err != nil {
		t.Fatal(text, err)
	}
	if text, err := run("mkfs.ext4", "-q", "-F", "-m", "0", l.image); err != nil {
		t.Skipf("no ext4 can be made here: %v %s", err, text)
	}
	l.mount(t)
	return l
}

func (l *loop) mount(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if text, err := run("mount", "-o", "loop", l.image, l.dir); err != nil {
		t.Skipf("no filesystem can be mounted here: %v %s", err, text)
	}
	t.Cleanup(func() { l.unmount() })
}

func (l *loop) unmount() {
	if text, err := run("umount", l.dir); err != nil && len(text) > 0 {
		run("umount", "-l", l.dir)
	}
}

// cut copies the file, as the disk is at this moment, and mounts the copy at another place.
func (l *loop) cut(t *testing.T, at string) *loop {
	t.Helper()
	c := &loop{filepath.Join(at, "image"), filepath.Join(at, "mounted")}
	if text, err := run("cp", "--sparse=always", l.image, c.image); err != nil {
		t.Fatal(text, err)
	}
	return c
}
