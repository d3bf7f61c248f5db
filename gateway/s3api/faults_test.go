package s3api_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// A broken bucket gives, of every object, the first good bytes; < 0 means all.
type broken struct {
	object.Bucket
	good atomic.Int64
}

func (b *broken) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	good := b.good.Load()
	if good < 0 {
		return b.Bucket.Get(ctx, name, off, n)
	}
	if good == 0 {
		return nil, object.ErrUnavailable
	}
	r, err := b.Bucket.Get(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, good), failing{}), r}, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, object.ErrUnavailable }

// An object that can not be read is never taken for one that is not there, nor its
// beginning for the whole.
func TestUnavailable(t *testing.T) {
	for _, tls := range []bool{false, true} {
		b := &broken{Bucket: membucket.New()}
		b.good.Store(-1)
		w := newWorld(t, config{tls: tls, bucket: b})
		data := random(1 << 20)
		w.put("a", string(data))
		b.good.Store(0)
		resp, body := w.do("GET", "/photos/a", "")
		want(t, "get", refusal(resp, body), "503 SlowDown")
		want(t, "Retry-After", resp.Header.Get("Retry-After") != "", true)
		want(t, "ETag of the error", resp.Header.Get("ETag"), "")
		resp, body = w.do("GET", "/photos/a", "", "Range", "bytes=5-9")
		want(t, "get a range", refusal(resp, body), "503 SlowDown")
		resp, _ = w.do("HEAD", "/photos/a", "")
		want(t, "head", resp.StatusCode, 200) // needs no bucket
		for _, good := range []int64{100, 40_000, 1<<20 - 1} {
			b.good.Store(good)
			resp, err := w.srv.Client().Do(w.request("GET", "/photos/a", ""))
			if err != nil {
				continue // the connection ended before anything of it went out
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil || int64(len(got)) > good || string(got) != string(data[:len(got)]) {
				t.Errorf("after %d bytes: got %s, %d bytes, %v", good, resp.Status, len(got), err)
			}
		}
	}
}
