package render_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// escape is a child that has been taken over: it tries what it must not be able to
// do, and says how that went.
func escape() {
	if err := render.Confine(512 << 20); err != nil {
		fmt.Println("confine:", err)
		return
	}
	_, err := os.Open("/etc/passwd")
	fmt.Println("open:", errors.Is(err, syscall.EPERM))
	err = os.WriteFile(filepath.Join(os.TempDir(), "shoebox-escaped"), nil, 0o600)
	fmt.Println("write:", errors.Is(err, syscall.EPERM))
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	fmt.Println("socket:", errors.Is(err, syscall.EPERM))
	err = exec.Command("/bin/true").Run()
	fmt.Println("exec:", err != nil)
	fmt.Println("kill:", errors.Is(unix.Kill(os.Getppid(), 0), syscall.EPERM))
	fmt.Println("signal a thread:", errors.Is(unix.Tgkill(os.Getppid(), os.Getppid(), 0), syscall.EPERM))
	err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 32, Max: 32})
	fmt.Println("limits:", errors.Is(err, syscall.EPERM))
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	fmt.Println("nice:", 20-prio == 10, err)
}

func TestConfined(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, "render-escape").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	want := []string{"open: true", "write: true", "socket: true", "exec: true", "kill: true", "signal a thread: true", "limits: true", "nice: true <nil>"}
	if got := strings.TrimSpace(string(out)); got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s", got)
	}
}

// A child at work does not outlive its parent, however that ends.
func TestParentKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "slow.png")
	if err := os.WriteFile(name, testphoto.BombPNG(10000, 10000), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "render-parent", name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Skipf("no pidfd: %v", err)
	}
	defer unix.Close(fd)
	cmd.Process.Kill()
	cmd.Wait()
	const seconds = 10
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, seconds*1000)
	if n != 1 {
		t.Errorf("child %d still there after %d s: %v", pid, seconds, err)
		unix.Kill(pid, unix.SIGKILL)
	}
}
