package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// TestArrival lets a photograph come in every form there is, through the faces of the
// built program: each ends as exactly one item of the timeline, with one set of variants.
func TestArrival(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	srv := serveIn(t, data)
	page, err := signIn(srv.link)
	if err != nil {
		t.Fatal(err)
	}
	c := newClients(t, srv, page)

	serial := 0
	picture := func(padding int) []byte { // no two are the same
		serial++
		day := fmt.Sprintf("2021:%02d:%02d 10:00:00", 1+serial/28, 1+serial%28)
		return append(photo(t, 320, 240, 1, day, "+01:00"), make([]byte, padding)...)
	}
	move := func(method, from, to string) {
		t.Helper()
		req, err := http.NewRequest(method, srv.web+"/dav/"+from, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(c.login, c.secret)
		req.Header.Set("Destination", srv.web+"/dav/"+to)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 201 && res.StatusCode != 204 {
			t.Fatalf("%s %s to %s: %s", method, from, to, res.Status)
		}
	}
	onPage := func(method, to string, body []byte) []byte {
		t.Helper()
		got, err := page.do(method, to, func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if body != nil {
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			}
		})
		if err != nil {
			t.Fatalf("%s %s: %v", method, to, err)
		}
		return got
	}
	in := func(dir, name string) string { return "photos/" + dir + "/" + name }

	type arrival struct {
		name string
		come func(dir string)
		// What there is of it afterwards. Copies share the variants of the one original;
		// what was replaced is kept as a version, with its own.
		items, sets int
	}
	table := []arrival{
		{"put", func(dir string) { c.putDAV(in(dir, "a.jpg"), picture(0)) }, 1, 1},
		{"put-by-s3", func(dir string) { c.putS3("photos", dir+"/a.jpg", picture(0)) }, 1, 1},
		{"drop-on-the-page", func(string) {
			onPage("PUT", "/api/upload?name=drop-on-the-page.jpg&modified=2021-05-05T10:00:00Z", picture(0))
		}, 1, 1},
		{"tmp-then-move", func(dir string) {
			c.putDAV(in(dir, ".a.jpg.part"), picture(0))
			move("MOVE", in(dir, ".a.jpg.part"), in(dir, "a.jpg"))
		}, 1, 1},
		{"move-over", func(dir string) { // as programs save
			c.putDAV(in(dir, "a.jpg"), picture(0))
			c.putDAV(in(dir, "a.tmp"), picture(0))
			c.timeline(1)
			move("MOVE", in(dir, "a.tmp"), in(dir, "a.jpg"))
		}, 1, 2},
		{"copy", func(dir string) {
			c.putDAV(in(dir, "a.jpg"), picture(0))
			move("COPY", in(dir, "a.jpg"), in(dir, "b.jpg"))
		}, 2, 1},
		{"copy-by-s3", func(dir string) {
			c.putS3("photos", dir+"/a.jpg", picture(0))
			_, err := c.s3().CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String("photos"), Key: aws.String(dir + "/b.jpg"), CopySource: aws.String("photos/" + dir + "/a.jpg")})
			if err != nil {
				t.Fatal(err)
			}
		}, 2, 1},
		{"multipart", func(dir string) {
			body, key := picture(6<<20), aws.String(dir+"/a.jpg")
			up, err := c.s3().CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: key})
			if err != nil {
				t.Fatal(err)
			}
			var parts []types.CompletedPart
			for i, part := range [][]byte{body[:5<<20], body[5<<20:]} {
				n := aws.Int32(int32(i + 1))
				res, err := c.s3().UploadPart(t.Context(), &s3.UploadPartInput{Bucket: aws.String("photos"), Key: key, UploadId: up.UploadId, PartNumber: n, Body: bytes.NewReader(part)})
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, types.CompletedPart{PartNumber: n, ETag: res.ETag})
			}
			_, err = c.s3().CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: aws.String("photos"), Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
			if err != nil {
				t.Fatal(err)
			}
		}, 1, 1},
		{"post-form", func(dir string) { c.postForm(dir+"/a.jpg", picture(0)) }, 1, 1},
		{"chunks", func(dir string) { // as Nextcloud's apps do
			body := picture(0)
			chunks := "/remote.php/dav/uploads/" + c.login + "/chunks"
			for _, r := range []struct {
				method, to string
				body       []byte
			}{{"MKCOL", chunks, nil}, {"PUT", chunks + "/1", body[:2000]}, {"PUT", chunks + "/2", body[2000:]}, {"MOVE", chunks + "/.file", nil}} {
				req, err := http.NewRequest(r.method, srv.web+r.to, bytes.NewReader(r.body))
				if err != nil {
					t.Fatal(err)
				}
				req.SetBasicAuth(c.login, c.secret)
				req.Header.Set("Destination", srv.web+"/remote.php/dav/files/"+c.login+"/"+in(dir, "a.jpg"))
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != 201 && res.StatusCode != 204 {
					t.Fatalf("%s %s: %s", r.method, r.to, res.Status)
				}
			}
		}, 1, 1},
		{"overwrite-other", func(dir string) {
			c.putDAV(in(dir, "a.jpg"), picture(0))
			c.timeline(1)
			c.putDAV(in(dir, "a.jpg"), picture(0))
		}, 1, 2},
		{"overwrite-at-once", func(dir string) { // nobody has looked at the first yet, as a rule
			c.putDAV(in(dir, "a.jpg"), picture(0))
			c.putDAV(in(dir, "a.jpg"), picture(0))
		}, 1, -1},
		{"overwrite-same", func(dir string) {
			body := picture(0)
			c.putDAV(in(dir, "a.jpg"), body)
			c.timeline(1)
			c.putDAV(in(dir, "a.jpg"), body)
			c.putS3("photos", dir+"/a.jpg", body)
		}, 1, 1},
		{"move-out-and-back", func(dir string) {
			c.putDAV(in(dir, "a.jpg"), picture(0))
			move("MOVE", in(dir, "a.jpg"), "photos/elsewhere.jpg")
			c.timeline(1)
			move("MOVE", "photos/elsewhere.jpg", in(dir, "a.jpg"))
		}, 1, 1},
		{"folder-out-and-back", func(dir string) {
			c.putDAV(in(dir, "a.jpg"), picture(0))
			move("MOVE", "photos/"+dir, "photos/away")
			c.timeline(1)
			move("MOVE", "photos/away", "photos/"+dir)
		}, 1, 1},
		{"trash-and-restore", func(dir string) {
			c.putDAV(in(dir, "a.jpg"), picture(0))
			ino := c.inoOf(in(dir, "a.jpg"))
			onPage("DELETE", "/api/item/"+ino, nil)
			onPage("POST", "/api/trash/"+ino+"/restore", nil)
		}, 1, 1},
	}
	for _, a := range table {
		c.mkcol("photos/" + a.name)
		a.come(a.name)
	}

	items := c.timeline(len(table))
	sets := c.variantSets(t, filepath.Join(data, "bucket", "objects"))
	for _, a := range table {
		t.Run(a.name, func(t *testing.T) {
			var mine []timelineItem
			originals := make(map[string]bool)
			for _, it := range items {
				if strings.HasPrefix(it.Key, "photos/"+a.name+"/") || strings.HasSuffix(it.Key, "/"+a.name+".jpg") {
					mine = append(mine, it)
					for _, address := range []string{it.Thumb, it.View} {
						if address == "" {
							t.Errorf("%s lacks a variant", it.Key)
						} else if _, err := page.do("GET", srv.web+address, nil); err != nil {
							t.Errorf("%s: %v", it.Key, err)
						}
					}
					originals[it.ETag] = true
				}
			}
			if len(mine) != a.items || len(originals) != 1 {
				t.Errorf("%d items of %d originals on the timeline, want %d of 1: %+v", len(mine), len(originals), a.items, mine)
			}
		})
	}
	want, atMost := 0, 0
	for _, a := range table {
		if a.sets < 0 {
			want, atMost = want+1, atMost+2
			continue
		}
		want, atMost = want+a.sets, atMost+a.sets
	}
	if len(sets) < want || len(sets) > atMost {
		t.Errorf("%d sets of variants in the bucket, want %d", len(sets), want)
	}
	for ulid, n := range sets {
		if n != 2 {
			t.Errorf("original %s has %d variants, want thumb and view", ulid, n)
		}
	}
	if text := shoebox(t, "jobs", "list", "-data-dir", data); !strings.HasPrefix(text, "0 waiting, 0 running, 0 given up") {
		t.Errorf("jobs: %s", text)
	}
}

