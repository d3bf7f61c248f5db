package sim

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
)

// An op is one operation that may change something. Keys are below the client's library.
type op struct {
	kind, src, dst string
	id             int // of what it makes
	body, name     string
	header         string
	cond           backend.Conditions
	modified       time.Time
	parents        bool // make them; prune, for a delete
	existing       bool
	emptyOnly      bool
	overwrite      bool
	shallow        bool
	replace        bool
	broken         string // what is wrong with the body
	bad            error  // and the error for it
	late           error  // that for how its parts do not fit
	access         backend.Mode
	root           int // id of the collection the access ends at; 0 for none
	rootIno        backend.Ino
	target         int // id of what is to be restored
	ino            backend.Ino
	upload         string
	named          []backend.CompletePart
	tag            string // of what is put together of parts
	plain          bool   // so that its type is not looked for
	size           int64  // told of it, < 0 for not
	rev            int    // of the version that is to be restored
	replaced       time.Time
	tree           *node          // of the past
	quota          *backend.Usage // and what the model takes for used; nil for none
}

func (o *op) String() string {
	s := fmt.Sprintf("%s %s", o.kind, o.dst)
	if o.src != "" {
		s = fmt.Sprintf("%s %s → %s", o.kind, o.src, o.dst)
	}
	add := func(on bool, format string, args ...any) {
		if on {
			s += fmt.Sprintf(" "+format, args...)
		}
	}
	add(o.kind == "put" || o.kind == "props", "%q", short(o.body))
	add(o.quota != nil, "quota %+v", o.quota)
	add(o.parents, "parents")
	add(o.existing, "existing")
	add(o.emptyOnly, "empty-only")
	add(o.overwrite, "overwrite")
	add(o.shallow, "shallow")
	add(o.replace, "replace")
	add(o.broken != "", "body %s", o.broken)
	add(o.access != 0, "%v", o.access)
	add(o.root != 0, "within %d", o.root)
	add(o.target != 0, "%d", o.target)
	add(o.upload != "", "%.6s", o.upload)
	add(len(o.cond.IfMatch) > 0, "if-match %.8q", o.cond.IfMatch)
	add(len(o.cond.IfNoneMatch) > 0, "if-none-match %.8q", o.cond.IfNoneMatch)
	return s
}

// what is its kind, and whether it has large parts.
func (o *op) what() string {
	if strings.Contains(o.body, big) {
		return o.kind + " large"
	}
	return o.kind
}

// logged says whether success of o means that a segment was appended, and so that no
// earlier one can come to light any more.
func (o *op) logged() bool {
	return !backend.Junk(pathBase(o.src)) && !backend.Junk(pathBase(o.dst)) && !o.existing && o.kind != "complete" && o.kind != "finish"
}

func pathBase(key string) string {
	_, name := split(key)
	return name
}

// A world a client may live in: what it has seen for certain, and what it did that
// had no verdict and may yet come to light, oldest first.
type guess struct {
	*state
	late []*op
}

// maxLate is how many operations without a verdict a client has before it rests.
const maxLate = 4

// A client works on a library of its own.
type client struct {
	*actor
	w       *world
	lib     string
	node    func() *proc
	guesses []guess
	doing   *op // under way
	did     int // operations
	nextID  int
	rest    bool // until everything is settled
	lossy   bool // the index may be lost: most of what is in it alone is not done
	torn    bool // or a part of it: nor is any of the rest
	gen     int
	uploads []*upload
	chunked *chunked
	past    []past
	large   bool // some parts are
	locks   bool // are known
	leaked  int  // uploads whose id was lost
	began   bool // uploads, since all that there were have expired

	unknown, fenced int // operations that ended so
}

func (c *client) open(ctx context.Context, acc backend.Access) (*backend.Library, error) {
	return c.node().b.Library(ctx, uid, acc)
}

func (c *client) key(below string) backend.Key {
	if below == "" {
		return backend.Key(c.lib)
	}
	return backend.Key(c.lib + "/" + below)
}

