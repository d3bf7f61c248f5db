package backend

import (
	"context"
	"encoding/xml"
	"io"
	"iter"
	"time"
)

// Mode says what an app password, or a session, may do.
type Mode uint8

// The modes.
const (
	ReadWrite  Mode = iota // everything
	ReadOnly               // list and read
	UploadOnly             // create files and collections; not list, read, overwrite, move or delete
)

func (m Mode) String() string { return [...]string{"read-write", "read-only", "upload-only"}[m] }

// Access narrows a Library for whom it was opened. It is enforced inside every
// method, so no face can forget it. The zero value is the owner's own access.
type Access struct {
	Mode  Mode
	Root  Ino   // nothing outside this collection is seen or changed; "" means the whole tree
	Quota int64 // bytes the user may keep; 0 means no quota
	// QuotaFiles is how many files the user may keep, those in the trash too; 0 means any
	// number.
	QuotaFiles int64
	// By is who it is: the id of an app password, "web", or "" for Shoebox itself. The trash
	// names it, and uploads under way are bound to it. At most 64 bytes of it are kept.
	By string
}

const maxBy = 64

// by is as much of By as rows keep.
func (a *Access) by() string { return a.By[:min(len(a.By), maxBy)] }

// A Library is one user's tree, seen through an Access. It is a light value,
// opened for a request; its methods may be called at once from several
// goroutines. What one Library changes, every other sees as soon as the call
// has returned.
//
// A method that changes something returns nil only after the change is in the
// bucket's log and in the index (DESIGN §4).
type Library struct {
	b   *Backend
	t   *tree
	acc Access
}

// UID is whose tree it is.
func (l *Library) UID() string { return l.t.uid }

// Conditions are checked at the start of an operation and again at its commit,
// against the entry the operation would create, replace or remove. ETags are
// bare. Errors wrap ErrPrecondition.
type Conditions struct {
	IfMatch     []string // one of them is the entry's ETag; "*": there is an entry
	IfNoneMatch []string // none of them is; "*": there is no entry
	// Confirm, if not nil, is asked last, in the commit, with the entry of now
	// (nil if there is none); its error refuses the operation.
	Confirm func(*Entry) error
}

// PutOptions adjusts a Put, and the making of a multipart upload.
type PutOptions struct {
	Conditions
	Modified time.Time // zero means now
	Created  time.Time // zero means now, or what it was
	Type     string    // media type told by the client; used if the content does not show a better one
	Header   map[string]string
	// FinalHeader, if not nil, is asked once the whole body was read and found right,
	// for what Header is to have besides: a checksum that came in the trailer.
	FinalHeader func() map[string]string
	Expect      []Checksum // checked at the end of the body; a mismatch is ErrChecksum and nothing is stored
	// MakeParents creates missing collections (S3). Without it they are ErrParent.
	// The library itself must exist either way.
	MakeParents bool
	// NeedSHA1 keeps the SHA-1 too, for clients that compare it.
	NeedSHA1 bool
	// ByLock marks an empty file that a LOCK made.
	ByLock bool

	upload string // the id of the upload that this ends, which the quota has counted: see underWay
	there  string // the object that has this content already: see contentThere
}

// A Checksum is one that a client sent along.
type Checksum struct {
	Algorithm string // md5, sha1, sha256, adler32, crc32, crc32c, crc64nvme
	Sum       []byte // big-endian
}

// Put stores body as the file at key, replacing what is there; the old content
// is kept as a version. size < 0 means unknown. An error of body, or a body of
// another size, stores nothing (ErrIncomplete). It says whether the file is new.
func (l *Library) Put(ctx context.Context, key Key, body io.Reader, size int64, opt *PutOptions) (e *Entry, created bool, err error) {
	return l.put(ctx, key, body, size, opt)
}

// Stat is the entry at key.
func (l *Library) Stat(ctx context.Context, key Key) (*Entry, error) { return l.stat(ctx, key) }

