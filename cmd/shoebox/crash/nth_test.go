package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A step is one operation of the script whose n-th request to the store fails.
type step struct {
	name string
	ask  func(*actor) (status int, err error)
	// after changes the tree to what must be there once it was done; nil if nothing changes.
	after func(tree)
	ok    []int
	// again are the answers, besides ok, when it is asked again because nobody knows
	// whether it was done: it may have been.
	again []int
	each  bool // it is about several keys, and may be done to some (S3's DeleteObjects)
}

// An actor runs the script in a library of its own, through both faces.
type actor struct {
	access
	ctx    context.Context
	web    string
	http   *http.Client
	s3     *s3.Client
	lib    string
	struck func() bool   // the one request has failed
	asked  *atomic.Int64 // how often there was no verdict
	large  bool          // the multipart upload is of two parts, not of one small
	upload *string       // its id
	parts  []types.CompletedPart
	bodies map[string]bool
}

// content is like no other library's.
func (a *actor) content(text string) []byte {
	b := []byte(a.lib + " " + text)
	if text == "big" && a.large {
		b = append(bytes.Clone(bigPart), a.lib...)
	}
	a.bodies[shaOf(b)] = true
	return b
}

func (a *actor) sha(text string) string { return shaOf(a.content(text)) }

func (a *actor) webdav(method, key string, body []byte, header ...string) (int, error) {
	h := map[string]string{}
	for i := 0; i < len(header); i += 2 {
		h[header[i]] = header[i+1]
	}
	status, _, err := a.dav(a.ctx, a.http, a.web, method, strings.TrimSuffix(a.lib+"/"+key, "/"), body, h)
	return status, err
}

func (a *actor) at(key string) string { return a.web + "/dav/" + a.lib + "/" + key }

func (a *actor) read(key, text string) (int, error) {
	status, body, err := a.dav(a.ctx, a.http, a.web, "GET", a.lib+"/"+key, nil, nil)
	if err == nil && status == http.StatusOK && !bytes.Equal(body, a.content(text)) {
		err = errWrongBody
	}
	return status, err
}

const dated = `<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:test"><D:set><D:prop><x:tag>seen</x:tag></D:prop></D:set></D:propertyupdate>`

// bigPart is as small as a part that is not the last may be.
var bigPart = bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)

