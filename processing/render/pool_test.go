//go:build unix

package render_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// The test binary is also the child process, of several characters.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "render":
		if err := render.ChildMain(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "render-die": // of the first picture
		fakeChild(func() { os.Exit(3) })
	case "render-hang":
		fakeChild(func() { time.Sleep(time.Hour) }) // select would be found to be a deadlock
	case "render-babble":
		fakeChild(func() { os.Stdout.WriteString("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("!", 1<<20)) })
	case "render-escape":
		escape()
	case "render-parent":
		parent(os.Args[2])
	default:
		os.Exit(m.Run())
	}
}

// fakeChild says that it is ready, and does something on the first request.
func fakeChild(do func()) {
	conn, err := net.FileConn(os.Stdin)
	if err != nil {
		panic(err)
	}
	next := func() {
		var head [4]byte
		io.ReadFull(conn, head[:])
		io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[:])))
	}
	next()
	os.Stdout.Write(make([]byte, 4))
	next()
	do()
}

func newPool(t *testing.T, character string, opt *render.PoolOptions) *render.Pool {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := render.NewPool([]string{exe, character}, opt)
	t.Cleanup(func() { p.Close() })
	return p
}

// open makes an open file of some content.
func open(t *testing.T, content []byte) (*os.File, int64) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "original")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, int64(len(content))
}

func TestPool(t *testing.T) {
	p := newPool(t, "render", nil)
	file := testphoto.WithEXIF(testphoto.JPEG(testphoto.Quarters(640, 480)), testphoto.Camera(6, "2024:07:14 21:05:59", "+02:00"))
	f, size := open(t, file)
	got, err := p.Render(t.Context(), f, size)
	if err != nil {
		t.Fatal(err)
	}
	want := do(t, file)
	if got.Type != want.Type || !reflect.DeepEqual(got.Meta, want.Meta) || got.Width != want.Width || got.Height != want.Height || got.Placeholder != want.Placeholder {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for i, v := range got.Variants {
		if v.Name() != want.Variants[i].Name() || !bytes.Equal(v.Data, want.Variants[i].Data) {
			t.Errorf("%s differs from what this process makes", v.Name())
		}
	}
}

func TestPoolErrors(t *testing.T) {
	t.Setenv("PATH", "") // no ffmpeg
	p := newPool(t, "render", nil)
	film := []byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42")
	for _, test := range []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, render.ErrUnsupported},
		{"film", film, render.ErrUnsupported},
		{"RAW", testphoto.TIFF(testphoto.Directory{{ID: 0xc612, Value: "\x01\x04"}}), render.ErrUnsupported},
		{"damaged", []byte("\xff\xd8\xff\xe0garbage"), render.ErrCorrupt},
		{"vast", testphoto.BombPNG(30000, 30000)[:64], render.ErrTooLarge},
	} {
		f, size := open(t, test.file)
		res, err := p.Render(t.Context(), f, size)
		if !errors.Is(err, test.want) || errors.Is(err, render.ErrCrashed) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if test.name == "RAW" && !strings.HasSuffix(err.Error(), "a RAW without a picture in it") {
			t.Errorf("%s: got %v", test.name, err)
		}
		if test.name == "film" && res.Type != media.MP4 {
			t.Errorf("%s: got type %q", test.name, res.Type)
		}
	}
	if n := len(p.Children()); n != 1 {
		t.Errorf("got %d children, want the one that did all of it", n)
	}
}

// check renders a good picture.
func check(t *testing.T, p *render.Pool) {
	t.Helper()
	f, size := open(t, testphoto.JPEG(testphoto.Quarters(64, 48)))
	if _, err := p.Render(t.Context(), f, size); err != nil {
		t.Errorf("a good picture: %v", err)
	}
}

func TestBomb(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory does not fit in")
	}
	const memory = 192 << 20
	p := newPool(t, "render", &render.PoolOptions{Memory: memory, Options: render.Options{MaxPixels: 1e9}})
	check(t, p)
	before := p.Children()
	// A file of 60 KB that unpacks to 400 MB of pixels.
	f, size := open(t, testphoto.BombPNG(20000, 20000))
	if size > 1<<20 {
		t.Fatalf("the bomb has %d bytes", size)
	}
	if _, err := p.Render(t.Context(), f, size); !errors.Is(err, render.ErrCrashed) || render.Permanent(err) {
		t.Errorf("got %v, want %v", err, render.ErrCrashed)
	}
	check(t, p)
	if after := p.Children(); len(before) != 1 || len(after) != 1 || before[0] == after[0] {
		t.Errorf("children before %v, after %v: want another", before, after)
	}
}

