package backend

// Bodies that are still to come; this file goes away as they do.

import (
	"context"
	"io"
	"iter"
	"time"
)

type tree struct{ uid string }
type Spool struct{}
type Backend struct{}
type Content struct{ io.ReadSeekCloser }

func (b *Backend) tree(ctx context.Context, uid string) (*tree, error) { panic("soon") }
func (b *Backend) openOriginal(ctx context.Context, uid, object string) (io.ReadCloser, int64, error) {
	panic("soon")
}
func (b *Backend) putVariant(ctx context.Context, uid, object, variant, recipe, ext, mediaType string, data []byte) error {
	panic("soon")
}
func (b *Backend) finish(ctx context.Context, uid string, results []Processed) error { panic("soon") }
func (l *Library) put(ctx context.Context, key Key, body io.Reader, size int64, opt *PutOptions) (*Entry, bool, error) {
	panic("soon")
}
func (l *Library) stat(ctx context.Context, key Key) (*Entry, error)                 { panic("soon") }
func (l *Library) statIno(ctx context.Context, ino Ino) (*Entry, error)              { panic("soon") }
func (l *Library) members(ctx context.Context, dir Key) iter.Seq2[*Entry, error]     { panic("soon") }
func (l *Library) listObjects(ctx context.Context, o ListOptions) (*ListPage, error) { panic("soon") }
func (l *Library) open(ctx context.Context, e *Entry) (*Content, error)              { panic("soon") }
func (l *Library) mkdir(ctx context.Context, key Key, opt *MkdirOptions) (*Entry, error) {
	panic("soon")
}
func (l *Library) move(ctx context.Context, src, dst Key, opt *MoveOptions) (*Entry, bool, error) {
	panic("soon")
}
func (l *Library) copy(ctx context.Context, src, dst Key, opt *MoveOptions) (*Entry, bool, error) {
	panic("soon")
}
func (l *Library) delete(ctx context.Context, key Key, opt *DeleteOptions) error { panic("soon") }
func (l *Library) props(ctx context.Context, e *Entry) ([]Prop, error)           { panic("soon") }
func (l *Library) setProps(ctx context.Context, key Key, p PropPatch, c Conditions) (*Entry, error) {
	panic("soon")
}
func (l *Library) locks(ctx context.Context, key Key, below bool) ([]Lock, error) { panic("soon") }
func (l *Library) lock(ctx context.Context, key Key, infinite bool, owner, by string, timeout time.Duration) (Lock, error) {
	panic("soon")
}
func (l *Library) refreshLock(ctx context.Context, key Key, token string, timeout time.Duration) (Lock, error) {
	panic("soon")
}
func (l *Library) unlock(ctx context.Context, key Key, token string) error { panic("soon") }
func (l *Library) createUpload(ctx context.Context, key Key, opt *PutOptions) (*Upload, error) {
	panic("soon")
}
func (l *Library) putPart(ctx context.Context, id string, number int, body io.Reader, size int64, expect []Checksum, sums func() map[string]string) (Part, error) {
	panic("soon")
}
func (l *Library) upload(ctx context.Context, id string) (*Upload, error) { panic("soon") }
func (l *Library) parts(ctx context.Context, id string, after, n int) ([]Part, bool, error) {
	panic("soon")
}
func (l *Library) uploads(ctx context.Context, library string) ([]Upload, error) { panic("soon") }
func (l *Library) completeUpload(ctx context.Context, id string, parts []CompletePart, c Conditions) (*Entry, error) {
	panic("soon")
}
func (l *Library) abortUpload(ctx context.Context, id string) error { panic("soon") }
func (l *Library) timeline(ctx context.Context, cursor string, n int) (*TimelinePage, error) {
	panic("soon")
}
func (l *Library) openVariant(ctx context.Context, e *Entry, variant string) (io.ReadCloser, string, error) {
	panic("soon")
}
func (l *Library) trash(ctx context.Context, cursor string, n int) ([]Trashed, error) { panic("soon") }
func (l *Library) restore(ctx context.Context, ino Ino) (*Entry, error)               { panic("soon") }
func (l *Library) versions(ctx context.Context, ino Ino) ([]Version, error)           { panic("soon") }
func (l *Library) usage(ctx context.Context) (Usage, error)                           { panic("soon") }