// StatIno is the entry called ino, wherever it is now; ErrNotExist if it is in the
// trash.
func (l *Library) StatIno(ctx context.Context, ino Ino) (*Entry, error) { return l.statIno(ctx, ino) }

// Members yields the members of a collection in the order of their names (a
// collection sorts as "name/"). An error comes alone and last.
func (l *Library) Members(ctx context.Context, dir Key) iter.Seq2[*Entry, error] {
	return l.members(ctx, dir)
}

// ListOptions selects a page of ListObjects.
type ListOptions struct {
	Library   string // required
	Prefix    string // raw bytes, as S3 has it; need not end at a slash
	Delimiter string // "" lists everything; any string, as in S3
	After     string // keys (and common prefixes) greater than this, below the library
	Max       int    // entries and common prefixes together; <= 0 means none
}

// A ListPage is one page. Objects and Prefixes are each in byte order of their NFC form; keys
// are below the library, begin with ListOptions.Prefix as that is spelled, and go on as they
// were first spelled.
type ListPage struct {
	Objects  []Listed
	Prefixes []string
	More     bool
	Next     string // last key or common prefix of the page, to go on after
}

// A Listed is an entry with the key S3 calls it by: an empty collection is "name/".
type Listed struct {
	Key string
	*Entry
}

// ListObjects is S3's view of a library: files by full key, in byte order, and
// empty collections as "name/". Its cost grows with the page, not with the library.
func (l *Library) ListObjects(ctx context.Context, o ListOptions) (*ListPage, error) {
	return l.listObjects(ctx, o)
}

// Open reads the content of e, which came from this Library. Nothing is asked of
// the bucket before the first Read; Seek is free. Reading on after a seek asks
// again. Not safe for concurrent use.
func (l *Library) Open(ctx context.Context, e *Entry) (*Content, error) { return l.open(ctx, e) }

// MkdirOptions adjusts a Mkdir.
type MkdirOptions struct {
	Conditions
	Modified    time.Time
	MakeParents bool
	Existing    bool // an existing collection is no error
	// Header is kept with the collection, as that of a file; nil leaves what an existing
	// one has. UploadOnly changes nothing of an existing one.
	Header map[string]string
}

// Mkdir makes a collection; a top-level one is a library, whose name S3's rules
// govern. ErrExist if the name is taken.
func (l *Library) Mkdir(ctx context.Context, key Key, opt *MkdirOptions) (*Entry, error) {
	return l.mkdir(ctx, key, opt)
}

// MoveOptions adjusts a Move or a Copy.
type MoveOptions struct {
	Conditions            // of the destination
	Source     Conditions // of the source
	Overwrite  bool       // else ErrExist if the destination is there
	Modified   time.Time  // zero keeps it
	// Shallow copies a collection without its members (Depth: 0).
	Shallow     bool
	MakeParents bool
	// Replace, for a copy of a file, takes Header and Type from here.
	Replace bool
	Header  map[string]string
	Type    string
}

// Move renames src to dst, in time that does not depend on what lies below. What
// was at dst goes to the trash, in the same commit. It says whether dst is new.
// A missing source is ErrNotExist and touches nothing; overlap is ErrSameResource.
func (l *Library) Move(ctx context.Context, src, dst Key, opt *MoveOptions) (e *Entry, created bool, err error) {
	return l.move(ctx, src, dst, opt)
}

// Copy makes dst the same content as src. No bytes are moved: both entries refer to
// one object. Of a collection all is copied or nothing, with what is in it while the copy is
// made. A copy onto itself is allowed only with Replace.
func (l *Library) Copy(ctx context.Context, src, dst Key, opt *MoveOptions) (e *Entry, created bool, err error) {
	return l.copy(ctx, src, dst, opt)
}

// DeleteOptions adjusts a Delete.
type DeleteOptions struct {
	Conditions
	// Prune also removes collections above that S3 made implicitly and that are
	// empty now.
	Prune bool
	// EmptyOnly refuses a collection with members (ErrNotEmpty).
	EmptyOnly bool
}

