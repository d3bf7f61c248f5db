package backend

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDecoder: entries decoded together are as if each were decoded by itself, and stay so
// while others are decoded.
func TestDecoder(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000).UTC()
	var many, single []*Entry
	var d decoder
	d.expect(500)
	for i := range 500 {
		e := &Entry{Name: fmt.Sprintf("%04d.jpg", i), Ino: newIno(), Size: int64(i), Modified: now, Created: now, Changed: now, Type: "image/jpeg"}
		if i%7 != 0 {
			e.MD5, e.SHA256, e.Object = emptyMD5, emptySHA256, fmt.Sprint("object", i)
		}
		if i%5 == 0 {
			e.SHA1 = strings.Repeat("ab", 20)
		}
		if i%11 == 0 {
			e.MD5, e.ETag = "", emptyMD5+"-3"
		}
		if i%13 == 0 {
			e.Dir, e.Object, e.MD5, e.SHA256, e.ETag = true, "", "", "", ""
		}
		if i%17 == 0 {
			e.Name = strings.Repeat("e\u0301", 80) + fmt.Sprint(i)
		}
		for j := range i % 5 {
			e.Media.Variants = append(e.Media.Variants, fmt.Sprintf("v%d-%d.webp", j, i))
		}
		row, err := encodeEntry(e)
		if err != nil {
			t.Fatal(err)
		}
		dir := []Key{"", "photos", Key("photos/" + strings.Repeat("deep/", 100) + "end")}[i%3]
		a, err := d.entry(dir, sortName(e.Name, e.Dir), row)
		if err != nil {
			t.Fatal(err)
		}
		b, err := decodeEntry(dir, sortName(e.Name, e.Dir), row)
		if err != nil {
			t.Fatal(err)
		}
		if b.Name != e.Name || b.Key != dir.Join(e.Name) || b.SHA1 != e.SHA1 || !reflect.DeepEqual(b.Media.Variants, e.Media.Variants) {
			t.Errorf("%d: got %+v, want %+v", i, b, e)
		}
		many, single = append(many, a), append(single, b)
	}
	for i := range many {
		if !reflect.DeepEqual(many[i], single[i]) {
			t.Errorf("%d: together %+v, by itself %+v", i, many[i], single[i])
		}
	}
}
