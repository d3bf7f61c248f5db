package backend

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// The rows of one user's tree. '#' joins parts; uid and ino have a fixed width.
//
//	what            P                   S                      D
//	entry           d#<uid>#<dir ino>   name, or name/ (NFC)   entry record, below
//	back pointer    i#<uid>#<ino>       -                      JSON: dir ino, S of the entry, S of its trash row
//	reference       b#<uid>#<ulid>      <ino>, <ino>@<inv>     the object's name; one row for each entry and version
//	timeline        t#<uid>             <inv>#<ino>            –
//	trash           r#<uid>             <inv>#<ino>            JSON: where it was
//	– by key        r#<uid>#<library>   <key>NUL<inv>#<ino>    – ; only of what is shown, see deletedKey
//	version         w#<uid>#<ino>       <inv>                  entry record, as it was
//	dead properties p#<uid>#<ino>       <ns> <name>            JSON
//	usage           q#<uid>             -                      JSON: bytes, files
//	upload          m#<uid>             <upload>               JSON
//	part            mp#<uid>#<upload>   <number, 5 digits>     JSON; not logged
//	lock            l#<uid>             <token>                JSON; not logged
//	tombstone       g#<uid>             <due>#<ulid>           the object's name: nothing refers to it, it may go when due
//	– of an object  g#<uid>#<ulid>      -                      S of its tombstone
//	stray           o#<uid>             <ulid>                 JSON: seen in the bucket without a reference; not logged
//	last collection o#<uid>             -                      JSON; not logged
//
// <due> is milliseconds since 1970 in 13 digits; all zeros say that the object is being
// deleted, so that nothing may refer to it any more.
//
// <inv> is 2^63-1 minus milliseconds since 1970 in 16 hex digits, so that the newest
// comes first.
//
// <key> is that below the library, in NFC, with a slash at its end for a collection; of
// one longer than 960 bytes what fits in them.
func entryKey(uid string, dir Ino, s string) kv.Key {
	return kv.Key{P: "d#" + uid + "#" + string(dir), S: s}
}
func pointerKey(uid string, ino Ino) kv.Key { return kv.Key{P: "i#" + uid + "#" + string(ino), S: "-"} }
func timelineKey(uid string, t time.Time, ino Ino) kv.Key {
	return kv.Key{P: "t#" + uid, S: inv(t) + "#" + string(ino)}
}
func trashKey(uid string, t time.Time, ino Ino) kv.Key {
	return kv.Key{P: "r#" + uid, S: inv(t) + "#" + string(ino)}
}

// maxDeletedKey is how much of a key deletedKey takes, so that S stays below kv.MaxSort.
const maxDeletedKey = 960

// deletedKey is the row that finds a trash row, whose S is s, by the key that the entry had.
func deletedKey(uid string, was trashed, s string) kv.Key {
	library, _ := Key(was.Key).Library()
	return kv.Key{P: deletedPartition(uid, Key(library)), S: cutKey(was.path()) + "\x00" + s}
}

func deletedPartition(uid string, library Key) string { return "r#" + uid + "#" + nfc(string(library)) }

// path is the key below the library, as deletedKey has it.
func (t *trashed) path() string {
	_, below := Key(t.Key).Library()
	return sortName(below, t.Collection && below != "")
}

// cutKey is as much of a path as deletedKey takes.
func cutKey(path string) string {
	if len(path) <= maxDeletedKey {
		return path
	}
	n := maxDeletedKey
	for !utf8.RuneStart(path[n]) {
		n--
	}
	return path[:n]
}

