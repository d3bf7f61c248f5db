package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/image/webp"
)

// TestEndToEnd is the main job, done by the built program: a photograph goes in by
// WebDAV and another by S3; both are on both faces and on the timeline, upright and on
// the right day; they are there after a crash, and after the index was lost.
//
// With SHOEBOX_TEST_CORPUS, a directory of photographs, those go the same way.
func TestEndToEnd(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	endToEnd(t, data, filepath.Join(data, "bucket", "objects"), "-data-dir", data)
}

// TestEndToEndS3 does the same over a bucket of an S3 server of another make, where that is
// installed, and then takes the server away: that is an outage, not a loss.
func TestEndToEndS3(t *testing.T) {
	versitygw, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("versitygw is not installed")
	}
	dir := t.TempDir()
	store, data := filepath.Join(dir, "store"), filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Join(store, "box"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(versitygw, "--port", address, "posix", store)
	cmd.Env = append(environ(), "ROOT_ACCESS_KEY=box", "ROOT_SECRET_KEY=not-a-secret")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	extraEnv = []string{"AWS_ACCESS_KEY_ID=box", "AWS_SECRET_ACCESS_KEY=not-a-secret", "AWS_EC2_METADATA_DISABLED=true"}
	t.Cleanup(func() { extraEnv = nil })
	await(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	c := endToEnd(t, data, filepath.Join(store, "box", "home"), "-data-dir", data, "-bucket", "s3://box/home", "-bucket-endpoint", "http://"+address,
		"-bucket-region", "us-east-1", "-bucket-path-style", "-bucket-sse", "none")
	cmd.Process.Kill()
	c.dav("PROPFIND", "photos/", nil, 207) // the index is here
	c.dav("GET", "photos/2024/first.jpg", nil, 503)
}

// await polls until ok.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond) // other programs have clocks of their own
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("waited for 30 s in vain")
		}
	}
}

