package backend

import (
	"encoding/hex"
	"strings"
)

// A decoder reads entry records. Entries that are decoded by one decoder share their
// memory, or a listing of 10,000 would make 50,000 allocations: it takes room for
// decodeAtOnce of them at a time. So who keeps one of them keeps its neighbours in memory
// too, less than 100 KiB; in every other way they are as if made one by one.
//
// Its zero value is for a single record. A decoder is used by one goroutine.
type decoder struct {
	coming   int // records that are still expected
	entries  []Entry
	text     strings.Builder
	variants []string
}

const (
	decodeAtOnce   = 64
	variantsOfOne  = 2
	textBesideData = 160 // bytes: sums in hex, and a key
)

// expect says that n records follow.
func (d *decoder) expect(n int) { d.coming = n }

// next is a new entry, and the text of its record.
func (d *decoder) next(dir Key, s string, row []byte) (*Entry, string) {
	batch := min(max(d.coming, 1), decodeAtOnce)
	d.coming--
	if len(d.entries) == 0 {
		d.entries = make([]Entry, batch)
	}
	e := &d.entries[0]
	d.entries = d.entries[1:]
	size := len(row) + textBesideData + len(dir) + len(s)
	return e, d.string(row, batch*size)
}

// string is b as a string.
func (d *decoder) string(b []byte, room int) string {
	if d.text.Cap()-d.text.Len() < len(b) {
		d.text.Reset() // what was cut from it stays as it is
		d.text.Grow(max(room, len(b)))
	}
	at := d.text.Len()
	d.text.Write(b)
	return d.text.String()[at:]
}

// hexes are sums in hex.
func (d *decoder) hexes(sums ...[]byte) (text [5]string) {
	var buf [2 * (16 + 32 + 20 + 16 + 4)]byte // MD5, SHA-256, SHA-1, MD5 of MD5s, CRC-32C
	all := buf[:0]
	for _, sum := range sums {
		all = hex.AppendEncode(all, sum)
	}
	rest := d.string(all, 0)
	for i, sum := range sums {
		text[i], rest = rest[:2*len(sum)], rest[2*len(sum):]
	}
	return text
}

// join is dir.Join(name).
func (d *decoder) join(dir Key, name string) Key {
	if dir == "" {
		return Key(name)
	}
	var buf [512]byte
	return Key(d.string(append(append(append(buf[:0], dir...), '/'), name...), 0))
}

// variant adds one to those of an entry, which are the last that were added.
func (d *decoder) variant(to []string, name string) []string {
	if len(to) >= variantsOfOne {
		return append(to, name)
	}
	if cap(d.variants)-len(d.variants) < variantsOfOne-len(to) {
		d.variants = make([]string, 0, variantsOfOne*min(max(d.coming+1, 1), decodeAtOnce))
	}
	from := len(d.variants) - len(to)
	d.variants = append(d.variants, name)
	return d.variants[from:len(d.variants):len(d.variants)]
}