func usageKey(uid string) kv.Key                  { return kv.Key{P: "q#" + uid, S: "-"} }
func versionPartition(uid string, ino Ino) string { return "w#" + uid + "#" + string(ino) }
func propPartition(uid string, ino Ino) string    { return "p#" + uid + "#" + string(ino) }
func uploadKey(uid, id string) kv.Key             { return kv.Key{P: "m#" + uid, S: id} }
func partKey(uid, id string, number int) kv.Key {
	return kv.Key{P: "mp#" + uid + "#" + id, S: fmt.Sprintf("%05d", number)}
}
func tombstoneKey(uid, s string) kv.Key    { return kv.Key{P: "g#" + uid, S: s} }
func tombstoneOf(uid, ulid string) kv.Key  { return kv.Key{P: "g#" + uid + "#" + ulid, S: "-"} }
func strayKey(uid, ulid string) kv.Key     { return kv.Key{P: "o#" + uid, S: ulid} }
func refPartition(uid, ulid string) string { return "b#" + uid + "#" + ulid }
func lockKey(uid, token string) kv.Key     { return kv.Key{P: "l#" + uid, S: token} }

func inv(t time.Time) string { return fmt.Sprintf("%016x", uint64(1<<63-1-t.UnixMilli())) }

// fromInv is the time that inv made s of.
func fromInv(s string) (time.Time, error) {
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("version row: %w", err)
	}
	return time.UnixMilli(1<<63 - 1 - int64(v)).UTC(), nil
}

// loggedPrefixes are the partitions that belong in a user's snapshot.
func loggedPrefixes(uid string) []string {
	return []string{"d#" + uid + "#", "i#" + uid + "#", "b#" + uid + "#", "t#" + uid, "r#" + uid, "w#" + uid + "#", "p#" + uid + "#", "q#" + uid, "m#" + uid, "g#" + uid}
}

// loggedRows returns a function that is asked of the rows of loggedPrefixes in their order,
// and says of each whether it is in the log. Those of junk are not: a snapshot that had them
// would bring back what was deleted, or replaced, since.
func loggedRows() func(kv.Row) bool {
	junk := map[Ino]bool{}
	return func(row kv.Row) bool {
		switch row.P[0] {
		case 'd':
			if !Junk(row.S) {
				return true
			}
			if e, err := decodeEntry("", row.S, row.D); err == nil && junkRow(e) {
				junk[e.Ino] = true
				return false
			}
		case 'i', 'p': // come after "d"
			return !junk[Ino(row.P[strings.LastIndexByte(row.P, '#')+1:])]
		}
		return true
	}
}

// sortName is the S of an entry: a collection sorts as S3 sorts what is below it.
func sortName(name string, dir bool) string {
	if dir {
		return nfc(name) + "/"
	}
	return nfc(name)
}

// pointer is the back pointer's data.
type pointer struct {
	Dir Ino    `json:"d"`
	S   string `json:"s"`
}

// trashPointer is the back pointer's data of what is in the trash.
type trashPointer struct {
	pointer
	Row string `json:"r,omitempty"` // S of its trash row; "" if it has to be looked for
}

// trashed is the trash row's data.
type trashed struct {
	Dir  Ino    `json:"d"`
	Key  string `json:"k"` // where it was, for people
	Name string `json:"n"`
	T    int64  `json:"t"` // ms
	// Collection says that the entry is one.
	Collection bool `json:"c,omitempty"`
	// By is who deleted it: Access.By.
	By string `json:"b,omitempty"`
	// Purge says that it is being removed for ever: it is not shown any more.
	Purge bool `json:"p,omitempty"`
	// Copying says that it is a copy that is being made, of which nothing was removed yet:
	// see copyTree.
	Copying bool `json:"m,omitempty"`
}

// usageRow is the usage row's data.
type usageRow struct {
	Bytes int64 `json:"b"`
	Files int64 `json:"f"`
}

// The entry record, version 1: one byte 1, then fields in Protocol Buffers' wire format
// (any of them may be missing; unknown ones are skipped), so that it can be read by
// protoc --decode_raw:
//
//	1 ino      string      9 md5       bytes     17 taken ms zigzag   25 longitude ×1e7 zigzag
//	2 flags    varint     10 sha256    bytes     18 offset min zigzag 26 camera   string
//	3 size     varint     11 sha1      bytes     19 width  varint     27 variant  string, repeated
//	4 modified ms zigzag  12 object    string    20 height varint     28 no preview string
//	5 created  ms zigzag  13 inline    bytes     21 placeholder string 29 modified's offset min zigzag
//	6 changed  ms zigzag  14 name as first sent, if not S's form
//	7 type     string     15 header    JSON      23 taken from string
//	8 parts    varint     16 etag bytes (MD5 of MD5s, if parts > 0)   24 latitude ×1e7 zigzag
//	                                         30 sizes of parts: count and size of each run of one size, packed varints
//	31 details bytes, told in details.go     32 made by string      33 crc32c bytes, big-endian
//
// flags: 1 collection, 2 implicit, 4 by lock, 8 processed, 16 has place, 32 has dead properties,
// 64 junk that is logged.
const entryVersion = 1

