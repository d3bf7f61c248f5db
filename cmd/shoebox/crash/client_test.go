package crash

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A client works on a collection of its own, one thing after another, so that what must
// be there is known exactly; and now and then on files that all clients write.
type client struct {
	access
	id     int
	rng    *rand.Rand
	h      *history
	web    string
	http   *http.Client
	s3     *s3.Client
	shared bool
	full   bool // the disk may be full: 507 is an answer, and says that nothing was changed

	plots  []*plot
	plot   *plot // the last of plots
	wrongs []string
}

const library = "photos"

func newClient(id int, rng *rand.Rand, h *history, a access, g *gateway, c *http.Client) *client {
	return &client{access: a, id: id, rng: rng, h: h, web: g.web, http: c, s3: a.s3Client(g.s3, c), shared: id%2 == 0}
}

// work goes on until ctx ends or the gateway is gone.
func (c *client) work(ctx context.Context) error {
	for ctx.Err() == nil {
		if c.plot == nil || c.plot.pending != nil {
			c.plot = &plot{client: c.id, gen: len(c.plots), sure: tree{}}
			c.plots = append(c.plots, c.plot)
		}
		if c.plot.sure[""] == "" {
			if more, err := c.do(ctx, op{Kind: "mkcol", Face: "dav"}, nil); err != nil || !more {
				return err
			}
			continue
		}
		o, body := c.choose()
		if more, err := c.do(ctx, o, body); err != nil || !more {
			return err
		}
	}
	return nil
}

// choose picks an operation that must succeed as things are, or, rarely, one that must not.
func (c *client) choose() (op, []byte) {
	var files, dirs []string
	for p, v := range c.plot.sure {
		switch {
		case v != "/":
			files = append(files, p)
		case p != "":
			dirs = append(dirs, p)
		}
	}
	slices.Sort(files) // maps have no order, and a seed must make the same again
	slices.Sort(dirs)
	face := []string{"dav", "s3"}[c.rng.IntN(2)]
	path := func() string { // of a file that is there or not
		name := fmt.Sprintf("f%d", c.rng.IntN(6))
		if c.rng.IntN(4) == 0 {
			name = fmt.Sprintf("p%d.jpg", c.rng.IntN(4))
		}
		if len(dirs) > 0 && c.rng.IntN(3) > 0 {
			return dirs[c.rng.IntN(len(dirs))] + "/" + name
		}
		return name
	}
	one := func(list []string) string { return list[c.rng.IntN(len(list))] }
	o := op{Kind: "put", Face: face, Path: path()}
	switch n := c.rng.IntN(100); {
	case n < 8 && c.shared:
		o.Shared, o.Path = true, fmt.Sprintf("s%d", c.rng.IntN(8))
		if c.rng.IntN(5) == 0 {
			o.Kind = "delete"
			return o, nil
		}
		o.Create = c.rng.IntN(3) == 0
	case n < 16 && len(files) > 0:
		o = op{Kind: "get", Face: face, Path: one(files)}
		o.SHA = c.plot.sure[o.Path]
		return o, nil
	case n < 24:
		o = op{Kind: "mkcol", Face: "dav", Path: fmt.Sprintf("d%d", c.rng.IntN(4))}
		if c.plot.sure[o.Path] == "" {
			return o, nil
		}
		o = op{Kind: "put", Face: face, Path: path()}
	case n < 33 && len(files) > 0:
		o = op{Kind: "move", Face: "dav", Path: one(files), To: path()}
		if o.Path != o.To {
			return o, nil
		}
		o = op{Kind: "put", Face: face, Path: o.Path}
	case n < 40 && len(dirs) > 0: // a collection, onto nothing
		o = op{Kind: "move", Face: "dav", Path: one(dirs), To: fmt.Sprintf("d%d", c.rng.IntN(4))}
		if c.rng.IntN(3) == 0 {
			o.Kind = "copy"
		}
		if c.plot.sure[o.To] == "" {
			return o, nil
		}
		o = op{Kind: "put", Face: face, Path: path()}
	case n < 47 && len(files) > 0:
		o = op{Kind: "copy", Face: face, Path: one(files), To: path()}
		if o.Path != o.To {
			return o, nil
		}
		o = op{Kind: "put", Face: face, Path: o.Path}
	case n < 55 && len(files) > 0:
		return op{Kind: "delete", Face: face, Path: one(files)}, nil
	case n < 58 && len(dirs) > 0:
		return op{Kind: "delete", Face: "dav", Path: one(dirs)}, nil
	case n < 63:
		o = op{Kind: "bad", Face: face, Path: path()}
	case n < 70:
		o.Face = "multipart"
	}
	body := c.body(strings.HasSuffix(o.Path, ".jpg"))
	if o.Face == "multipart" && c.rng.IntN(8) == 0 {
		body = append(make([]byte, 5<<20), body...) // of two parts
	}
	o.SHA = shaOf(body)
	return o, body
}