// script is every kind of operation. Each step begins with what those before it left.
func script() []step {
	put := func(face, key, text string, ok ...int) step {
		return step{
			name: "put " + key + " by " + face,
			ask: func(a *actor) (int, error) {
				if face == "dav" {
					return a.webdav("PUT", key, a.content(text))
				}
				_, err := a.s3.PutObject(a.ctx, &s3.PutObjectInput{Bucket: &a.lib, Key: &key, Body: bytes.NewReader(a.content(text))})
				return answered(err)
			},
			after: func(t tree) { t[key] = text },
			ok:    append(ok, 200, 201, 204),
		}
	}
	get := func(key, text string) step {
		return step{name: "get " + key, ask: func(a *actor) (int, error) { return a.read(key, text) }, ok: []int{200}}
	}
	dav := func(method, key, to string, ok, again []int) step {
		return step{
			name: method + " " + key + " " + to,
			ask: func(a *actor) (int, error) {
				if to == "" {
					return a.webdav(method, key, nil)
				}
				return a.webdav(method, key, nil, "Destination", a.at(to))
			},
			after: func(t tree) {
				kind := map[string]string{"MKCOL": "mkcol", "MOVE": "move", "COPY": "copy", "DELETE": "delete"}[method]
				done := t.after(op{Kind: kind, Path: key, To: to})
				clear(t)
				maps.Copy(t, done)
			},
			ok: ok, again: again,
		}
	}
	created := []int{201, 204}
	return []step{
		dav("MKCOL", "", "", []int{201}, []int{405}),
		put("dav", "a", "first"),
		put("s3", "b", "first b"),
		put("dav", "a", "second"),
		put("s3", "b", "second b"),
		dav("MKCOL", "d", "", []int{201}, []int{405}),
		put("dav", "d/x", "x"),
		put("s3", "d/y", "y"),
		{name: "PROPPATCH a", ask: func(a *actor) (int, error) { return a.webdav("PROPPATCH", "a", []byte(dated)) }, ok: []int{207}},
		get("a", "second"),
		{name: "get d/y by s3", ask: func(a *actor) (int, error) {
			return getS3(a.ctx, a.s3, a.lib, "d/y", a.sha("y"))
		}, ok: []int{200}},
		dav("COPY", "a", "c", created, nil),
		{name: "copy b to e by s3", ask: func(a *actor) (int, error) {
			_, err := a.s3.CopyObject(a.ctx, &s3.CopyObjectInput{Bucket: &a.lib, Key: aws.String("e"), CopySource: aws.String(a.lib + "/b")})
			return answered(err)
		}, after: func(t tree) { t["e"] = t["b"] }, ok: []int{200}},
		dav("COPY", "d", "d2", created, nil),
		dav("MOVE", "c", "d/c", created, []int{404}),
		dav("MOVE", "e", "b", created, []int{404}), // onto what is there
		dav("MOVE", "d", "f", created, []int{404}),
		get("f/x", "x"),
		{name: "create what is there", ask: func(a *actor) (int, error) {
			return a.webdav("PUT", "a", a.content("third"), "If-None-Match", "*")
		}, ok: []int{412}},
		{name: "begin an upload", ask: func(a *actor) (int, error) {
			a.large = a.large || !a.struck() // the store is in memory: no more than is of use
			up, err := a.s3.CreateMultipartUpload(a.ctx, &s3.CreateMultipartUploadInput{Bucket: &a.lib, Key: aws.String("big")})
			if err == nil {
				a.upload, a.parts = up.UploadId, nil
			}
			return answered(err)
		}, ok: []int{200}},
		{name: "upload parts", ask: (*actor).uploadParts, ok: []int{200}},
		{name: "complete the upload", ask: func(a *actor) (int, error) {
			_, err := a.s3.CompleteMultipartUpload(a.ctx, &s3.CompleteMultipartUploadInput{
				Bucket: &a.lib, Key: aws.String("big"), UploadId: a.upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: a.parts},
			})
			return answered(err)
		}, after: func(t tree) { t["big"] = "big" }, ok: []int{200}, again: []int{404}},
		dav("DELETE", "d2/x", "", []int{204}, []int{404}),
		{name: "delete b by s3", ask: func(a *actor) (int, error) {
			_, err := a.s3.DeleteObject(a.ctx, &s3.DeleteObjectInput{Bucket: &a.lib, Key: aws.String("b")})
			return answered(err)
		}, after: func(t tree) { delete(t, "b") }, ok: []int{200}},
		{name: "delete two by s3", ask: func(a *actor) (int, error) {
			out, err := a.s3.DeleteObjects(a.ctx, &s3.DeleteObjectsInput{Bucket: &a.lib, Delete: &types.Delete{
				Objects: []types.ObjectIdentifier{{Key: aws.String("f/x")}, {Key: aws.String("d2/y")}},
			}})
			if err != nil || len(out.Errors) == 0 {
				return answered(err)
			}
			for _, d := range out.Deleted { // DeleteResult tells of each key
				if status, err := a.webdav("GET", *d.Key, nil); err != nil || status != http.StatusNotFound {
					return http.StatusOK, fmt.Errorf("%s was deleted, and GET says %d: %w", *d.Key, status, errWrongBody)
				}
			}
			return http.StatusInternalServerError, nil
		}, after: func(t tree) { delete(t, "f/x"); delete(t, "d2/y") }, ok: []int{200}, each: true},
		dav("DELETE", "f", "", []int{204}, []int{404}),
		{name: "list by s3", ask: func(a *actor) (int, error) {
			out, err := a.s3.ListObjectsV2(a.ctx, &s3.ListObjectsV2Input{Bucket: &a.lib})
			if err != nil {
				return answered(err)
			}
			var keys []string
			for _, o := range out.Contents {
				keys = append(keys, *o.Key)
			}
			if !slices.Equal(keys, []string{"a", "big", "d2/"}) {
				err = fmt.Errorf("%q are listed: %w", keys, errWrongBody)
			}
			return http.StatusOK, err
		}, ok: []int{200}},
		get("big", "big"),
	}
}

