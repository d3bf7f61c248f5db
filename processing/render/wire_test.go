//go:build unix

package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
)

// honest is a true answer, and its parts to be falsified.
func honest(t *testing.T) (reply, []Variant) {
	t.Helper()
	file := testphoto.JPEG(testphoto.Quarters(640, 480))
	res, err := Render(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeResult(&out, res, nil); err != nil {
		t.Fatal(err)
	}
	head, err := readFrame(&out, maxHeader)
	if err != nil {
		t.Fatal(err)
	}
	var a reply
	if err := json.Unmarshal(head, &a); err != nil {
		t.Fatal(err)
	}
	return a, res.Variants
}

// A child that has been taken over can't make its parent believe nonsense, or spend
// memory on it.
func TestLies(t *testing.T) {
	for _, test := range []struct {
		name string
		lie  func(*reply, []Variant)
		want error // nil means that it is no lie
	}{
		{"none", func(*reply, []Variant) {}, nil},
		{"too few variants", func(a *reply, _ []Variant) { a.Variants = a.Variants[:1] }, errLies},
		{"too many variants", func(a *reply, _ []Variant) { a.Variants = append(a.Variants, a.Variants[1]) }, errLies},
		{"larger than its recipe", func(a *reply, _ []Variant) { a.Variants[0].Width, a.Width = 4000, 4000 }, errLies},
		{"larger than the original", func(a *reply, _ []Variant) { a.Variants[0].Width = 2000 }, errLies},
		{"endlessly high", func(a *reply, _ []Variant) { a.Variants[1].Height = 1 << 23 }, errLies},
		{"no pixels", func(a *reply, _ []Variant) { a.Variants[1].Width = 0 }, errLies},
		{"more bytes than pixels can take", func(a *reply, _ []Variant) { a.Variants[0].Size = 1 << 30 }, errLies},
		{"less bytes than said", func(a *reply, _ []Variant) { a.Variants[0].Size++ }, errLies},
		{"a page for a picture", func(a *reply, v []Variant) {
			v[0].Data = []byte("<script>alert(1)</script>")
			a.Variants[0].Size = len(v[0].Data)
		}, errLies},
		{"negative size", func(a *reply, _ []Variant) { a.Width = -1 }, errLies},
		{"long placeholder", func(a *reply, _ []Variant) { a.Placeholder = strings.Repeat("x", 100) }, errLies},
		{"long type", func(a *reply, _ []Variant) { a.Type = strings.Repeat("x", 1000) }, errLies},
		{"place off the Earth", func(a *reply, _ []Variant) { a.Meta.Lat = 1000 }, errLies},
		{"orientation", func(a *reply, _ []Variant) { a.Meta.Orientation = 9 }, errLies},
		{"offset", func(a *reply, _ []Variant) { a.Meta.OffsetMinutes = math.MaxInt }, errLies},
		{"long maker", func(a *reply, _ []Variant) { a.Meta.Make = strings.Repeat("x", 1000) }, errLies},
		{"a header of megabytes", func(a *reply, _ []Variant) { a.Text = strings.Repeat("x", 1<<20) }, errFrameSize},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, variants := honest(t)
			test.lie(&a, variants)
			head, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			out := appendFrame(nil, head)
			for _, v := range variants {
				out = appendFrame(out, v.Data)
			}
			_, failure, err := readAnswer(bytes.NewReader(out))
			if !errors.Is(err, test.want) || failure != nil {
				t.Errorf("got %v, %v, want %v", failure, err, test.want)
			}
		})
	}
}

// Errors keep their identity on the way, and what a child says of them is fit to be
// logged.
func TestFailures(t *testing.T) {
	for _, want := range []error{ErrUnsupported, ErrTooLarge, ErrCorrupt} {
		var out bytes.Buffer
		if err := writeResult(&out, new(Result), errors.Join(want, errors.New("because\n\x1b[31m"))); err != nil {
			t.Fatal(err)
		}
		_, failure, err := readAnswer(&out)
		if err != nil || !errors.Is(failure, want) || strings.ContainsAny(failure.Error(), "\n\x1b") {
			t.Errorf("got %q, %v, want %v", failure, err, want)
		}
	}
}

func FuzzReadResult(f *testing.F) {
	f.Add(appendFrame(nil, []byte(`{"failure":"corrupt","text":"x"}`)))
	f.Add(appendFrame(appendFrame(nil, []byte(`{"width":1,"height":1,"variants":[{"width":1,"height":1,"size":3}]}`)), []byte("abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		res, failure, err := readAnswer(bytes.NewReader(b))
		if err == nil && failure == nil && (res == nil || len(res.Variants) != len(Recipes)) {
			t.Errorf("believed %+v", res)
		}
	})
}

func readAnswer(r io.Reader) (*Result, error, error) {
	a, err := readReply(r)
	if err != nil {
		return nil, nil, err
	}
	return readResult(r, a)
}
