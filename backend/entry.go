package backend

import (
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// An Ino names an entry for its whole life, through renames and overwrites: 16
// characters of lower-case base32. RootIno and TrashIno are fixed.
type Ino string

// The two collections every tree has.
const (
	RootIno  Ino = "aaaaaaaaaaaaaaaa"
	TrashIno Ino = "aaaaaaaaaaaaaaab"
)

// An Entry is one row of a user's tree: a collection, or a file and all that is
// known of it. It is a value of its moment; changing it changes nothing.
type Entry struct {
	Key  Key    // as resolved; "" for the root
	Name string // last segment as first sent; "" for the root
	Ino  Ino
	Dir  bool // a collection

	Size     int64     // bytes; 0 for a collection
	Modified time.Time // the client's time of the content (X-OC-Mtime, x-amz-meta-mtime), else when it was put; milliseconds
	Created  time.Time // when the entry came to be (or what a client set as such)
	Changed  time.Time // when the entry last changed in any way
	Type     string    // media type by content, or as the client said
	ETag     string    // bare; MD5 in hex, or MD5-N for a multipart upload; for a collection a tag that changes with the collection's own row
	MD5      string    // hex, "" if the content came in parts
	SHA256   string    // hex, "" if the content came in parts
	SHA1     string    // hex, only if a client sent one
	CRC32C   string    // hex, "" if it is not known: what reads are compared with
	Object   string    // name in the bucket; "" for a collection, junk, or an empty file
	Inline   []byte    // the content, for junk
	Parts    []PartRun // sizes of the parts it was uploaded in: see Part
	Implicit bool      // collection made by an S3 PUT below it; goes when its last member is deleted by S3
	Props    bool      // it has dead properties: see Library.Props
	logged   bool      // junk that is in the log all the same, since it was something else once
	ByLock   bool      // empty file made by LOCK on a name that was free (RFC 4918 §7.3)

	// Header holds what S3 clients stored beside the content: cache-control,
	// content-disposition, content-encoding, content-language, expires and
	// x-amz-meta-*, lower-case names.
	Header map[string]string

	Media Media
}

// Media is what processing found in an image or video. The zero value means it has
// not been looked at.
type Media struct {
	Processed   bool
	Taken       time.Time // instant the shutter opened; zero if the content does not say
	Offset      int       // minutes east of UTC at the place and time of the shot
	TakenFrom   string    // "exif", "xmp", "quicktime", …
	Camera      string
	HasPlace    bool
	Lat, Lon    float64
	Width       int // as displayed, pixels
	Height      int
	Placeholder string   // blurhash
	Variants    []string // "<variant>-<recipe>.<ext>"
	NoPreview   string   // why there are no variants; "" if there are
	// By says which program could not make them: another one might. Variants that an
	// earlier one had made are there all the same.
	By string

	details string // packed: see Details
}

// CaptureTime is where the entry stands on the timeline, and the offset in
// minutes in which its day is to be told.
func (e *Entry) CaptureTime() (t time.Time, offset int) {
	if !e.Media.Taken.IsZero() {
		return e.Media.Taken, e.Media.Offset
	}
	_, sec := e.Modified.Zone()
	return e.Modified, sec / 60
}

// Bytes of a file's content that an ETag stands for, when there are none.
const emptyMD5 = "d41d8cd98f00b204e9800998ecf8427e"
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// ContentID names the content of e, not e: other content has another, and a copy of e the
// same. It is "" for a collection, junk, and an empty file.
func (e *Entry) ContentID() string { return object.ULIDOf(e.Object) }