// body is like no other; a picture is one that can be made smaller.
func (c *client) body(picture bool) []byte {
	b := make([]byte, 16+c.rng.IntN(3000))
	for i := range b {
		b[i] = byte(c.rng.Uint32())
	}
	if !picture {
		return b
	}
	img := image.NewRGBA(image.Rect(0, 0, 48, 32))
	for i := range 48 * 32 {
		img.Set(i%48, i/48, color.RGBA{b[0], byte(i), b[1], 255})
	}
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, img, nil); err != nil {
		panic(err)
	}
	out := []byte{0xff, 0xd8, 0xff, 0xfe} // a comment of 16 random bytes
	out = binary.BigEndian.AppendUint16(out, 18)
	return append(append(out, b[:16]...), plain.Bytes()[2:]...)
}

// do asks for one operation and notes the answer. more is false if there is nobody to ask.
func (c *client) do(ctx context.Context, o op, body []byte) (more bool, err error) {
	o.Gen = c.plot.gen
	e, err := c.h.invoke(c.id, o)
	if err != nil {
		return false, err
	}
	status, err := c.send(context.WithoutCancel(ctx), o, body)
	state := "unknown"
	var dial *net.OpError
	switch {
	case err == errEarly:
		state = "unsent"
	case errors.As(err, &dial) && dial.Op == "dial":
		state = "unsent"
	case err == nil && status == http.StatusInsufficientStorage && c.full:
		state = "refused"
		pause(ctx, 20*time.Millisecond)
	case err != nil || status >= 500:
		pause(ctx, 10*time.Millisecond)
	case status >= 400:
		state = "refused"
	default:
		state = "ok"
	}
	if err := c.h.answer(e, state, status); err != nil {
		return false, err
	}
	switch {
	case err == errWrongBody:
		c.wrong("%+v: other content", o)
	case status == http.StatusInsufficientStorage && c.full, status == http.StatusPreconditionFailed && o.Create:
	case state == "refused" && o.Kind != "bad" && !(o.Kind == "delete" && o.Shared && status == 404):
		c.wrong("%+v: refused with %d", o, status)
	case state == "ok" && o.Kind == "bad":
		c.wrong("%+v: taken with %d", o, status)
	}
	if o.writes() && !o.Shared {
		switch state {
		case "ok":
			c.plot.sure = c.plot.sure.after(o)
		case "unknown":
			c.plot.pending = &o
		}
	}
	return !(state == "unsent" && err != errEarly), nil
}

func (c *client) wrong(format string, args ...any) {
	c.wrongs = append(c.wrongs, fmt.Sprintf(format, args...))
}

var (
	errEarly     = errors.New("it ended before anything could change") // a part of an upload failed
	errWrongBody = errors.New("other content came")
)

// key is where a path is in the library.
func (o op) key(p *plot, path string) string {
	root := p.root()
	if o.Shared {
		root = "shared"
	}
	return strings.TrimSuffix(root+"/"+path, "/")
}

