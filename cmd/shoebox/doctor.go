package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"os"

	"github.com/shoebox-photos/shoebox/processing/render"
)

func doctorCommand() *command {
	return &command{
		name: "doctor", short: "say what pictures can be made here",
		long: `
Renders a picture of its own in a child process, under the limits the server gives it,
and lists of which kinds of file this installation makes previews, by what, and of which
it does not. It needs neither the server nor the bucket. It exits with 1 if no picture
can be made at all.

What is missing can be installed at any time: the server looks for ffmpeg and djxl when
it starts. HEIC and AVIF by libheif need libheif.so, which Debian has in libheif-dev.`,
		run: func(ctx context.Context, in *invocation) error { return doctor(ctx, in) },
	}
}

func doctor(ctx context.Context, in *invocation) error {
	self, err := executable()
	if err != nil {
		return fmt.Errorf("find this program, to render a picture with it: %w", err)
	}
	pool := render.NewPool([]string{self, "render"}, &render.PoolOptions{
		Logger: in.log, Children: 1, Memory: int64(in.cfg.renderMemory), Timeout: in.cfg.renderTimeout,
	})
	defer pool.Close()
	for _, c := range pool.Capabilities() {
		if _, err := fmt.Fprintln(in.stdout, c); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp("", "shoebox-doctor-*")
	if err != nil {
		return err
	}
	defer f.Close()
	os.Remove(f.Name())
	m := image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range m.Pix {
		m.Pix[i] = uint8(i / 640)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		return err
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		return err
	}
	if _, err := pool.Render(ctx, f, int64(b.Len())); err != nil {
		return fmt.Errorf("render a picture: %w", err)
	}
	_, err = fmt.Fprintln(in.stdout, "a picture was rendered: ok")
	return err
}