// Delete moves the entry to the trash, in time that does not depend on what lies
// below. Its locks go with it.
func (l *Library) Delete(ctx context.Context, key Key, opt *DeleteOptions) error {
	_, err := l.Remove(ctx, key, opt)
	return err
}

// Remove is Delete, and says what is in the trash now, as Trash lists it; nil if that was
// not worth it: junk, or an empty file that always was.
func (l *Library) Remove(ctx context.Context, key Key, opt *DeleteOptions) (*Trashed, error) {
	gone, err := l.delete(ctx, key, opt)
	if gone != nil && l.b.opt.Deleted != nil {
		l.b.opt.Deleted(ctx, l.t.uid, gone)
	}
	return gone, err
}

// A Prop is a dead property (RFC 4918 §4.1): XML as the client sent it, re-encoded.
type Prop struct {
	Name  xml.Name
	Lang  string
	Inner []byte // ≤ 4 KiB
}

// MaxProps is how many dead properties an entry may have.
const MaxProps = 32

// Props are the dead properties of e.
func (l *Library) Props(ctx context.Context, e *Entry) ([]Prop, error) { return l.props(ctx, e) }

// PropPatch is what SetProps changes. Nil times stay.
type PropPatch struct {
	Set      []Prop
	Remove   []xml.Name
	Modified *time.Time
	Created  *time.Time
}

// SetProps changes dead properties and times, all or nothing.
func (l *Library) SetProps(ctx context.Context, key Key, p PropPatch, c Conditions) (*Entry, error) {
	return l.setProps(ctx, key, p, c)
}

// A Lock is a write lock (RFC 4918 §6). Locks are rows: they survive a restart,
// and always expire. They are not part of the bucket's log.
type Lock struct {
	Token    string // opaquelocktoken:<uuid>
	Key      Key    // lock root, as of now: follows renames above it
	Ino      Ino    // of the lock root
	Infinite bool   // Depth: infinity
	Shared   bool   // others may have shared locks on the same
	Owner    string // XML, as the client sent it, re-encoded
	By       string // app password id or "web"
	Created  time.Time
	Expires  time.Time
}

// Locks are the unexpired locks that cover key: on it, infinite ones above it, and,
// if below, those beneath it too.
func (l *Library) Locks(ctx context.Context, key Key, below bool) ([]Lock, error) {
	return l.locks(ctx, key, below)
}

// Lock takes an exclusive lock. ErrLocked if another covers key (or, for an infinite
// one, lies below it). The entry must exist: Put it with ByLock first. timeout is
// clamped to one second … one hour.
func (l *Library) Lock(ctx context.Context, key Key, infinite bool, owner, by string, timeout time.Duration) (Lock, error) {
	return l.lock(ctx, key, infinite, false, owner, by, timeout)
}

// LockShared is Lock for a shared lock, beside which there may be other shared ones.
func (l *Library) LockShared(ctx context.Context, key Key, infinite bool, owner, by string, timeout time.Duration) (Lock, error) {
	return l.lock(ctx, key, infinite, true, owner, by, timeout)
}

// RefreshLock sets a lock's expiry anew; it must cover key. ErrNoLock.
func (l *Library) RefreshLock(ctx context.Context, key Key, token string, timeout time.Duration) (Lock, error) {
	return l.refreshLock(ctx, key, token, timeout)
}

// Unlock ends a lock that covers key. ErrNoLock.
func (l *Library) Unlock(ctx context.Context, key Key, token string) error {
	return l.unlock(ctx, key, token)
}

// An Upload is a multipart upload under way. It survives a restart.
type Upload struct {
	ID       string // random, bound to this user
	Key      Key
	Created  time.Time
	Type     string
	Header   map[string]string
	Modified time.Time
}

// A Part is a part of an upload, as listed.
type Part struct {
	Number   int
	Name     string // of a chunk, else ""
	Size     int64
	ETag     string // MD5 in hex
	Modified time.Time
	Sums     map[string]string // checksum algorithm → base64, those the client sent
}