func (c *client) send(ctx context.Context, o op, body []byte) (int, error) {
	key := o.key(c.plot, o.Path)
	switch o.Face {
	case "s3":
		return c.sendS3(ctx, o, key, body)
	case "multipart":
		return c.sendParts(ctx, key, body)
	}
	key = library + "/" + key
	header := map[string]string{}
	method := map[string]string{"put": "PUT", "mkcol": "MKCOL", "move": "MOVE", "copy": "COPY", "delete": "DELETE", "get": "GET", "bad": "PUT"}[o.Kind]
	if o.To != "" {
		header["Destination"] = c.web + "/dav/" + library + "/" + o.key(c.plot, o.To)
	}
	if o.Create {
		header["If-None-Match"] = "*"
	}
	if o.Kind == "bad" {
		key = strings.TrimSuffix(key, o.Path) + "no such collection/" + o.Path // RFC 4918 §9.7.1: 409
		key = strings.ReplaceAll(key, " ", "%20")
	}
	status, answer, err := c.dav(ctx, c.http, c.web, method, key, body, header)
	if err == nil && o.Kind == "get" && status == http.StatusOK && shaOf(answer) != o.SHA {
		err = errWrongBody
	}
	return status, err
}

// answered is the status of what the SDK returned.
func answered(err error) (int, error) {
	if err == nil {
		return http.StatusOK, nil
	}
	var res *smithyhttp.ResponseError
	if errors.As(err, &res) && res.Response != nil && res.HTTPStatusCode() >= 400 {
		return res.HTTPStatusCode(), nil
	}
	return 0, err
}

func (c *client) sendS3(ctx context.Context, o op, key string, body []byte) (int, error) {
	lib := aws.String(library)
	switch o.Kind {
	case "delete":
		_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: lib, Key: &key})
		return answered(err)
	case "copy":
		_, err := c.s3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: lib, Key: aws.String(o.key(c.plot, o.To)), CopySource: aws.String(library + "/" + key)})
		return answered(err)
	case "get":
		return getS3(ctx, c.s3, library, key, o.SHA)
	}
	in := &s3.PutObjectInput{Bucket: lib, Key: &key, Body: bytes.NewReader(body)}
	if o.Create {
		in.IfNoneMatch = aws.String("*")
	}
	if o.Kind == "bad" {
		sum := md5.Sum(append(body, 0))
		in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	}
	_, err := c.s3.PutObject(ctx, in)
	return answered(err)
}

// getS3 reads an object, whose content must have that SHA-256.
func getS3(ctx context.Context, c *s3.Client, lib, key, sha string) (int, error) {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &lib, Key: &key})
	if err != nil {
		return answered(err)
	}
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	if err == nil && shaOf(got) != sha {
		err = errWrongBody
	}
	return http.StatusOK, err
}

// sendParts uploads in parts of 5 MiB, the least there may be.
func (c *client) sendParts(ctx context.Context, key string, body []byte) (int, error) {
	lib := aws.String(library)
	up, err := c.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: lib, Key: &key})
	if err != nil {
		return 0, errEarly
	}
	var parts []types.CompletedPart
	for part := range slices.Chunk(body, 5<<20) {
		n := aws.Int32(int32(len(parts) + 1))
		out, err := c.s3.UploadPart(ctx, &s3.UploadPartInput{Bucket: lib, Key: &key, UploadId: up.UploadId, PartNumber: n, Body: bytes.NewReader(part)})
		if err != nil {
			return 0, errEarly
		}
		parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: n})
	}
	_, err = c.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: lib, Key: &key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return answered(err)
}

// A crowd is all clients of one trial.
type crowd struct {
	h       *history
	clients []*client
}

// run lets the clients work until ctx ends or the gateway is gone.
func (w *crowd) run(ctx context.Context) error {
	errs := make([]error, len(w.clients))
	var wg sync.WaitGroup
	for i, c := range w.clients {
		wg.Go(func() { errs[i] = c.work(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// newCrowd makes n clients; stream tells one trial's randomness from another's.
func newCrowd(h *history, n int, stream uint64, a access, g *gateway) *crowd {
	w := &crowd{h: h}
	c := newHTTPClient()
	for i := range n {
		w.clients = append(w.clients, newClient(i, source(stream*1000+uint64(i)), h, a, g, c))
	}
	return w
}

// wrongs are the answers that no crash excuses.
func (w *crowd) wrongs() (all []string) {
	for _, c := range w.clients {
		all = append(all, c.wrongs...)
	}
	return all
}
