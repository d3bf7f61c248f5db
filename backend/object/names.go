package object

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// The names of everything Shoebox keeps in a bucket, below the driver's root
// (DESIGN §3): class first, then user, so that one lifecycle rule or IAM statement
// covers a class.
const (
	FormatName = "v1/format.json" // layout version, bucket id, check value of the master key
	SysUID     = "_sys"           // whose log holds users, app passwords and settings
)

// OriginalName names an original: o/<uid>/<yyyy-mm>/<ulid>-<slug>. The slug is what is
// left of the name it was uploaded under.
func OriginalName(uid string, t time.Time, ulid, name string) string {
	return "v1/o/" + uid + "/" + t.UTC().Format("2006-01") + "/" + ulid + "-" + Slug(name)
}

// chunkSlug is none that Slug makes.
const chunkSlug = "!chunk"

// ChunkName names a piece of an upload that is kept on its own until the file is put
// together: o/<uid>/<yyyy-mm>/<ulid>-!chunk. It never becomes an original.
func ChunkName(uid string, t time.Time, ulid string) string {
	return "v1/o/" + uid + "/" + t.UTC().Format("2006-01") + "/" + ulid + "-" + chunkSlug
}

// IsChunk says whether name is one that ChunkName makes.
func IsChunk(name string) bool {
	_, slug, _ := strings.Cut(path.Base(name), "-")
	return slug == chunkSlug
}

// OriginalPrefix is what all originals of a user start with.
func OriginalPrefix(uid string) string { return "v1/o/" + uid + "/" }

// ULIDOf is the ULID in the name of an original, "" if it is not one.
func ULIDOf(original string) string {
	id, _, ok := strings.Cut(path.Base(original), "-")
	if !ok || !strings.HasPrefix(original, "v1/o/") {
		return ""
	}
	return id
}

// VariantName names a variant of an original. variant is "<variant>-<recipe>.<ext>".
func VariantName(uid, original, variant string) string {
	return "v1/v/" + uid + "/" + ULIDOf(original) + "/" + variant
}

// LogName names segment seq of a user's log.
func LogName(uid string, seq uint64) string { return LogPrefix(uid) + fmt.Sprintf("%016x", seq) }

// LogPrefix is what all segments of a user's log start with.
func LogPrefix(uid string) string { return "v1/l/" + uid + "/" }

// SnapshotName names the snapshot of a user's rows as of seq.
func SnapshotName(uid string, seq uint64) string {
	return SnapshotPrefix(uid) + fmt.Sprintf("%016x.jsonl.zst", seq)
}

// SnapshotPrefix is what all snapshots of a user start with.
func SnapshotPrefix(uid string) string { return "v1/s/" + uid + "/" }

// ManifestName names the list of a user's files that people and other tools read.
func ManifestName(uid string) string { return "v1/m/" + uid + "/manifest.jsonl" }

// SeqOf is the sequence number in the name of a segment or snapshot.
func SeqOf(name string) (seq uint64, ok bool) {
	digits, _, _ := strings.Cut(path.Base(name), ".")
	if len(digits) != 16 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 16, 64)
	return seq, err == nil
}

// maxSlug is the longest slug in bytes.
const maxSlug = 80

// Slug makes of an upload's name something that is legal and legible anywhere:
// [A-Za-z0-9._-], at most 80 bytes, the suffix kept.
func Slug(name string) string {
	clean := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			switch {
			case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
				b.WriteRune(r)
			case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
				b.WriteByte('_')
			}
		}
		return b.String()
	}
	ext := clean(path.Ext(name))
	if len(ext) > 12 {
		ext = ""
	}
	stem := strings.Trim(clean(strings.TrimSuffix(name, path.Ext(name))), "._-")
	if stem == "" {
		stem = "file"
	}
	if len(stem) > maxSlug-len(ext) {
		stem = stem[:maxSlug-len(ext)]
	}
	if ext == "." {
		ext = ""
	}
	return stem + ext
}