// CreateUpload begins a multipart upload that will be key.
func (l *Library) CreateUpload(ctx context.Context, key Key, opt *PutOptions) (*Upload, error) {
	return l.createUpload(ctx, key, opt)
}

// PutPart stores part number (1…10,000) of size bytes; a part sent twice replaces
// the first. sums are recorded beside it after body has been read.
func (l *Library) PutPart(ctx context.Context, id string, number int, body io.Reader, size int64, expect []Checksum, sums func() map[string]string) (Part, error) {
	return l.putPart(ctx, id, slot{number: number, s: partKey("", "", number).S}, body, size, expect, sums)
}

// OpenChunked begins an upload in chunks under an id the client chose, at most 64 bytes;
// ErrExist if there is one. key may be "" if it is not known before the end.
func (l *Library) OpenChunked(ctx context.Context, id string, key Key, opt *PutOptions) (*Upload, error) {
	return l.openChunked(ctx, id, key, opt)
}

// A ChunkPlace says where a chunk belongs.
type ChunkPlace struct {
	Order int64  // the file is put together in ascending order; 0 to 10^15-1
	Part  int    // a number (1…10,000) that grows with Order, so that it can be a part of the bucket's upload; 0 if there is none
	Name  string // what the client calls it
}

// PutChunk stores a chunk of size bytes, < 0 if that is not known. Unlike parts, chunks may
// be of any size. One sent twice replaces the first.
func (l *Library) PutChunk(ctx context.Context, id string, at ChunkPlace, body io.Reader, size int64, expect []Checksum) (Part, error) {
	return l.putChunk(ctx, id, at, body, size, expect)
}

// Chunks lists the chunks of an upload in their order. ErrNoUpload.
func (l *Library) Chunks(ctx context.Context, id string) ([]Part, error) {
	return l.listChunks(ctx, id)
}

// FinishChunked makes the file key of all chunks there are, in their order.
// Repeated after success it returns the same entry. It says whether the file is new.
// Errors: ErrNoUpload, ErrIncomplete, and ErrPartTooSmall if chunks of less than
// object.MinPart bytes in all stand before a larger one.
func (l *Library) FinishChunked(ctx context.Context, id string, key Key, o FinishOptions) (e *Entry, created bool, err error) {
	return l.finishChunked(ctx, id, key, o)
}

// Rehash reads a file's content through, unless that was done, so that it has an MD5, a SHA-1
// and a SHA-256. ErrPrecondition if it is replaced meanwhile.
func (l *Library) Rehash(ctx context.Context, key Key) (*Entry, error) { return l.rehash(ctx, key) }

// AbortChunked forgets an upload in chunks. ErrNoUpload.
func (l *Library) AbortChunked(ctx context.Context, id string) error { return l.abortChunked(ctx, id) }

// Seq grows with every change in the user's tree: a tag for what has no content of its own.
func (l *Library) Seq(ctx context.Context) (uint64, error) {
	n, err := l.t.log.Seq(ctx)
	return n, fault(err)
}

// Upload is the upload called id, or ErrNoUpload.
func (l *Library) Upload(ctx context.Context, id string) (*Upload, error) { return l.upload(ctx, id) }

// Parts lists up to n parts with numbers greater than after.
func (l *Library) Parts(ctx context.Context, id string, after, n int) (parts []Part, more bool, err error) {
	return l.parts(ctx, id, after, n)
}

// Uploads lists the uploads into a library, by key then age.
func (l *Library) Uploads(ctx context.Context, library string) ([]Upload, error) {
	return l.uploads(ctx, library)
}

// CompletePart names a part for CompleteUpload.
type CompletePart struct {
	Number int
	ETag   string
}

// CompleteOptions adjusts a CompleteUpload.
type CompleteOptions struct {
	Conditions
	Header map[string]string // besides what CreateUpload was given
}

