package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"path"
	"strings"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// variantID stands for a variant of an original: its ULID, and a hash of its name.
type variantID struct {
	ulid [26]byte
	name uint64
}

var variantSeed = maphash.MakeSeed()

func variantOf(ulid, name string) (v variantID) {
	copy(v.ulid[:], ulid)
	v.name = maphash.String(variantSeed, name)
	return v
}

// compareBucket is level 3.
func (c *check) compareBucket(ctx context.Context, bucket object.Bucket) error {
	missing := make(map[string]bool, len(c.objects))
	for obj := range c.objects {
		missing[obj] = true
	}
	n, total := int64(0), int64(len(c.objects))
	for info, err := range bucket.List(ctx, object.OriginalPrefix(c.t.uid), "") {
		if err != nil {
			return fmt.Errorf("list originals: %w", err)
		}
		n++
		c.progress(3, n, total)
		o, ok := c.objects[info.Name]
		switch {
		case !ok:
			c.Unused++
		case o.size != info.Size:
			c.wrong("original %s has %d bytes, not %d", object.ULIDOf(info.Name), info.Size, o.size)
		}
		delete(missing, info.Name)
	}
	for obj := range missing {
		// What was deleted while we listed is no loss.
		if _, err := bucket.Head(ctx, obj); errors.Is(err, object.ErrNotExist) {
			c.wrong("original %s is not in the bucket", object.ULIDOf(obj))
		} else if err != nil {
			return fmt.Errorf("look for an original: %w", err)
		}
	}
	return c.compareVariants(ctx, bucket)
}

func (c *check) compareVariants(ctx context.Context, bucket object.Bucket) error {
	if len(c.variants) == 0 {
		return nil
	}
	prefix := "v1/v/" + c.t.uid + "/"
	for info, err := range bucket.List(ctx, prefix, "") {
		if err != nil {
			return fmt.Errorf("list variants: %w", err)
		}
		id, name := path.Split(strings.TrimPrefix(info.Name, prefix))
		delete(c.variants, variantOf(strings.TrimSuffix(id, "/"), name))
	}
	c.NoVariants = int64(len(c.variants))
	return nil
}

// checkAtOnce is how many originals levels 4 and 5 deal with at a time.
const checkAtOnce = 16

// each calls f for some of the originals, several at once, until one fails.
func (c *check) each(ctx context.Context, level int, sample float64, f func(ctx context.Context, name string, o original) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type one struct {
		name string
		o    original
	}
	work := make(chan one)
	var wg sync.WaitGroup
	for range checkAtOnce {
		wg.Go(func() {
			for w := range work {
				if err := f(ctx, w.name, w.o); err != nil {
					cancel(err)
				}
			}
		})
	}
	done, total := int64(0), int64(float64(len(c.objects))*sample/100)
	for name, o := range c.objects {
		if sample < 100 && rand.Float64()*100 >= sample {
			continue
		}
		select {
		case work <- one{name, o}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		done++
		c.progress(level, done, max(done, total))
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

// lost says whether an original that is not in the bucket is one that should be: level 3
// has told of it then. It may have been deleted meanwhile, rightly.
func lost(err error) bool { return errors.Is(err, object.ErrNotExist) }

// compareSums is level 4.
func (c *check) compareSums(ctx context.Context, bucket object.Bucket) error {
	var mu sync.Mutex
	return c.each(ctx, 4, 100, func(ctx context.Context, name string, o original) error {
		info, err := bucket.Head(ctx, name)
		mu.Lock()
		defer mu.Unlock()
		if lost(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read metadata of an original: %w", err)
		}
		c.Asked++
		id := object.ULIDOf(name)
		if info.Size != o.size {
			c.wrong("original %s has %d bytes, not %d", id, info.Size, o.size)
		}
		none := true
		for _, sum := range [...]struct{ meta, row string }{{"sb-sha256", o.sha256}, {"sb-md5", o.md5}} {
			told := info.Meta[sum.meta]
			if told == "" || sum.row == "" {
				continue
			}
			if none = false; told != base64Of(sum.row) {
				c.wrong("original %s bears another %s than the index tells", id, sum.meta)
			}
		}
		if none {
			c.Unsummed++
		}
		return nil
	})
}

// readData is level 5.
func (c *check) readData(ctx context.Context, bucket object.Bucket) error {
	sample := c.opt.Sample
	if sample <= 0 || sample > 100 {
		sample = 100
	}
	var mu sync.Mutex
	return c.each(ctx, 5, sample, func(ctx context.Context, name string, o original) error {
		known := checksumOf("sha256", o.sha256)
		if known.Sum == nil { // it came in parts
			known = checksumOf("crc32c", o.crc32c)
		}
		h := NewHash(known.Algorithm)
		n, err := readInto(ctx, h, bucket, name)
		mu.Lock()
		defer mu.Unlock()
		if lost(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read an original: %w", err)
		}
		c.Read++
		c.ReadBytes += n
		id := object.ULIDOf(name)
		switch {
		case n != o.size:
			c.wrong("original %s gives %d bytes, not %d", id, n, o.size)
		case known.Sum == nil:
			c.SizeOnly++
		case !bytes.Equal(h.Sum(nil), known.Sum):
			c.wrong("original %s is damaged: its content is not that of its %s", id, known.Algorithm)
		}
		return nil
	})
}

func readInto(ctx context.Context, w io.Writer, bucket object.Bucket, name string) (int64, error) {
	r, err := bucket.Get(ctx, name, 0, -1)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, r)
	return n, errors.Join(err, r.Close())
}