// sentinels are errors that are a verdict: nothing was done.
var sentinels = []error{
	backend.ErrPrecondition, backend.ErrExist, backend.ErrNotExist, backend.ErrParent, backend.ErrIsCollection, backend.ErrNotCollection,
	backend.ErrNotEmpty, backend.ErrTopLevel, backend.ErrChecksum, backend.ErrIncomplete, backend.ErrForbidden, backend.ErrLocked,
	backend.ErrNoLock, backend.ErrSameResource, backend.ErrNoUpload, backend.ErrPartOrder, backend.ErrPartTooSmall, backend.ErrPart,
	backend.ErrQuota,
}

// verdict sorts an error: nil, a sentinel, errFenced, or errUnknown.
func (c *client) verdict(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, journal.ErrFenced) {
		return errFenced
	}
	if errors.Is(err, journal.ErrIndex) {
		c.node().lost.Store(true)
		return errUnknown
	}
	if errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrNoSpace) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errIO) || errors.Is(err, errDead) || errors.Is(err, errOdd) {
		if errors.Is(err, backend.ErrNotExist) {
			c.w.fail(c.name, "what cannot be reached is said not to exist: %v", err)
		}
		if strings.Contains(err.Error(), "damaged") {
			c.w.fail(c.name, "the log is said to be damaged: %v", err)
		}
		return errUnknown
	}
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return s
		}
	}
	c.w.fail(c.name, "an error of no kind: %v", err)
	return errUnknown
}

var (
	errFenced  = errors.New("fenced")
	errUnknown = errors.New("no verdict")
)

// expand gives every world that g may have become by now.
func (g guess) expand() []guess {
	type made struct {
		s    *state
		last int
	}
	all := []made{{g.state, -1}}
	for i, o := range g.late {
		for _, m := range all {
			steps, err := expect(m.s, o)
			if err != nil {
				continue
			}
			for _, s := range steps {
				all = append(all, made{s, i})
				if part := s.withoutJunk(m.s); part != nil {
					all = append(all, made{part, i})
				}
			}
		}
	}
	var out []guess
	for _, m := range all {
		out = append(out, guess{m.s, g.late[m.last+1:]})
	}
	return out
}

// keep makes the guesses those for which f gives a world to go on in. Rest says what
// was seen, should there be none.
func (c *client) keep(seen string, f func(guess) (guess, error)) {
	var next []guess
	var why []string
	have := map[string]bool{}
	for _, g := range c.guesses {
		for _, e := range g.expand() {
			n, err := f(e)
			if err != nil {
				why = append(why, err.Error())
				continue
			}
			id := n.text() + fmt.Sprint(n.late)
			if !have[id] {
				have[id] = true
				next = append(next, n)
			}
		}
	}
	if len(next) == 0 {
		c.w.fail(c.name, "%s; the model: %s", seen, strings.Join(slices.Compact(why), "\n\t  or: "))
		c.rest = true
		return
	}
	c.guesses = next
}

// expect is apply, after what the access forbids.
func expect(s *state, o *op) ([]*state, error) {
	if o.access != backend.ReadWrite || o.root != 0 {
		if o.kind == "move" || o.kind == "copy" {
			if _, err := s.apply(o); err == backend.ErrSameResource && !(o.kind == "copy" && nfc(o.src) == nfc(o.dst)) {
				return nil, err
			}
			if err := s.allow(o, o.src, o.kind == "copy", false); err != nil {
				return nil, err
			}
		}
		if err := s.allow(o, o.dst, false, o.kind == "put" || o.kind == "mkdir"); err != nil {
			return nil, err
		}
	}
	return s.apply(o)
}

func (s *state) allow(o *op, key string, read, create bool) error {
	switch {
	case o.access == backend.ReadOnly && !read, o.access == backend.UploadOnly && !create:
		return backend.ErrForbidden
	case o.root == 0:
		return nil
	}
	top := "\x00"
	s.root.walk("", func(k string, n *node) {
		if n.id == o.root {
			top = nfc(k)
		}
	})
	if k := nfc(key); !strings.HasPrefix(k+"/", top+"/") || !read && k == top {
		return backend.ErrForbidden
	}
	return nil
}

