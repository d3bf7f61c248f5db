package backend

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Details are what the content of a picture or film says beyond what a timeline shows.
// A zero field is not known.
type Details struct {
	Lens          string
	Exposure      time.Duration // to the nanosecond
	Aperture      float64       // f-number, to a hundredth
	ISO           int
	FocalLength   float64 // millimetres, to a hundredth
	FocalLength35 int     // millimetres, as on 35 mm film

	HasAltitude bool
	Altitude    float64 // metres above the sea, to a hundredth

	StoredWidth  int // pixels, before the picture is turned upright
	StoredHeight int

	Duration  time.Duration // of a film, to the millisecond
	Animated  bool          // a picture that moves
	Motion    bool          // a film is kept in the same file
	ContentID string        // the same in the picture and the film of one Live Photo
	BurstID   string        // the same in all pictures of one burst
	Partial   bool          // the file is damaged: its variants show a part of the picture

	Rating   int // 1 to 5; -1 is rejected, 0 not rated
	Keywords []string
}

// The packed Details, in Protocol Buffers' wire format:
//
//	1 lens     string          7 altitude cm zigzag  13 burst id  string
//	2 exposure ns varint       8 stored width varint 14 rating    zigzag
//	3 aperture ×100 varint     9 stored height       15 keyword   string, repeated
//	4 iso      varint         10 duration ms varint
//	5 focal length mm ×100    11 flags: 1 has altitude, 2 animated, 4 motion, 8 partial
//	6 focal length on 35 mm   12 content id string

// pack is d as a row keeps it, "" if it says nothing.
func (d *Details) pack() string {
	var b []byte
	b = appendString(b, 1, d.Lens)
	b = appendVarint(b, 2, uint64(max(d.Exposure, 0)))
	b = appendVarint(b, 3, hundredths(d.Aperture))
	b = appendVarint(b, 4, uint64(max(d.ISO, 0)))
	b = appendVarint(b, 5, hundredths(d.FocalLength))
	b = appendVarint(b, 6, uint64(max(d.FocalLength35, 0)))
	if d.HasAltitude {
		b = appendInt(b, 7, int64(d.Altitude*100))
	}
	b = appendVarint(b, 8, uint64(max(d.StoredWidth, 0)))
	b = appendVarint(b, 9, uint64(max(d.StoredHeight, 0)))
	b = appendVarint(b, 10, uint64(max(d.Duration.Milliseconds(), 0)))
	var flags uint64
	for i, on := range []bool{d.HasAltitude, d.Animated, d.Motion, d.Partial} {
		if on {
			flags |= 1 << i
		}
	}
	b = appendVarint(b, 11, flags)
	b = appendString(b, 12, d.ContentID)
	b = appendString(b, 13, d.BurstID)
	b = appendInt(b, 14, int64(d.Rating))
	for _, word := range d.Keywords {
		b = appendString(b, 15, word)
	}
	return string(b)
}

func hundredths(v float64) uint64 { return uint64(max(v, 0)*100 + .5) }

// Details are unpacked at each call: a listing of ten thousand has no use for them. What
// cannot be read is left out.
func (m *Media) Details() (d Details) {
	for b := []byte(m.details); len(b) > 0; {
		n, typ, l := protowire.ConsumeTag(b)
		if l < 0 {
			return d
		}
		b = b[l:]
		var v uint64
		var s string
		switch typ {
		case protowire.VarintType:
			v, l = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			s, l = protowire.ConsumeString(b)
		default:
			l = protowire.ConsumeFieldValue(n, typ, b)
		}
		if l < 0 {
			return d
		}
		b = b[l:]
		switch n {
		case 1:
			d.Lens = s
		case 2:
			d.Exposure = time.Duration(v)
		case 3:
			d.Aperture = float64(v) / 100
		case 4:
			d.ISO = int(v)
		case 5:
			d.FocalLength = float64(v) / 100
		case 6:
			d.FocalLength35 = int(v)
		case 7:
			d.Altitude = float64(protowire.DecodeZigZag(v)) / 100
		case 8:
			d.StoredWidth = int(v)
		case 9:
			d.StoredHeight = int(v)
		case 10:
			d.Duration = time.Duration(v) * time.Millisecond
		case 11:
			d.HasAltitude, d.Animated, d.Motion, d.Partial = v&1 != 0, v&2 != 0, v&4 != 0, v&8 != 0
		case 12:
			d.ContentID = s
		case 13:
			d.BurstID = s
		case 14:
			d.Rating = int(protowire.DecodeZigZag(v))
		case 15:
			d.Keywords = append(d.Keywords, s)
		}
	}
	return d
}

// SetDetails makes d what Details gives.
func (m *Media) SetDetails(d Details) { m.details = d.pack() }
