//go:build unix

package render_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// Pictures wait for memory, and waiting is not held against them.
func TestRoom(t *testing.T) {
	p := newPool(t, "render", &render.PoolOptions{Children: 3, Total: 1, Timeout: time.Minute})
	file := testphoto.PNG(testphoto.Quarters(600, 400))
	var wait sync.WaitGroup
	for range 6 {
		f, size := open(t, file)
		wait.Go(func() {
			if _, err := p.Render(t.Context(), f, size); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := p.Free(); n != 1 {
		t.Errorf("%d bytes of room are left, want 1", n)
	}
}

// What a picture will take is known from its header.
func TestWeight(t *testing.T) {
	refused := errors.New("refused")
	for _, test := range []struct {
		name        string
		file        []byte
		least, most int64
	}{
		{"JPEG", testphoto.JPEG(testphoto.Quarters(1000, 1000)), 1e6, 40 << 20},
		{"PNG", testphoto.PNG(testphoto.Quarters(1000, 1000)), 8e6, 50 << 20},
		{"bomb", testphoto.BombPNG(10000, 10000), 800e6, 900e6},
	} {
		var got int64
		_, err := render.Render(bytes.NewReader(test.file), int64(len(test.file)), &render.Options{Admit: func(n int64) error {
			got = n
			return refused
		}})
		if !errors.Is(err, refused) || got < test.least || got > test.most {
			t.Errorf("%s: got %d bytes, %v; want %d to %d", test.name, got, err, test.least, test.most)
		}
	}
}

// A child whose memory has grown for good is replaced; one that has not is kept.
func TestSpent(t *testing.T) {
	if raceEnabled {
		t.Skip("minutes, under the race detector")
	}
	file := sampleHEIC(t)
	p := newPool(t, "render", nil)
	check(t, p)
	if len(p.Children()) != 1 {
		t.Fatalf("children: %v", p.Children())
	}
	f, size := open(t, file)
	res, err := p.Render(t.Context(), f, size)
	if err != nil || res.Type != media.HEIC || len(res.Variants) != len(render.Recipes) {
		t.Fatalf("in a child: got %+v, %v", res, err)
	}
	want := 0
	if render.HasLibheif() {
		want = 1
	}
	if n := len(p.Children()); n != want {
		t.Errorf("got %d children after it, want %d", n, want)
	}
}