// endToEnd does the main job with the settings given; objects is where the bucket's objects
// can be looked at. The clients it returns have the last server.
func endToEnd(t *testing.T, data, objects string, settings ...string) *clients {
	srv := serveIn(t, data, settings...)
	page, err := signIn(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	c := newClients(t, srv, page)

	// The shutter opened at 23:30 in Auckland, which was the day before in UTC. The
	// camera was held upright: stored 1200 wide, shown 800 wide, red at the top right.
	first := photo(t, 1200, 800, 6, "2024:03:10 23:30:00", "+13:00")
	second := photo(t, 3000, 2000, 1, "2023:12:31 08:15:00", "")
	c.mkcol("photos/2024")
	c.putDAV("photos/2024/first.jpg", first)
	c.putS3("photos", "2023/second.jpg", second)
	corpus := c.putCorpus()

	// One write, all faces.
	for key, want := range map[string][]byte{"photos/2024/first.jpg": first, "photos/2023/second.jpg": second} {
		library, below, _ := strings.Cut(key, "/")
		if got := c.getDAV(key); !bytes.Equal(got, want) {
			t.Errorf("WebDAV gives %d bytes of %s, want %d", len(got), key, len(want))
		}
		if got := c.getS3(library, below); !bytes.Equal(got, want) {
			t.Errorf("S3 gives %d bytes of %s, want %d", len(got), key, len(want))
		}
	}
	if n := 2 + corpus; len(c.listS3("photos")) != n {
		t.Errorf("S3 lists %d objects, want %d", len(c.listS3("photos")), n)
	}

	items := c.timeline(2)
	days := map[string]string{}
	for _, it := range items {
		days[it.Key] = it.Day
	}
	for key, want := range map[string]string{"photos/2024/first.jpg": "2024-03-10", "photos/2023/second.jpg": "2023-12-31"} {
		if days[key] != want {
			t.Errorf("%s stands on day %q, want %s", key, days[key], want)
		}
	}
	if i, j := position(items, "photos/2024/first.jpg"), position(items, "photos/2023/second.jpg"); i > j {
		t.Error("the timeline is not newest first")
	}

	// Variants: the right size, and upright.
	for _, it := range items {
		switch it.Key {
		case "photos/2024/first.jpg":
			c.variant(it.Thumb, 400, 600, image.Pt(390, 10))
			c.variant(it.View, 800, 1200, image.Pt(790, 10))
		case "photos/2023/second.jpg":
			c.variant(it.Thumb, 400, 267, image.Pt(10, 10))
			c.variant(it.View, 2048, 1365, image.Pt(10, 10))
		}
	}
	if got, want := len(objectsBelow(t, filepath.Join(objects, "v1/v"))), 4; got < want {
		t.Errorf("%d variants in the bucket, want at least %d", got, want)
	}

	// Trash, an old version and an empty folder belong to what must come back.
	c.mkcol("photos/empty")
	c.putDAV("photos/2024/first.jpg", photo(t, 640, 480, 1, "2024:03:10 23:31:00", "+13:00"))
	c.putDAV("photos/gone.txt", []byte("deleted"))
	c.delete("photos/gone.txt")
	c.timeline(2)
	before := c.everything()

	// A crash loses nothing that was acknowledged.
	if err := srv.kill(); err != nil {
		t.Fatal(err)
	}
	srv = serveIn(t, data, settings...)
	c.srv = srv
	if diff := difference(before, c.everything()); diff != "" {
		t.Errorf("after kill -9: %s", diff)
	}
	if text := shoebox(t, "fsck", "-level", "3", "-data-dir", data); !strings.Contains(text, " 0 wrong") {
		t.Errorf("after kill -9: %s", text)
	}

	// Nor does the loss of the index.
	if err := srv.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(data, "index")); err != nil {
		t.Fatal(err)
	}
	shoebox(t, append([]string{"rebuild"}, settings...)...)
	c.srv = serveIn(t, data, settings...)
	if diff := difference(before, c.everything()); diff != "" {
		t.Errorf("after the rebuild: %s", diff)
	}
	if text := shoebox(t, "fsck", "-level", "3", "-data-dir", data); !strings.Contains(text, " 0 wrong") {
		t.Errorf("after the rebuild: %s", text)
	}
	return c
}

// clients are a network drive, an S3 program and a browser of one person.
type clients struct {
	t          *testing.T
	srv        *server
	page       *browser
	id, secret string
	login      string
}

