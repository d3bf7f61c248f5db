// Package zone tells the time zone of a place on Earth, for photographs that say where
// they were taken but not by which clock.
//
// It reads the borders of the Timezone Boundary Builder (OpenStreetMap's, made simpler to
// about a hundred metres), as tzf-rel-lite carries them, where they lie in the program:
// what it keeps in memory is a rectangle for each of some thousand polygons.
package zone

import (
	"encoding/binary"
	"math"
	"sync"
	"time"
	_ "time/tzdata" // the image of a container may have no zones

	tzfrellite "github.com/ringsaturn/tzf-rel-lite"
)

// Find is the time zone at lat degrees north and lon degrees east (WGS 84), at sea the
// one of ships. ok is false only for what is no place, or has a zone that this program's
// tables do not know. It may be called at once from several goroutines; the first call
// takes some 50 ms, every later one well below one.
func Find(lat, lon float64) (loc *time.Location, ok bool) {
	if !(math.Abs(lat) <= 90 && math.Abs(lon) <= 180) {
		return nil, false
	}
	name := find(lat, lon)
	// Along borders that were made simpler there are gaps.
	for _, d := range [][2]float64{{0, .02}, {0, -.02}, {.02, 0}, {-.02, 0}, {.02, .02}, {-.02, -.02}, {.02, -.02}, {-.02, .02}} {
		if name != "" {
			break
		}
		name = find(lat+d[0], lon+d[1])
	}
	if name == "" {
		return nil, false
	}
	loc, err := time.LoadLocation(name)
	return loc, err == nil
}

func find(lat, lon float64) string {
	x, y := int32(math.Round(lon*unit)), int32(math.Round(lat*unit))
	for _, p := range polygons() {
		if x >= p.minX && x <= p.maxX && y >= p.minY && y <= p.maxY && p.contains(x, y) {
			return p.zone
		}
	}
	return ""
}

// unit is how many parts a degree has in the data.
const unit = 1e5

// A polygon is a part of a zone. Its lines stay packed.
type polygon struct {
	zone                   string
	minX, maxX, minY, maxY int32
	outline                []byte
	holes                  [][]byte
}

func (p *polygon) contains(x, y int32) bool {
	if !inside(p.outline, x, y) {
		return false
	}
	for _, hole := range p.holes {
		if inside(hole, x, y) {
			return false
		}
	}
	return true
}

// inside counts how often a ray from the point to the east crosses the line.
func inside(line []byte, x, y int32) (in bool) {
	var px, py int32
	first := true
	points(line, func(qx, qy int32) {
		if !first && (py > y) != (qy > y) {
			at := float64(px) + float64(y-py)/float64(qy-py)*float64(qx-px)
			if float64(x) < at {
				in = !in
			}
		}
		px, py, first = qx, qy, false
	})
	return in
}

// points unpacks a line, longitude first, from Google's Encoded Polyline Algorithm
// Format: differences, in groups of 5 bits from the lowest, each plus 63.
func points(line []byte, each func(x, y int32)) {
	var at [2]int32
	for i := 0; len(line) > 0; i++ {
		var v uint32
		n := 0
		for shift := 0; n < len(line) && shift < 32; shift += 5 {
			group := uint32(line[n]) - 63
			v |= group & 31 << shift
			if n++; group < 32 {
				break
			}
		}
		line = line[n:]
		at[i%2] += int32(v>>1) ^ -int32(v&1)
		if i%2 == 1 {
			each(at[0], at[1])
		}
	}
}

// polygons reads the table once. It is a message CompressedTimezones of tzf's tzinfo.proto
// in Protocol Buffers' wire format:
//
//	CompressedTimezones: 2 zone, repeated
//	zone:                1 polygon, repeated; 2 name
//	polygon:             1 outline; 2 hole (a polygon), repeated
var polygons = sync.OnceValue(func() (all []polygon) {
	fields(tzfrellite.LiteCompressData, func(n uint64, zone []byte) {
		if n != 2 {
			return
		}
		name := ""
		from := len(all)
		fields(zone, func(n uint64, b []byte) {
			switch n {
			case 1:
				all = append(all, newPolygon(b))
			case 2:
				name = string(b)
			}
		})
		for i := from; i < len(all); i++ {
			all[i].zone = name
		}
	})
	return all
})

func newPolygon(b []byte) polygon {
	p := polygon{minX: math.MaxInt32, minY: math.MaxInt32, maxX: math.MinInt32, maxY: math.MinInt32}
	fields(b, func(n uint64, b []byte) {
		switch n {
		case 1:
			p.outline = b
		case 2:
			fields(b, func(n uint64, b []byte) {
				if n == 1 {
					p.holes = append(p.holes, b)
				}
			})
		}
	})
	points(p.outline, func(x, y int32) {
		p.minX, p.maxX = min(p.minX, x), max(p.maxX, x)
		p.minY, p.maxY = min(p.minY, y), max(p.maxY, y)
	})
	return p
}

// fields calls each with the number and the bytes of every field that has bytes, and
// passes over numbers.
func fields(b []byte, each func(n uint64, b []byte)) {
	for len(b) > 0 {
		tag, l := binary.Uvarint(b)
		if l <= 0 {
			return
		}
		b = b[l:]
		v, l := binary.Uvarint(b)
		if l <= 0 {
			return
		}
		b = b[l:]
		if tag&7 != 2 {
			continue
		}
		if v > uint64(len(b)) {
			return
		}
		each(tag>>3, b[:v])
		b = b[v:]
	}
}