// uploadParts uploads two parts, or one that is small.
func (a *actor) uploadParts() (status int, err error) {
	parts := [][]byte{a.content("big")}
	if a.large {
		parts = [][]byte{parts[0][:len(bigPart)], parts[0][len(bigPart):]}
	}
	for i := len(a.parts); i < len(parts); i++ {
		n := aws.Int32(int32(i + 1))
		out, err := a.s3.UploadPart(a.ctx, &s3.UploadPartInput{Bucket: &a.lib, Key: aws.String("big"), UploadId: a.upload, PartNumber: n, Body: bytes.NewReader(parts[i])})
		if err != nil {
			return answered(err)
		}
		a.parts = append(a.parts, types.CompletedPart{ETag: out.ETag, PartNumber: n})
	}
	return http.StatusOK, nil
}

// real is a tree with the SHA-256 of the contents whose names t has.
func (a *actor) real(t tree) tree {
	n := tree{}
	for path, text := range t {
		if n[path] = text; text != "/" {
			n[path] = a.sha(text)
		}
	}
	return n
}

// play runs the script, one step after another. What has no verdict is asked again until it
// has one. It returns what must be there then, and counts in v what is wrong.
func (a *actor) play(v *verdict, when string, answer func()) tree {
	now := tree{}
	for _, s := range script() {
		now = a.take(s, now, v, when, answer)
	}
	return now
}

func (a *actor) take(s step, now tree, v *verdict, when string, answer func()) tree {
	next := maps.Clone(now)
	if s.after != nil {
		s.after(next)
	}
	when += ", " + s.name
	wrong := func(format string, args ...any) {
		v.add(func(v *verdict) { v.wrong++; v.say("%s: wrong answer: %s", when, fmt.Sprintf(format, args...)) })
	}
	ok := slices.Clone(s.ok)
	done := poll(patience, func() bool {
		status, err := s.ask(a)
		answer() // whoever asked knows: the store is well again
		switch {
		case errors.Is(err, errWrongBody):
			wrong("%v", err)
			return true
		case err == nil && slices.Contains(ok, status):
			if s.after != nil {
				v.add(func(v *verdict) { v.acknowledged++ })
			}
			return true
		case err == nil && status < 500 || status == http.StatusInsufficientStorage:
			wrong("%d", status)
			return true
		}
		// Nobody knows: it is as it was, or as it should be.
		a.asked.Add(1)
		ok = append(ok, s.again...)
		got, err := a.viaDAV(a.ctx, a.http, a.web, a.lib)
		if err != nil {
			wrong("after %d: %v", status, err)
			return true
		}
		outcomes, p := []tree{a.real(now), a.real(next)}, new(plot)
		if s.each { // of those that it takes away, what is still there
			part := a.real(next)
			for path := range now {
				if got[path] != "" && part[path] == "" {
					part[path] = a.real(now)[path]
				}
			}
			outcomes = append(outcomes, part)
		}
		if !slices.ContainsFunc(outcomes, func(t tree) bool { return maps.Equal(got, t) }) {
			v.faults(fmt.Sprintf("%s: after %d", when, status), p.differences(got, outcomes[1], a.bodies))
		}
		return false
	})
	if !done {
		v.add(func(v *verdict) { v.failed++; v.say("%s: no verdict", when) })
	}
	return next
}

// compare sees whether everything is there, by both faces.
func (a *actor) compare(want tree, s3Base string, v *verdict, when string) error {
	got, err := a.viaDAV(a.ctx, a.http, a.web, a.lib)
	if err != nil {
		return err
	}
	want = a.real(want)
	p := new(plot)
	v.faults(when, p.differences(got, want, a.bodies))
	if got, err = a.viaS3(a.ctx, a.http, s3Base, a.lib); err != nil {
		return err
	}
	maps.DeleteFunc(want, func(_, v string) bool { return v == "/" })
	v.faults(when+", by S3", p.differences(got, want, a.bodies))
	_, body, err := a.dav(a.ctx, a.http, a.web, "PROPFIND", a.lib+"/a", nil, map[string]string{"Depth": "0"})
	if err == nil && !bytes.Contains(body, []byte(">seen<")) {
		v.faults(when, []fault{{"lost", "a property of " + a.lib + "/a"}})
	}
	return err
}