// CompleteUpload makes the file of the parts named, in ascending order, each but the
// last at least object.MinPart bytes. Repeated after success it returns the same
// entry again as long as that is at its key. Errors: ErrNoUpload, ErrPart,
// ErrPartOrder, ErrPartTooSmall.
func (l *Library) CompleteUpload(ctx context.Context, id string, parts []CompletePart, opt *CompleteOptions) (*Entry, error) {
	return l.completeUpload(ctx, id, parts, opt)
}

// AbortUpload forgets an upload and its parts. ErrNoUpload.
func (l *Library) AbortUpload(ctx context.Context, id string) error { return l.abortUpload(ctx, id) }

// A TimelinePage is a stretch of the timeline, newest capture first.
type TimelinePage struct {
	Items []*Entry
	Next  string // cursor of the following page; "" at the end
}

// Timeline is the page of n that begins after cursor ("" is the newest). It has fewer, even
// none, though others follow, where much of what is in the trash stood between them.
func (l *Library) Timeline(ctx context.Context, cursor string, n int) (*TimelinePage, error) {
	return l.timeline(ctx, cursor, n)
}

// OpenVariant reads a variant of e ("thumb", "view"), made by any recipe that e
// lists. ErrNotExist if there is none.
func (l *Library) OpenVariant(ctx context.Context, e *Entry, variant string) (body io.ReadCloser, name string, err error) {
	return l.openVariant(ctx, e, variant)
}

// A Trashed is a deleted entry.
type Trashed struct {
	Entry   *Entry // Key is where it was
	Deleted time.Time
	By      string // who deleted it: Access.By
	Cursor  string
}

// Trash lists what was deleted, newest first, n after cursor.
func (l *Library) Trash(ctx context.Context, cursor string, n int) ([]Trashed, error) {
	return l.trash(ctx, cursor, n)
}

// Trashed is one entry of the trash. ErrNotExist. Its variants can be opened like others.
func (l *Library) Trashed(ctx context.Context, ino Ino) (*Trashed, error) {
	return l.trashedAt(ctx, ino)
}

// Restore brings a trashed entry back where it was; a name that has been taken
// meanwhile gets " (restored)" before its suffix.
func (l *Library) Restore(ctx context.Context, ino Ino) (*Entry, error) { return l.restore(ctx, ino) }

// Purge removes a trashed entry, and all that is below it, for ever. It returns when that
// can not be undone and is out of the trash; the rows of a large collection go after that,
// and the originals when Options.CollectAfter has passed. ErrNotExist.
func (l *Library) Purge(ctx context.Context, ino Ino) error { return l.purge(ctx, ino) }

// EmptyTrash is Purge of all that is in the trash. It says of how many entries.
func (l *Library) EmptyTrash(ctx context.Context) (int, error) { return l.emptyTrash(ctx) }

// A Version is earlier content of a file.
type Version struct {
	Replaced time.Time // when it was replaced
	*Entry             // as it was
}

// MaxVersions is how many of a file's earlier contents are told: a program that writes a
// file every second makes two million in a month.
const MaxVersions = 10_000

// Versions are earlier contents of the file, newest first, MaxVersions at most.
func (l *Library) Versions(ctx context.Context, ino Ino) ([]Version, error) {
	return l.versions(ctx, ino)
}

// OpenVersion reads earlier content, as Open.
func (l *Library) OpenVersion(ctx context.Context, v Version) (*Content, error) {
	return l.open(ctx, v.Entry)
}

// RestoreVersion makes earlier content of a file, the one that was replaced then, its
// content again; what it has now becomes a version. ErrNotExist.
func (l *Library) RestoreVersion(ctx context.Context, ino Ino, replaced time.Time) (*Entry, error) {
	return l.restoreVersion(ctx, ino, replaced)
}

// Usage is what a user keeps.
type Usage struct {
	Bytes int64 // current contents, versions and trash
	Files int64 // files, those in the trash too
	Quota int64 // bytes; 0 means none
	// QuotaFiles is for Files what Quota is for Bytes.
	QuotaFiles int64
}

// Usage of the tree.
func (l *Library) Usage(ctx context.Context) (Usage, error) { return l.usage(ctx) }
