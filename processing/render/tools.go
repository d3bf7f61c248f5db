//go:build unix

package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// A tool is a program of the system that makes a picture of what cannot be decoded
// here. It reads the file with descriptor 3 and writes to the one with 4, or by name, under a
// child's limits, but that it may open files, as it has libraries to load.
type tool struct {
	name  string
	takes func(mediaType string) bool
	args  []string
}

// toolOutput stands for the name of the file that a tool is to write.
const toolOutput = "OUTPUT.png"

var tools = []tool{
	{"ffmpeg", isFilm, []string{
		"-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1",
		// Of the kinds of film it knows, that one alone; some of the others are lists of
		// further files to be opened.
		"-protocol_whitelist", "file,pipe,fd", "-f", "mov", "-i", "/dev/fd/3",
		"-map", "0:v:0", "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", "-f", "image2pipe", "pipe:4",
	}},
	{"djxl", func(mediaType string) bool { return mediaType == media.JXL }, []string{
		"--num_threads=0", "--quiet", "/dev/fd/3", toolOutput, // by its suffix it knows that a PNG is wanted
	}},
}

// isFilm says whether a type is one of those that ffmpeg's mov reads.
func isFilm(mediaType string) bool {
	switch mediaType {
	case media.MP4, media.MOV, media.M4V, media.GP3, media.GP32:
		return true
	}
	return false
}

// toolFor finds the tool for a type and where it is; "" if there is none.
func (p *Pool) toolFor(mediaType string) (t tool, path string) {
	for _, t := range tools {
		if t.takes(mediaType) {
			return t, p.find(t.name)
		}
	}
	return tool{}, ""
}

// find looks for a program, once.
func (p *Pool) find(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if path, ok := p.found[name]; ok {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		path = ""
	}
	if p.found == nil {
		p.found = make(map[string]string)
	}
	p.found[name] = path
	return path
}

const (
	toolMemory = 256 << 20 // bytes a tool is expected to take
	maxPicture = 256 << 20 // bytes of the picture it makes
)

// convert has a tool make a picture of a file, as a file without a name.
func (p *Pool) convert(ctx context.Context, t tool, path string, file *os.File) (picture *os.File, size int64, err error) {
	weight := min(toolMemory, p.opt.Total)
	if err := p.room.Acquire(ctx, weight); err != nil {
		return nil, 0, err
	}
	defer p.room.Release(weight)
	ctx, cancel := context.WithTimeout(ctx, p.opt.Timeout)
	defer cancel()
	out, err := os.CreateTemp(p.opt.TempDir, "shoebox-picture-*.png")
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		os.Remove(out.Name())
		if err != nil {
			out.Close()
		}
	}()
	pair, err := socketPair()
	if err != nil {
		return nil, 0, err
	}
	ours, theirs := pair[0], pair[1]
	defer ours.Close()
	stderr := new(tail)
	cmd := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stdin, cmd.Stderr = theirs, stderr
	cmd.ExtraFiles = []*os.File{file, out}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrStart, err)
	}
	name, err := filepath.Abs(out.Name())
	args := append([]string{path}, t.args...)
	for i, arg := range args {
		if arg == toolOutput {
			args[i] = name
		}
	}
	head, err2 := json.Marshal(settings{Memory: p.opt.Memory, CPU: int64(p.opt.Timeout.Seconds() + 1), Exec: args})
	if err = errors.Join(err, err2); err == nil {
		_, err = ours.Write(appendFrame(nil, head))
	}
	err = errors.Join(err, cmd.Wait())
	if ctx.Err() != nil {
		return nil, 0, fmt.Errorf("%w: %s took longer than %v", ErrCrashed, t.name, p.opt.Timeout)
	}
	if err != nil {
		p.opt.Logger.Info("no picture by a tool", "tool", t.name, "err", err, "stderr", printable(stderr.String()))
		return nil, 0, fmt.Errorf("%w: %s: %w", ErrCorrupt, t.name, err)
	}
	size, err = out.Seek(0, io.SeekEnd)
	if err == nil && size == 0 {
		err = fmt.Errorf("%w: %s made nothing of it", ErrCorrupt, t.name)
	}
	return out, size, err
}

// runTool makes the child a tool, under the child's limits. It returns only with an error.
func runTool(set settings) error {
	if err := limit(set, maxPicture); err != nil {
		return fmt.Errorf("take on limits: %w", err)
	}
	return fmt.Errorf("run %s: %w", set.Exec[0], syscall.Exec(set.Exec[0], set.Exec, []string{"LC_ALL=C"}))
}

// poster makes variants of a file that only a tool can read. res is what was found of
// it without, and failure why there are no variants.
func (p *Pool) poster(ctx context.Context, res *Result, failure error, file *os.File) (*Result, error) {
	t, path := p.toolFor(res.Type)
	if path == "" {
		if t.name == "" {
			return res, failure
		}
		return res, fmt.Errorf("%w: %s, without %s", ErrUnsupported, res.Type, t.name)
	}
	picture, size, err := p.convert(ctx, t, path, file)
	if err != nil {
		return res, err
	}
	defer picture.Close()
	made, err := p.inChild(ctx, picture, size)
	if err != nil {
		return res, err
	}
	res.Variants, res.Placeholder, res.Partial = made.Variants, made.Placeholder, made.Partial
	// The tool has read, and turned, more than we have.
	res.Width, res.Height = made.Width, made.Height
	return res, nil
}

// Capabilities tells what this installation makes pictures of, and by what, and of what
// it does not. It looks for programs, once.
func (p *Pool) Capabilities() []string {
	s := capabilities()
	for _, t := range tools {
		kind := "film"
		if t.takes(media.JXL) {
			kind = "JPEG XL"
		}
		if p.find(t.name) != "" {
			s = append(s, kind+" by "+t.name)
		} else {
			s = append(s, "no "+kind+": "+t.name+" is not installed")
		}
	}
	return append(s, "variants as "+Type)
}