func TestChildFails(t *testing.T) {
	for _, test := range []struct{ character, says string }{
		{"render-die", "exit status 3"},
		{"render-hang", "took longer"},
		{"render-babble", "frame is too long"},
	} {
		t.Run(test.character, func(t *testing.T) {
			opt := &render.PoolOptions{Timeout: time.Minute}
			if test.character == "render-hang" {
				opt.Timeout = 300 * time.Millisecond
			}
			p := newPool(t, test.character, opt)
			f, size := open(t, testphoto.JPEG(testphoto.Quarters(64, 48)))
			for range 2 {
				_, err := p.Render(t.Context(), f, size)
				if !errors.Is(err, render.ErrCrashed) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v, want %v: … %s", err, render.ErrCrashed, test.says)
				}
			}
		})
	}
}

// A renderer that can't be started is not the picture's fault.
func TestNoChild(t *testing.T) {
	for _, command := range [][]string{{"/no/such/program"}, {"/bin/false"}} {
		p := render.NewPool(command, nil)
		defer p.Close()
		f, size := open(t, testphoto.JPEG(testphoto.Quarters(64, 48)))
		if _, err := p.Render(t.Context(), f, size); !errors.Is(err, render.ErrStart) || errors.Is(err, render.ErrCrashed) || render.Permanent(err) {
			t.Errorf("%s: got %v, want %v", command, err, render.ErrStart)
		}
	}
}

func TestCancel(t *testing.T) {
	p := newPool(t, "render-hang", &render.PoolOptions{Children: 1})
	f, size := open(t, testphoto.JPEG(testphoto.Quarters(64, 48)))
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range 3 { // two of them wait for the child
		wait.Go(func() {
			if _, err := p.Render(ctx, f, size); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		})
	}
	cancel()
	wait.Wait()
}

func TestReplaced(t *testing.T) {
	p := newPool(t, "render", &render.PoolOptions{Pictures: 2})
	seen := make(map[int]bool)
	for range 6 {
		check(t, p)
		for _, pid := range p.Children() {
			seen[pid] = true
		}
	}
	if len(seen) != 3 {
		t.Errorf("got %d children for 6 pictures, want 3", len(seen))
	}
}

func TestKilledWhileIdle(t *testing.T) {
	p := newPool(t, "render", nil)
	check(t, p)
	for _, pid := range p.Children() {
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		process.Kill()
	}
	// It may be handed a picture before its death is known; then that picture is to
	// be tried again.
	f, size := open(t, testphoto.JPEG(testphoto.Quarters(64, 48)))
	if _, err := p.Render(t.Context(), f, size); err != nil && !errors.Is(err, render.ErrCrashed) {
		t.Error(err)
	}
	check(t, p)
}

func TestClosed(t *testing.T) {
	p := newPool(t, "render", nil)
	check(t, p)
	p.Close()
	f, size := open(t, nil)
	if _, err := p.Render(t.Context(), f, size); !errors.Is(err, render.ErrClosed) {
		t.Errorf("got %v, want %v", err, render.ErrClosed)
	}
	if got := p.Children(); len(got) != 0 {
		t.Errorf("children left: %v", got)
	}
}

func TestByHand(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, "render").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "of no use by hand") {
		t.Errorf("got %v, %s", err, out)
	}
}

// parent is a program with a pool that never gets to the end of its picture. It
// says when a child is at work on it.
func parent(name string) {
	exe, _ := os.Executable()
	p := render.NewPool([]string{exe, "render"}, &render.PoolOptions{Options: render.Options{MaxPixels: 1e9}})
	warm, err := os.CreateTemp("", "")
	if err != nil {
		panic(err)
	}
	os.Remove(warm.Name())
	p.Render(context.Background(), warm, 0)
	fmt.Println(p.Children()[0])
	f, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	info, _ := f.Stat()
	for {
		p.Render(context.Background(), f, info.Size())
	}
}

func TestPoolConcurrently(t *testing.T) {
	p := newPool(t, "render", &render.PoolOptions{Children: 2, Pictures: 3})
	file := testphoto.JPEG(testphoto.Quarters(300, 200))
	garbage := []byte("\xff\xd8\xff\xe0garbage")
	var wait sync.WaitGroup
	for i := range 12 {
		content := file
		if i%3 == 0 {
			content = garbage
		}
		f, size := open(t, content)
		wait.Go(func() {
			res, err := p.Render(t.Context(), f, size)
			if i%3 == 0 {
				if !errors.Is(err, render.ErrCorrupt) {
					t.Errorf("garbage: got %v", err)
				}
				return
			}
			if err != nil || len(res.Variants) != 2 {
				t.Errorf("got %v", err)
			}
		})
	}
	wait.Wait()
	if n := len(p.Children()); n > 2 {
		t.Errorf("%d children", n)
	}
}