// do does o and compares the outcome with the model.
func (c *client) do(o *op) {
	ctx := c.ctx()
	if !c.calm && c.chance(30) { // a client that hangs up
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.pause(0, 100*time.Millisecond))
		defer cancel()
	}
	begin, n := c.w.now(), c.node()
	c.doing = o
	e, created, err := c.send(ctx, o)
	c.doing = nil
	end := c.w.now()
	c.w.log(c.name, "%v: %s", o, outcome(err))
	switch v := c.verdict(err); v {
	case nil:
		c.w.done(o.what())
		c.keep(fmt.Sprintf("%v succeeded", o), func(g guess) (guess, error) {
			steps, err := expect(g.state, o)
			if err != nil {
				return g, fmt.Errorf("it must fail: %w", err)
			}
			s := steps[len(steps)-1]
			if o.logged() {
				g.late = nil
			}
			err = c.learn(g.state, s, o, e, created, begin, end)
			return guess{s, g.late}, err
		})
	case errFenced:
		c.fenced++
		if o.kind != "finish" && o.kind != "purge" { // these make several commits
			return
		}
		fallthrough
	case errUnknown:
		c.unknown++
		c.locks = false // they are in no log: what is replayed leaves them
		for i := range c.guesses {
			g := &c.guesses[i]
			if g.late = append(slices.Clip(g.late), o); len(g.late) >= maxLate {
				c.rest = true
			}
		}
	default:
		if v == backend.ErrQuota {
			c.w.done("quota")
		}
		if n.dead.Load() {
			return // it was judged by junk that is lost with the index by now
		}
		c.keep(fmt.Sprintf("%v gave %q (%v)", o, v, err), func(g guess) (guess, error) {
			_, want := expect(g.state, o)
			if want != v {
				return g, fmt.Errorf("it must give: %v", want)
			}
			return g, nil
		})
	}
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

// learn compares what an operation returned with the model, and takes from it what the
// model can not know.
func (c *client) learn(before, s *state, o *op, e *backend.Entry, created bool, begin, end time.Time) error {
	var at *node
	switch o.kind {
	case "delete", "abort", "drop", "purge":
		return nil
	case "restore", "revert":
		at = s.root.find(o.target)
	case "complete", "finish":
		at = s.root.find(s.uploads[o.upload].node)
	default:
		at, _ = s.resolve(o.dst)
	}
	if at == nil {
		return fmt.Errorf("the model has lost %s", o.dst)
	}
	_, again := before.uploads[o.upload]
	if again && created {
		return errors.New("what was finished before is told to be new")
	}
	if o.kind == "put" || o.kind == "move" || o.kind == "copy" || o.kind == "finish" && !again {
		if _, was, err := before.locate(o.dst); created != (err != nil || was == nil) {
			return fmt.Errorf("created is %v", created)
		}
	}
	if at.modified.IsZero() && (o.kind == "put" || o.kind == "finish" && !again || o.kind == "mkdir" && !o.existing) {
		if c.w.wanders {
			begin, end = begin.Add(-2*wander), end.Add(2*wander)
		}
		if e.Modified.Before(begin.Truncate(time.Millisecond)) || e.Modified.After(end) {
			return fmt.Errorf("modified is %v, not between %v and %v", e.Modified, begin, end)
		}
	}
	return adopt(at, e)
}

// adopt compares an entry with a node, and takes from it what the model can not know.
func adopt(n *node, e *backend.Entry) error {
	switch {
	case n.dir != e.Dir:
		return fmt.Errorf("collection: %v, want %v", e.Dir, n.dir)
	case n.name != e.Name:
		return fmt.Errorf("name: %q, want %q", e.Name, n.name)
	case n.implicit != e.Implicit:
		return fmt.Errorf("%q implicit: %v, want %v", n.name, e.Implicit, n.implicit)
	case n.ino != "" && n.ino != e.Ino:
		return fmt.Errorf("%q ino: %v, want %v", n.name, e.Ino, n.ino)
	case !n.modified.IsZero() && !n.modified.Equal(e.Modified.Truncate(time.Millisecond)):
		return fmt.Errorf("%q modified: %v, want %v", n.name, e.Modified, n.modified)
	}
	n.ino, n.modified = e.Ino, e.Modified.Truncate(time.Millisecond)
	if e.Header["x-amz-meta-sim"] != n.header {
		return fmt.Errorf("%q header: %q, want %q", n.name, e.Header["x-amz-meta-sim"], n.header)
	}
	if n.dir {
		return nil
	}
	switch {
	case e.Size != int64(len(n.body)):
		return fmt.Errorf("%q size: %d, want %d", n.name, e.Size, len(n.body))
	case e.ETag != n.etag():
		return fmt.Errorf("%q etag: %s, want %s", n.name, e.ETag, n.etag())
	}
	if e.Media.Processed {
		if m := mediaOf(n.body); !n.showable() || !e.Media.Taken.Equal(m.Taken) || e.Media.Width != m.Width {
			return fmt.Errorf("%q media: %+v, want %+v", n.name, e.Media, m)
		}
	}
	return nil
}