// variantSets counts the variants in the bucket by the original they are of.
func (c *clients) variantSets(t *testing.T, objects string) map[string]int {
	t.Helper()
	sets := make(map[string]int)
	root := filepath.Join(objects, "v1/v")
	for _, name := range objectsBelow(t, root) {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(filepath.ToSlash(rel), "/") // after the user
		ulid, _, ok := strings.Cut(rest, "/")
		if !ok {
			t.Fatalf("a variant at %s", rel)
		}
		sets[ulid]++
	}
	return sets
}

// inoOf is the id by which the page calls a file.
func (c *clients) inoOf(key string) string {
	c.t.Helper()
	body, err := c.page.do("GET", c.srv.web+"/api/timeline?n=500", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	var page struct{ Items []struct{ Ino, Key string } }
	if err := json.Unmarshal(body, &page); err != nil {
		c.t.Fatal(err)
	}
	for _, it := range page.Items {
		if it.Key == key {
			return it.Ino
		}
	}
	c.t.Fatalf("%s is not on the timeline", key)
	return ""
}

// postForm uploads as a web page does, with a form that was signed for it.
func (c *clients) postForm(key string, body []byte) {
	c.t.Helper()
	u, err := url.Parse(c.srv.s3)
	if err != nil {
		c.t.Fatal(err)
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(c.id, c.secret, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath})
	if err != nil {
		c.t.Fatal(err)
	}
	p := minio.NewPostPolicy()
	for _, err := range []error{p.SetBucket("photos"), p.SetKey(key), p.SetExpires(time.Now().Add(time.Hour)), p.SetContentLengthRange(1, 1<<20)} {
		if err != nil {
			c.t.Fatal(err)
		}
	}
	to, fields, err := client.PresignedPostPolicy(c.t.Context(), p)
	if err != nil {
		c.t.Fatal(err)
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for name, v := range fields {
		if err := w.WriteField(name, v); err != nil {
			c.t.Fatal(err)
		}
	}
	file, err := w.CreateFormFile("file", "a.jpg")
	if err != nil {
		c.t.Fatal(err)
	}
	file.Write(body)
	w.Close()
	res, err := http.Post(to.String(), w.FormDataContentType(), &form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 204 {
		text, _ := io.ReadAll(res.Body)
		c.t.Fatalf("form: %s\n%s", res.Status, text)
	}
}