const (
	flagDir = 1 << iota
	flagImplicit
	flagByLock
	flagProcessed
	flagPlace
	flagProps
	flagLogged
)

func appendString(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func appendVarint(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func appendInt(b []byte, n protowire.Number, v int64) []byte {
	return appendVarint(b, n, protowire.EncodeZigZag(v))
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(v).UTC()
}

// encodeEntry is e as a row's data.
func encodeEntry(e *Entry) ([]byte, error) {
	b := make([]byte, 0, 320)
	b = append(b, entryVersion)
	b = appendString(b, 1, string(e.Ino))
	var flags uint64
	set := func(on bool, bit uint64) {
		if on {
			flags |= bit
		}
	}
	set(e.Dir, flagDir)
	set(e.Implicit, flagImplicit)
	set(e.ByLock, flagByLock)
	set(e.Media.Processed, flagProcessed)
	set(e.Media.HasPlace, flagPlace)
	set(e.Props, flagProps)
	set(e.logged, flagLogged)
	b = appendVarint(b, 2, flags)
	b = appendVarint(b, 3, uint64(e.Size))
	b = appendInt(b, 4, ms(e.Modified))
	b = appendInt(b, 5, ms(e.Created))
	b = appendInt(b, 6, ms(e.Changed))
	b = appendString(b, 7, e.Type)
	md5, parts := e.MD5, 0
	if sum, n, ok := strings.Cut(e.ETag, "-"); ok && !e.Dir {
		if _, err := fmt.Sscanf(n, "%d", &parts); err != nil || parts == 0 {
			return nil, fmt.Errorf("backend: internal error: etag %q", e.ETag)
		}
		b = appendVarint(b, 8, uint64(parts))
		b = appendHex(b, 16, sum)
	}
	b = appendHex(b, 9, md5)
	b = appendHex(b, 10, e.SHA256)
	b = appendHex(b, 11, e.SHA1)
	b = appendHex(b, 33, e.CRC32C)
	b = appendString(b, 12, e.Object)
	b = appendString(b, 13, string(e.Inline))
	if e.Name != nfc(e.Name) {
		b = appendString(b, 14, e.Name)
	}
	if len(e.Header) > 0 {
		h, err := json.Marshal(e.Header)
		if err != nil {
			return nil, err
		}
		b = appendString(b, 15, string(h))
	}
	m := &e.Media
	b = appendInt(b, 17, ms(m.Taken))
	b = appendInt(b, 18, int64(m.Offset))
	b = appendVarint(b, 19, uint64(m.Width))
	b = appendVarint(b, 20, uint64(m.Height))
	b = appendString(b, 21, m.Placeholder)
	b = appendString(b, 23, m.TakenFrom)
	if m.HasPlace {
		b = appendInt(b, 24, int64(m.Lat*1e7))
		b = appendInt(b, 25, int64(m.Lon*1e7))
	}
	b = appendString(b, 26, m.Camera)
	for _, v := range m.Variants {
		b = appendString(b, 27, v)
	}
	b = appendString(b, 28, m.NoPreview)
	b = appendRuns(b, 30, e.Parts)
	b = appendString(b, 31, m.details)
	b = appendString(b, 32, m.By)
	if _, sec := e.Modified.Zone(); sec != 0 {
		b = appendInt(b, 29, int64(sec/60))
	}
	return b, nil
}

// appendHex packs a sum that is told in hex.
func appendHex(b []byte, n protowire.Number, s string) []byte {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), raw)
}

