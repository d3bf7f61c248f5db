package backend

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// A PartRun is a number of parts of one size that follow each other.
type PartRun struct {
	Count int
	Size  int64 // of each, bytes
}

// maxPartRuns bounds what an entry keeps of its parts. Clients send parts of one size and
// a rest, which are two runs; 10,000 parts of as many sizes would not fit in a row.
const maxPartRuns = 1000

// partRuns are the sizes of parts, or nil if they are too motley to be kept.
func partRuns(parts []object.Part) []PartRun {
	var runs []PartRun
	for _, p := range parts {
		if n := len(runs); n > 0 && runs[n-1].Size == p.Size {
			runs[n-1].Count++
			continue
		}
		if len(runs) == maxPartRuns {
			return nil
		}
		runs = append(runs, PartRun{1, p.Size})
	}
	return runs
}

// PartCount is of how many parts the content was put together; 0 if it came whole, or
// if that is not known.
func (e *Entry) PartCount() (n int) {
	for _, r := range e.Parts {
		n += r.Count
	}
	return n
}

// Part says where part number, from 1, lies in the content. Parts are numbered in their
// order, whatever numbers they were uploaded under.
func (e *Entry) Part(number int) (off, n int64, ok bool) {
	if number < 1 {
		return 0, 0, false
	}
	number--
	for _, r := range e.Parts {
		if number < r.Count {
			return off + int64(number)*r.Size, r.Size, true
		}
		number -= r.Count
		off += int64(r.Count) * r.Size
	}
	return 0, 0, false
}

// appendRuns packs runs: count and size of each.
func appendRuns(b []byte, n protowire.Number, runs []PartRun) []byte {
	if len(runs) == 0 {
		return b
	}
	packed := make([]byte, 0, 6*len(runs))
	for _, r := range runs {
		packed = protowire.AppendVarint(packed, uint64(r.Count))
		packed = protowire.AppendVarint(packed, uint64(r.Size))
	}
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), packed)
}

func consumeRuns(b []byte) ([]PartRun, error) {
	var runs []PartRun
	for len(b) > 0 {
		var v [2]uint64
		for i := range v {
			var l int
			if v[i], l = protowire.ConsumeVarint(b); l < 0 {
				return nil, protowire.ParseError(l)
			}
			b = b[l:]
		}
		runs = append(runs, PartRun{int(v[0]), int64(v[1])})
	}
	return runs, nil
}
