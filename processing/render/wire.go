//go:build unix

package render

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// The child is spoken to over two streams of frames, each a length in 4 bytes,
// big-endian, and then so many bytes:
//
//	parent to child, a Unix socket: one frame of settings, then a frame of
//	request for each picture, which brings the open file along (SCM_RIGHTS)
//
//	child to parent, a pipe: for each request a frame that says how much memory
//	it will take, if it comes to decoding, for which the child waits until the
//	parent sends an empty frame; then a frame of reply, then one frame for each variant
//	with its bytes
//
// Settings, request and reply are JSON. Neither side waits for more than it asked
// for, and the parent believes nothing of what a child says: the child has been fed
// by strangers.

// maxHeader is the largest frame of JSON, in bytes.
const maxHeader = 64 << 10

// settings are what a child keeps to.
type settings struct {
	Memory    int64 `json:"memory"`    // bytes
	CPU       int64 `json:"cpu"`       // seconds, of all pictures together
	MaxPixels int   `json:"maxPixels"` // see Options
	// Exec is a tool and its arguments, which the child is to become instead.
	Exec []string `json:"exec,omitempty"`
}

// request asks for the picture in the file that comes along.
type request struct {
	Size int64 `json:"size"` // bytes
}

// reply is a Result without its pixels, or a question before that.
type reply struct {
	Weight      int64        `json:"weight,omitempty"`  // bytes of memory that decoding will take; all else is empty
	Spent       bool         `json:"spent,omitempty"`   // the child has more memory than it can give back
	Failure     string       `json:"failure,omitempty"` // a key of failures, or "other"
	Text        string       `json:"text,omitempty"`    // of the error
	Type        string       `json:"type"`
	Meta        media.Meta   `json:"meta"`
	Width       int          `json:"width"`
	Height      int          `json:"height"`
	Placeholder string       `json:"placeholder"`
	Partial     bool         `json:"partial"`
	Variants    []replyImage `json:"variants"` // in the order of Recipes
}

type replyImage struct {
	Width  int `json:"width"`
	Height int `json:"height"`
	Size   int `json:"size"` // bytes, in a frame of their own
}

// failures are the errors that keep their identity on the way.
var failures = map[string]error{
	"unsupported": ErrUnsupported,
	"too-large":   ErrTooLarge,
	"corrupt":     ErrCorrupt,
}

func appendFrame(b, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
}

var errFrameSize = errors.New("frame is too long")

// readFrame reads a frame of at most so many bytes.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if uint64(n) > uint64(most) {
		return nil, errFrameSize
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}

// writeResult is the child's answer.
func writeResult(w io.Writer, res *Result, err error) error {
	r := reply{
		Type:        res.Type,
		Meta:        res.Meta,
		Width:       res.Width,
		Height:      res.Height,
		Placeholder: res.Placeholder,
		Partial:     res.Partial,
		Spent:       spent.Load(),
	}
	for _, v := range res.Variants {
		r.Variants = append(r.Variants, replyImage{v.Width, v.Height, len(v.Data)})
	}
	if err != nil {
		r.Failure, r.Text = "other", err.Error()
		for name, sentinel := range failures {
			if errors.Is(err, sentinel) {
				r.Failure = name
				r.Text = strings.TrimPrefix(strings.TrimPrefix(r.Text, sentinel.Error()), ": ")
			}
		}
		r.Text = r.Text[:min(len(r.Text), 1<<10)]
	}
	head, err := json.Marshal(r)
	if err != nil {
		return err
	}
	out := appendFrame(nil, head)
	for _, v := range res.Variants {
		out = appendFrame(out, v.Data)
	}
	_, err = w.Write(out)
	return err
}

// errLies says that a child's answer can't be true.
var errLies = errors.New("answer makes no sense")

// readReply reads the next frame of a child.
func readReply(r io.Reader) (a reply, err error) {
	head, err := readFrame(r, maxHeader)
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(head, &a)
}

// readResult reads what follows a child's answer, and checks all of it. failure is the
// error that the answer tells of; err says that there was no answer to be believed.
func readResult(r io.Reader, a reply) (res *Result, failure, err error) {
	const longest = 1 << 24 // pixels, of a side
	if a.Width < 0 || a.Height < 0 || a.Width > longest || a.Height > longest ||
		len(a.Type) > 128 || len(a.Placeholder) > 64 || !a.Meta.Valid() {
		return nil, nil, errLies
	}
	res = &Result{Type: a.Type, Meta: a.Meta, Width: a.Width, Height: a.Height}
	if a.Failure != "" {
		failure = errors.New(printable(a.Text))
		if sentinel, ok := failures[a.Failure]; ok {
			failure = fmt.Errorf("%w: %w", sentinel, failure)
		}
		return res, failure, nil
	}
	if len(a.Variants) != len(Recipes) {
		return nil, nil, errLies
	}
	res.Placeholder, res.Partial = a.Placeholder, a.Partial
	maxWidth, maxHeight := a.Width, a.Height // each variant is made from the one before
	for i, v := range a.Variants {
		recipe := Recipes[i]
		w, h := recipe.fit(v.Width, v.Height)
		if w != v.Width || h != v.Height || w < 1 || h < 1 || w > maxWidth || h > maxHeight {
			return nil, nil, errLies
		}
		maxWidth, maxHeight = w, h
		// Not even noise takes WebP more than its pixels take plain.
		most := 4*v.Width*v.Height + maxProfile + 4<<10
		if v.Size > most {
			return nil, nil, errLies
		}
		data, err := readFrame(r, most)
		if err != nil {
			return nil, nil, err
		}
		if len(data) != v.Size || media.Sniff(data) != Type {
			return nil, nil, errLies
		}
		res.Variants = append(res.Variants, Variant{Recipe: recipe, Width: v.Width, Height: v.Height, Data: data})
	}
	return res, nil, nil
}

// printable is text fit for a log and for a person's eyes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 200)])
}