// decodeEntry reads the record at S s of a collection with key dir.
func decodeEntry(dir Key, s string, row []byte) (*Entry, error) {
	return new(decoder).entry(dir, s, row)
}

// entry is decodeEntry for one of several.
func (d *decoder) entry(dir Key, s string, row []byte) (*Entry, error) {
	if len(row) == 0 || row[0] != entryVersion {
		return nil, errors.New("backend: entry record of an unknown version: run a newer program")
	}
	e, text := d.next(dir, s, row) // all strings of e are cut from it
	e.Name = strings.TrimSuffix(s, "/")
	m := &e.Media
	at := 1
	var parts, zone int64
	var md5, sha256, sha1, ofParts, crc32c []byte
	for at < len(row) {
		n, typ, l := protowire.ConsumeTag(row[at:])
		if l < 0 {
			return nil, protowire.ParseError(l)
		}
		at += l
		var v uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			v, l = protowire.ConsumeVarint(row[at:])
		case protowire.BytesType:
			b, l = protowire.ConsumeBytes(row[at:])
		default:
			l = protowire.ConsumeFieldValue(n, typ, row[at:])
		}
		if l < 0 {
			return nil, protowire.ParseError(l)
		}
		at += l
		str := text[at-len(b) : at]
		i := protowire.DecodeZigZag(v)
		switch n {
		case 1:
			e.Ino = Ino(str)
		case 2:
			e.Dir, e.Implicit, e.ByLock = v&flagDir != 0, v&flagImplicit != 0, v&flagByLock != 0
			m.Processed, m.HasPlace, e.Props = v&flagProcessed != 0, v&flagPlace != 0, v&flagProps != 0
			e.logged = v&flagLogged != 0
		case 3:
			e.Size = int64(v)
		case 4:
			e.Modified = fromMS(i)
		case 5:
			e.Created = fromMS(i)
		case 6:
			e.Changed = fromMS(i)
		case 7:
			e.Type = str
		case 8:
			parts = int64(v)
		case 9:
			md5 = b
		case 10:
			sha256 = b
		case 33:
			crc32c = b
		case 11:
			sha1 = b
		case 12:
			e.Object = str
		case 13:
			e.Inline = bytes.Clone(b)
		case 14:
			e.Name = str
		case 15:
			if err := json.Unmarshal(b, &e.Header); err != nil {
				return nil, fmt.Errorf("entry record: %w", err)
			}
		case 16:
			ofParts = b
		case 17:
			m.Taken = fromMS(i)
		case 18:
			m.Offset = int(i)
		case 19:
			m.Width = int(v)
		case 20:
			m.Height = int(v)
		case 21:
			m.Placeholder = str
		case 23:
			m.TakenFrom = str
		case 24:
			m.Lat = float64(i) / 1e7
		case 25:
			m.Lon = float64(i) / 1e7
		case 26:
			m.Camera = str
		case 27:
			m.Variants = d.variant(m.Variants, str)
		case 28:
			m.NoPreview = str
		case 29:
			zone = i
		case 30:
			var err error
			if e.Parts, err = consumeRuns(b); err != nil {
				return nil, fmt.Errorf("entry record: %w", err)
			}
		case 31:
			m.details = str
		case 32:
			m.By = str
		}
	}
	if zone != 0 {
		e.Modified = e.Modified.In(time.FixedZone("", int(zone)*60))
	}
	hexes := d.hexes(md5, sha256, sha1, ofParts, crc32c)
	e.MD5, e.SHA256, e.SHA1, e.CRC32C = hexes[0], hexes[1], hexes[2], hexes[4]
	switch {
	case e.Dir:
		e.ETag = collectionTag(e)
	case parts > 0:
		e.ETag = hexes[3] + "-" + strconv.FormatInt(parts, 10)
	default:
		e.ETag = e.MD5
	}
	e.Key = d.join(dir, e.Name)
	return e, nil
}

// collectionTag changes with the collection's own row.
func collectionTag(e *Entry) string {
	return string(e.Ino) + "-" + strconv.FormatInt(e.Changed.UnixMilli(), 16)
}