// body is what a client sends, perhaps badly.
func (o *op) reader() (r io.Reader, size int64, expect []backend.Checksum) {
	r, size = strings.NewReader(o.body), int64(len(o.body))
	sum := md5.Sum([]byte(o.body))
	switch o.broken {
	case "cut":
		r, size = io.MultiReader(strings.NewReader(o.body), brokenReader{}), -1
	case "short":
		size++
	case "wrong":
		sum[0]++
		fallthrough
	case "summed":
		expect = []backend.Checksum{{Algorithm: "md5", Sum: sum[:]}}
	case "open":
		size = -1
	}
	return r, size, expect
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// send makes the call of the Library that o stands for, if the face is not broken.
func (c *client) send(ctx context.Context, o *op) (e *backend.Entry, created bool, err error) {
	if c.w.broken == "" {
		return c.sendAs(ctx, o)
	}
	e, created, err = c.sendAs(ctx, c.mutate(o))
	c.mutateAfter(ctx, o, err)
	return e, created, err
}

func (c *client) sendAs(ctx context.Context, o *op) (e *backend.Entry, created bool, err error) {
	acc := backend.Access{Mode: o.access, Root: o.rootIno}
	if o.quota != nil {
		acc.Quota, acc.QuotaFiles = o.quota.Quota, o.quota.QuotaFiles
	}
	l, err := c.open(ctx, acc)
	if err != nil {
		return nil, false, err
	}
	dst, src := c.key(o.dst), c.key(o.src)
	header := map[string]string{"x-amz-meta-sim": o.header}
	if o.header == "" {
		header = nil
	}
	move := &backend.MoveOptions{Conditions: o.cond, Overwrite: o.overwrite, Modified: o.modified, Shallow: o.shallow, MakeParents: o.parents, Replace: o.replace, Header: header}
	switch o.kind {
	case "put":
		r, size, sums := o.reader()
		return l.Put(ctx, dst, r, size, &backend.PutOptions{Conditions: o.cond, Modified: o.modified, MakeParents: o.parents, Expect: sums, Header: header})
	case "mkdir":
		e, err = l.Mkdir(ctx, dst, &backend.MkdirOptions{Conditions: o.cond, Modified: o.modified, MakeParents: o.parents, Existing: o.existing, Header: header})
	case "delete":
		err = l.Delete(ctx, dst, &backend.DeleteOptions{Conditions: o.cond, Prune: o.parents, EmptyOnly: o.emptyOnly})
	case "move":
		return l.Move(ctx, src, dst, move)
	case "copy":
		if o.replace {
			move.Type = "image/png" // content decides, not what is said of it
		}
		// One that is refused in the middle is removed at once.
		err = c.w.keepingHouse(func() error { e, created, err = l.Copy(ctx, src, dst, move); return err })
		return e, created, err
	case "props":
		p := backend.PropPatch{Set: []backend.Prop{{Inner: []byte(o.body)}}}
		p.Set[0].Name.Space, p.Set[0].Name.Local = "sim:", o.name
		if !o.modified.IsZero() {
			p.Modified = &o.modified
		}
		e, err = l.SetProps(ctx, dst, p, o.cond)
	case "restore":
		e, err = l.Restore(ctx, o.ino)
	case "purge":
		err = c.w.keepingHouse(func() error { return l.Purge(ctx, o.ino) })
	case "complete":
		e, err = l.CompleteUpload(ctx, o.upload, o.named, &backend.CompleteOptions{Conditions: o.cond})
	case "abort":
		err = l.AbortUpload(ctx, o.upload)
	case "finish":
		return l.FinishChunked(ctx, o.upload, dst, backend.FinishOptions{Conditions: o.cond, Modified: o.modified, Size: o.size})
	case "drop":
		err = l.AbortChunked(ctx, o.upload)
	case "revert":
		e, err = l.RestoreVersion(ctx, o.ino, o.replaced)
	default:
		panic(o.kind)
	}
	return e, false, err
}