// TestEveryStoreRequestFails runs a script of all operations once for every request that
// the program makes of its store, and lets that one fail: once, so that the program tries
// again, or until whoever asked was answered. They see success or 5xx. Whatever had
// no verdict is asked again; at the end all that was asked must be there, and, once
// more, when the program was killed and has made its index anew.
func TestEveryStoreRequestFails(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program")
	}
	t.Parallel()
	total := &verdict{}
	var figures []string
	var asked atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, max(1, *parallel))
	const common = 8 // of the nine happen to any request; the last to two kinds only, and is never left out
	for i, kind := range storeFaults {
		if i < common && *nth < common && (uint64(i)+seedOnce())%common >= uint64(*nth) {
			continue
		}
		for _, stuck := range []bool{false, true} {
			wg.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				store, end := memoryStore(t)
				defer end()
				n := everyRequest(t, newFaultProxy(t, store), kind, stuck, &asked, total)
				mu.Lock()
				defer mu.Unlock()
				figures = append(figures, fmt.Sprintf("%s, stuck %t: %d", kind, stuck, n))
			})
		}
	}
	wg.Wait()
	slices.Sort(figures)
	total.report(t, "every request to the store fails", fmt.Sprintf("; a script of %d operations, asked again %d times; %s", len(script()), asked.Load(), strings.Join(figures, "; ")))
}

// everyRequest is the loop for one fault, with one program. It returns how many
// requests failed.
func everyRequest(t *testing.T, proxy *faultProxy, kind string, stuck bool, asked *atomic.Int64, total *verdict) (n int) {
	ctx := t.Context()
	name := strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, strings.ToLower(kind))
	if stuck {
		name += "-stuck"
	}
	own := &verdict{}
	defer func() { total.join(own) }()
	tr := newTrial(t, own, name)
	defer tr.end()
	env, args := proxy.settings(name)
	env = append(env, "SHOEBOX_TEST_SET=s3.backoff=20ms,journal.append=1s")
	args = append(args, "-workers", "0", "-snapshot-every", "1000000")
	data := filepath.Join(tr.dir, "data")
	tp := newTemplateIn(t, data, environ(env...), args...)
	g, err := tr.start(ctx, data, environ(env...), args...)
	if err != nil {
		tr.failed("start: %v", err)
		return 0
	}
	c := newHTTPClient()
	defer c.CloseIdleConnections()
	var all []*actor
	var want []tree
	for more := true; more && !own.bad(); {
		a := &actor{access: tp.access, ctx: ctx, web: g.web, http: c, s3: tp.s3Client(g.s3, c), lib: fmt.Sprintf("n%04d", n+1), struck: proxy.nthStruck, asked: asked, bodies: map[string]bool{}}
		all = append(all, a)
		proxy.armNth(kind, n+1, stuck)
		want = append(want, a.play(own, fmt.Sprintf("%s, request %d", name, n+1), proxy.release))
		if more = proxy.nthStruck(); more {
			n++
		}
		proxy.heal()
		if err := a.compare(want[len(want)-1], g.s3, own, fmt.Sprintf("%s, request %d", name, n)); err != nil {
			tr.failed("request %d: %v", n, err)
		}
		tr.done(more, nil)
	}
	g.kill()
	if err := os.RemoveAll(filepath.Join(data, "index")); err != nil {
		t.Fatal(err)
	}
	if g, err = tr.start(ctx, data, environ(env...), args...); err != nil {
		tr.failed("it does not start again: %v", err)
		return n
	}
	for i, a := range all {
		a.web = g.web
		if err := a.compare(want[i], g.s3, own, fmt.Sprintf("%s, %s, made anew", name, a.lib)); err != nil {
			tr.failed("%s: %v", a.lib, err)
		}
	}
	if text, err := fsck(ctx, built(t), data); err != nil {
		own.add(func(v *verdict) { v.fsck++; v.say("%s: %v %s", name, err, text) })
	}
	tr.wrong = tr.wrong || own.bad()
	return n
}