// newClients mints an app password on the page and uses it with both protocols.
func newClients(t *testing.T, srv *server, page *browser) *clients {
	t.Helper()
	body, err := page.do("POST", "/api/devices", func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Body = io.NopCloser(strings.NewReader(`{"label": "end to end"}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Password    string
		AccessKeyID string
		Device      struct{ AccessKeyID string }
	}
	if err := json.Unmarshal(body, &made); err != nil || made.Password == "" {
		t.Fatalf("mint: %v %s", err, strings.ReplaceAll(string(body), made.Password, "…"))
	}
	return &clients{t: t, srv: srv, page: page, login: "owner",
		id: cmp.Or(made.AccessKeyID, made.Device.AccessKeyID), secret: made.Password}
}

func (c *clients) dav(method, key string, body []byte, want ...int) []byte {
	c.t.Helper()
	req, err := http.NewRequest(method, c.srv.web+"/dav/"+key, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth(c.login, c.secret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.Contains(want, res.StatusCode) {
		c.t.Fatalf("%s %s: %s\n%s", method, key, res.Status, text)
	}
	return text
}

func (c *clients) mkcol(key string)               { c.t.Helper(); c.dav("MKCOL", key, nil, 201) }
func (c *clients) putDAV(key string, body []byte) { c.t.Helper(); c.dav("PUT", key, body, 201, 204) }
func (c *clients) getDAV(key string) []byte       { c.t.Helper(); return c.dav("GET", key, nil, 200) }
func (c *clients) delete(key string)              { c.t.Helper(); c.dav("DELETE", key, nil, 204) }

func (c *clients) s3() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(c.srv.s3), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(c.id, c.secret, ""),
	})
}

func (c *clients) putS3(library, key string, body []byte) {
	c.t.Helper()
	_, err := c.s3().PutObject(c.t.Context(), &s3.PutObjectInput{Bucket: &library, Key: &key, Body: bytes.NewReader(body)})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *clients) getS3(library, key string) []byte {
	c.t.Helper()
	out, err := c.s3().GetObject(c.t.Context(), &s3.GetObjectInput{Bucket: &library, Key: &key})
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return body
}

// listS3 tells each object in a line: key, size, ETag.
func (c *clients) listS3(library string) (list []string) {
	c.t.Helper()
	pages := s3.NewListObjectsV2Paginator(c.s3(), &s3.ListObjectsV2Input{Bucket: &library, MaxKeys: aws.Int32(7)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range page.Contents {
			list = append(list, fmt.Sprintf("%s %d %s %s", *o.Key, *o.Size, *o.ETag, o.LastModified.UTC().Format(time.RFC3339)))
		}
	}
	return list
}

// putCorpus uploads real photographs, half by each protocol, and says how many.
func (c *clients) putCorpus() (n int) {
	dir := os.Getenv("SHOEBOX_TEST_CORPUS")
	if dir == "" {
		return 0
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.mkcol("photos/corpus")
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			c.t.Fatal(err)
		}
		key := "corpus/" + filepath.Base(name)
		if n++; n%2 == 0 {
			c.putDAV("photos/"+key, body)
		} else {
			c.putS3("photos", key, body)
		}
	}
	return n
}

type timelineItem struct {
	Key, Day, Name, Thumb, View, ETag string
	Ready                             bool
}

// timeline waits until every picture on it has been looked at, at least n of them.
func (c *clients) timeline(n int) (items []timelineItem) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond) // the program has a clock of its own
	defer poll.Stop()
	for {
		items = nil
		ready := true
		for after := ""; ; {
			body, err := c.page.do("GET", c.srv.web+"/api/timeline?n=500&after="+after, nil)
			if err != nil {
				c.t.Fatal(err)
			}
			var page struct {
				Items []timelineItem
				Next  string
			}
			if err := json.Unmarshal(body, &page); err != nil {
				c.t.Fatal(err)
			}
			items = append(items, page.Items...)
			if after = page.Next; after == "" {
				break
			}
		}
		for _, it := range items {
			ready = ready && it.Ready
		}
		if ready && len(items) >= n {
			return items
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			c.t.Fatalf("the timeline is not ready: %+v", items)
		}
	}
}

func position(items []timelineItem, key string) int {
	return slices.IndexFunc(items, func(it timelineItem) bool { return it.Key == key })
}

// variant checks a variant's size, and that it is red at a point.
func (c *clients) variant(address string, width, height int, red image.Point) {
	c.t.Helper()
	body, err := c.page.do("GET", c.srv.web+address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	img, err := webp.Decode(bytes.NewReader(body))
	if err != nil {
		c.t.Fatalf("%s is no WebP: %v", address, err)
	}
	if got := img.Bounds().Size(); got != image.Pt(width, height) {
		c.t.Errorf("%s is %v, want %d × %d", address, got, width, height)
		return
	}
	if r, g, b, _ := img.At(red.X, red.Y).RGBA(); r < 0xa000 || g > 0x6000 || b > 0x6000 {
		c.t.Errorf("%s is %x %x %x at %v, want red: it is not upright", address, r>>8, g>>8, b>>8, red)
	}
}

// everything is what every face and command tells, a line each.
func (c *clients) everything() (all []string) {
	c.t.Helper()
	for _, line := range c.listS3("photos") {
		all = append(all, "s3 "+line)
	}
	for _, dir := range []string{"", "photos/", "photos/2024/", "photos/2023/", "photos/empty/"} {
		all = append(all, "dav "+string(c.dav("PROPFIND", dir, nil, 207)))
	}
	// Sessions are not in the bucket: a new one, by a new link.
	page, err := signIn(strings.TrimSpace(shoebox(c.t, "login-link", "-data-dir", filepath.Dir(c.adminSocket()))))
	if err != nil {
		c.t.Fatal(err)
	}
	page.base, c.page = c.srv.web, page
	for _, it := range c.timeline(2) {
		all = append(all, fmt.Sprintf("timeline %+v", it))
		for _, address := range []string{it.Thumb, it.View} {
			if address != "" {
				if _, err := page.do("GET", address, nil); err != nil {
					c.t.Errorf("%s: %v", address, err)
				}
			}
		}
	}
	trash, err := page.do("GET", "/api/trash", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return append(all, "trash "+string(trash))
}

func (c *clients) adminSocket() string {
	for i, arg := range c.srv.cmd.Args {
		if arg == "-data-dir" {
			return filepath.Join(c.srv.cmd.Args[i+1], "admin.sock")
		}
	}
	panic("serve without -data-dir")
}

// difference tells the first lines that two tellings do not share.
func difference(want, got []string) string {
	var b strings.Builder
	for _, line := range want {
		if !slices.Contains(got, line) {
			fmt.Fprintf(&b, "\nlost: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			fmt.Fprintf(&b, "\nnew:  %s", line)
		}
	}
	return b.String()
}

func objectsBelow(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// photo makes a JPEG as a camera does: red in the corner that is stored first, with
// EXIF (CIPA DC-008) for orientation, time and, if not "", offset from UTC.
func photo(t *testing.T, width, height, orientation int, taken, offset string) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{40, 90, uint8(100 + 100*x/width), 255}
			if x < width/4 && y < height/4 {
				c = color.RGBA{230, 20, 20, 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	exif := append([]byte("Exif\x00\x00"), tiff(orientation, taken, offset)...)
	out := []byte{0xff, 0xd8, 0xff, 0xe1}
	out = binary.BigEndian.AppendUint16(out, uint16(len(exif)+2))
	return append(append(out, exif...), plain.Bytes()[2:]...)
}

// tiff is the EXIF block: two directories, little-endian.
func tiff(orientation int, taken, offset string) []byte {
	type tag struct {
		id, kind uint16
		text     string // kind 2
		n        uint32
	}
	directory := func(at int, tags []tag) []byte {
		out := binary.LittleEndian.AppendUint16(nil, uint16(len(tags)))
		var text []byte
		texts := at + 2 + 12*len(tags) + 4
		for _, t := range tags {
			out = binary.LittleEndian.AppendUint16(out, t.id)
			out = binary.LittleEndian.AppendUint16(out, t.kind)
			n, v := uint32(1), t.n
			if t.kind == 2 {
				n, v = uint32(len(t.text)+1), uint32(texts+len(text))
				text = append(append(text, t.text...), 0)
			}
			out = binary.LittleEndian.AppendUint32(out, n)
			out = binary.LittleEndian.AppendUint32(out, v)
		}
		return append(append(out, 0, 0, 0, 0), text...)
	}
	const ascii, short, long = 2, 3, 4
	main := []tag{{0x010f, ascii, "Example Camera Co.", 0}, {0x0110, ascii, "Model One", 0}, {0x0112, short, "", uint32(orientation)}, {0x8769, long, "", 0}}
	sub := []tag{{0x9003, ascii, taken, 0}}
	if offset != "" {
		sub = append(sub, tag{0x9011, ascii, offset, 0})
	}
	at := 8
	main[3].n = uint32(at + len(directory(at, main)))
	out := append([]byte("II\x2a\x00\x08\x00\x00\x00"), directory(at, main)...)
	return append(out, directory(int(main[3].n), sub)...)
}
