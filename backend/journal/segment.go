package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A segment as stored, version 1: JSON lines, compressed by zstd (RFC 8878) when
// longer than 4 KiB. The first line is the header, then one line an operation, then the
// sum of all that: the chain of hashes tells of damage to every segment but the last.
//
//	{"v":1,"uid":"…","seq":41,"prev":"<SHA-256 of segment 40 as stored>","writer":"…","t":<ms>,"n":2}
//	{"op":"01JE…","k":"put","w":[{"p":"d#…","s":"IMG_1.JPG","b":"<base64>"},{"p":"q#…","s":"-","j":{…}}],"x":[{"p":"…","s":"…"}]}
//	{"sha256":"<of all lines before this one>"}
//
// w are the rows as they are afterwards (j: data that is JSON, b: other data), x the
// rows that are gone. They are whole images, so replaying a segment twice, or one
// whose operation means something else by now, does no harm.
const segmentVersion = 1

// compressFrom is the size in bytes from which a segment is compressed.
const compressFrom = 4 << 10

// maxSegment is the largest segment, in bytes before compression, that is read.
const maxSegment = 64 << 20

// ErrDamaged says that the bucket's log cannot be what was written: a segment is
// missing, altered, or not in its place. The text names it.
var ErrDamaged = errors.New("the log in the bucket is damaged")

type header struct {
	V      int    `json:"v"`
	UID    string `json:"uid"`
	Seq    uint64 `json:"seq"`
	Prev   string `json:"prev"`
	Writer string `json:"writer"`
	T      int64  `json:"t"`
	N      int    `json:"n"`
}

type rowImage struct {
	P string          `json:"p"`
	S string          `json:"s"`
	J json.RawMessage `json:"j,omitempty"`
	B []byte          `json:"b,omitempty"`
}

func imageOf(k kv.Key, d []byte) rowImage {
	r := rowImage{P: k.P, S: k.S}
	if len(d) > 0 && d[0] == '{' {
		var c bytes.Buffer
		if json.Compact(&c, d) == nil && bytes.Equal(c.Bytes(), d) {
			r.J = d
			return r
		}
	}
	r.B = d
	return r
}

func (r rowImage) key() kv.Key { return kv.Key{P: r.P, S: r.S} }

func (r rowImage) data() []byte {
	if r.J != nil {
		return r.J
	}
	return r.B
}

type operation struct {
	Op string     `json:"op"`
	K  string     `json:"k"`
	W  []rowImage `json:"w,omitempty"`
	X  []rowImage `json:"x,omitempty"`
}

type segmentTrailer struct {
	SHA256 string `json:"sha256"`
}

type segment struct {
	header
	ops []operation
}

var (
	encoder    = newEncoder()
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSegment))
)

// newEncoder makes an Encoder that has been used: the first use makes a channel, which in
// a test must not belong to the one that happens to be first (testing/synctest).
func newEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		panic("journal: internal error: " + err.Error()) // the options are constants
	}
	e.EncodeAll([]byte("x"), nil)
	return e
}

// line is v as one line of JSON, with <, > and & as they are.
func appendLine(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// encode is the segment as stored, and its hash.
func (s *segment) encode() (stored []byte, hash string, err error) {
	var b bytes.Buffer
	s.V, s.N = segmentVersion, len(s.ops)
	if err := appendLine(&b, s.header); err != nil {
		return nil, "", err
	}
	for _, op := range s.ops {
		if err := appendLine(&b, op); err != nil {
			return nil, "", err
		}
	}
	if err := appendLine(&b, segmentTrailer{hashOf(b.Bytes())}); err != nil {
		return nil, "", err
	}
	stored = b.Bytes()
	if len(stored) > compressFrom {
		stored = encoder.EncodeAll(stored, nil)
	}
	return stored, hashOf(stored), nil
}

func hashOf(stored []byte) string {
	h := sha256.Sum256(stored)
	return hex.EncodeToString(h[:])
}

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878 §3.1.1

// decodeSegment reads what encode made, and checks that it is whole.
func decodeSegment(stored []byte) (*segment, error) {
	text := stored
	if bytes.HasPrefix(stored, zstdMagic) {
		var err error
		if text, err = decoder.DecodeAll(stored, nil); err != nil {
			return nil, fmt.Errorf("%w: decompress: %v", ErrDamaged, err)
		}
	}
	text, err := checkTrailer(text)
	if err != nil {
		return nil, err
	}
	var s segment
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&s.header); err != nil {
		return nil, fmt.Errorf("%w: header: %v", ErrDamaged, err)
	}
	if s.V != segmentVersion {
		return nil, fmt.Errorf("log segment of version %d: this program knows version %d; run a newer one", s.V, segmentVersion)
	}
	for i := range s.N {
		var op operation
		if err := d.Decode(&op); err != nil {
			return nil, fmt.Errorf("%w: operation %d of %d: %v", ErrDamaged, i+1, s.N, err)
		}
		s.ops = append(s.ops, op)
	}
	if d.More() {
		return nil, fmt.Errorf("%w: more than the %d operations of its header", ErrDamaged, s.N)
	}
	return &s, nil
}

// checkTrailer compares the sum in the last line with the lines before it, and returns them.
func checkTrailer(text []byte) ([]byte, error) {
	lines, _ := bytes.CutSuffix(text, []byte("\n"))
	at := bytes.LastIndexByte(lines, '\n') + 1
	var want bytes.Buffer
	if err := appendLine(&want, segmentTrailer{hashOf(text[:at])}); err != nil {
		return nil, err
	}
	if !bytes.Equal(text[at:], want.Bytes()) {
		return nil, fmt.Errorf("%w: its last line is not the sum of the others", ErrDamaged)
	}
	return text[:at], nil
}
