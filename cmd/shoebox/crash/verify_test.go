package crash

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A verdict counts what trials found. Its numbers but trials and acknowledged must be 0.
type verdict struct {
	mu                         sync.Mutex
	trials, hit, acknowledged  int
	lost, torn, visible, wrong int
	fsck, failed               int
	text                       []string
}

func (v *verdict) String() string {
	return fmt.Sprintf("trials %d (%d at their point), acknowledged %d, lost %d, torn %d, refused but visible %d, wrong answers %d, fsck errors %d, failed %d",
		v.trials, v.hit, v.acknowledged, v.lost, v.torn, v.visible, v.wrong, v.fsck, v.failed)
}

func (v *verdict) bad() bool {
	return v.lost+v.torn+v.visible+v.wrong+v.fsck+v.failed > 0
}

func (v *verdict) add(f func(*verdict)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v)
}

func (v *verdict) say(format string, args ...any) {
	if len(v.text) < 40 {
		v.text = append(v.text, fmt.Sprintf(format, args...))
	}
}

// faults counts faults; when says in which trial.
func (v *verdict) faults(when string, fs []fault) {
	v.add(func(v *verdict) {
		for _, f := range fs {
			switch f.kind {
			case "lost":
				v.lost++
			case "torn":
				v.torn++
			default:
				v.visible++
			}
			v.say("%s: %s: %s", when, f.kind, f.text)
		}
	})
}

// A listing is one collection by PROPFIND (RFC 4918 §14.24).
type listing struct {
	Responses []struct {
		Href       string    `xml:"href"`
		Collection *struct{} `xml:"propstat>prop>resourcetype>collection"`
	} `xml:"response"`
}

// viaDAV reads everything below dir: a missing dir is an empty tree.
func (a access) viaDAV(ctx context.Context, c *http.Client, web, dir string) (tree, error) {
	got := tree{}
	var walk func(path string) error
	walk = func(path string) error {
		key := strings.TrimSuffix(dir+"/"+path, "/")
		status, body, err := a.dav(ctx, c, web, "PROPFIND", key+"/", nil, map[string]string{"Depth": "1"})
		if err != nil {
			return err
		}
		if status == http.StatusNotFound && path == "" {
			return nil
		}
		if status != http.StatusMultiStatus {
			return fmt.Errorf("PROPFIND %s: %d", key, status)
		}
		var l listing
		if err := xml.Unmarshal(body, &l); err != nil {
			return err
		}
		got[path] = "/"
		for _, r := range l.Responses {
			u, err := url.Parse(r.Href)
			if err != nil {
				return err
			}
			name := strings.Trim(strings.TrimPrefix(u.Path, "/dav/"+key), "/")
			if name == "" {
				continue
			}
			member := strings.TrimPrefix(path+"/"+name, "/")
			if r.Collection != nil {
				if err := walk(member); err != nil {
					return err
				}
				continue
			}
			status, content, err := a.dav(ctx, c, web, "GET", dir+"/"+member, nil, nil)
			if err != nil {
				return err
			}
			if status != http.StatusOK {
				return fmt.Errorf("GET %s, which is listed: %d", member, status)
			}
			got[member] = shaOf(content)
		}
		return nil
	}
	return got, walk("")
}

// viaS3 reads every object of a library: key → SHA-256.
func (a access) viaS3(ctx context.Context, c *http.Client, base, library string) (tree, error) {
	got := tree{}
	client := a.s3Client(base, c)
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(library), MaxKeys: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			if strings.HasSuffix(*o.Key, "/") {
				continue
			}
			out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(library), Key: o.Key})
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(out.Body)
			out.Body.Close()
			if err != nil {
				return nil, err
			}
			if int64(len(body)) != *o.Size {
				return nil, fmt.Errorf("S3 GET: %d bytes of %d", len(body), *o.Size)
			}
			got[*o.Key] = shaOf(body)
		}
	}
	return got, nil
}

// check compares what the gateway has with what the clients were told. It counts what
// is wrong in v.
func (w *crowd) check(ctx context.Context, a access, g *gateway, v *verdict, when string) error {
	c := newHTTPClient()
	defer c.CloseIdleConnections()
	all := tree{} // every file, as WebDAV has it
	see := func(root string) (tree, error) {
		got, err := a.viaDAV(ctx, c, g.web, library+"/"+root)
		for path, sha := range got {
			if sha != "/" {
				all[root+"/"+path] = sha
			}
		}
		return got, err
	}
	for _, client := range w.clients {
		for _, p := range client.plots {
			got, err := see(p.root())
			if err != nil {
				return err
			}
			v.faults(when, p.compare(got, w.h.bodies))
		}
	}
	got, err := see("shared")
	if err != nil {
		return err
	}
	v.faults(when, compareShared(w.h.events, got, w.h.bodies))

	objects, err := a.viaS3(ctx, c, g.s3, library)
	if err != nil {
		return err
	}
	for key, sha := range all {
		if objects[key] != sha {
			v.faults(when, []fault{{"lost", key + ": S3 has not what WebDAV has"}})
		}
	}
	for key := range objects {
		if all[key] == "" {
			v.faults(when, []fault{{"visible", key + ": WebDAV has not what S3 has"}})
		}
	}
	for _, text := range append(w.wrongs(), createdTwice(w.h.events)...) {
		v.add(func(v *verdict) { v.wrong++; v.say("%s: wrong answer: %s", when, text) })
	}
	v.add(func(v *verdict) { v.acknowledged += w.h.acknowledged() })
	return nil
}
