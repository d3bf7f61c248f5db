package render

import "math"

// A picture is resized plane by plane, first down its columns, then along its
// rows, each sample being a sum of samples of the source, weighted by Lanczos's
// window of three lobes. All is done in whole numbers, so that the kernel in C
// and the one in Go give the same bytes, on every machine:
//
//	columns  weights of weightBits, sums rounded to 8+columnBits bits
//	rows     weights of weightBits, sums rounded to 8 bits
const (
	weightBits = 14
	columnBits = 6
	rowBits    = weightBits + columnBits // of a sum along a row, below the unit

	lobes = 3
)

// weightsAlign is what the number of a row's weights is a multiple of, so that the
// C compiler can take eight at once.
const weightsAlign = 8

// weights say how a line of samples is made from a longer or shorter one: sample
// i is the sum of weight[i*taps+k] times source sample start[i]+k.
type weights struct {
	taps   int
	start  []int32
	weight []int16
}

// lanczos makes the weights for n samples out of m. Sample i lies at (i+0.5+shift)
// times scale in the source, and is shown by gain; weights sum up to gain exactly.
// The number of taps is a multiple of align; beyond the end of the source they are
// zero.
func lanczos(n, m int, scale, shift, gain float64, align int) weights {
	width := max(scale, 1) // of the source that one lobe covers
	span := int(math.Ceil(lobes*width))*2 + 1
	raw := make([]float64, span)
	all := make([]int16, 0, n*span)
	starts, ends := make([]int32, n), make([]int32, n)
	most := 1
	for i := range n {
		centre := (float64(i)+0.5+shift)*scale - 0.5
		first := max(0, int(math.Ceil(centre-lobes*width)))
		last := min(m-1, int(math.Floor(centre+lobes*width)))
		if first > last { // it lies off the source: its nearest sample
			first = min(max(first, 0), m-1)
			last = first
		}
		raw := raw[:last-first+1]
		sum := 0.0
		for k := range raw {
			raw[k] = window((float64(first+k) - centre) / width)
			sum += raw[k]
		}
		if sum == 0 {
			raw[0], sum = 1, 1
		}
		at, total, largest := len(all), 0, 0
		for k, v := range raw {
			w := int(math.Round(v / sum * gain * (1 << weightBits)))
			total += w
			all = append(all, int16(w))
			if w > int(all[at+largest]) {
				largest = k
			}
		}
		all[at+largest] += int16(int(math.Round(gain*(1<<weightBits))) - total)
		// Many outer ones are zero: all but one, where nothing is resized.
		from, to := at, len(all)
		for to-from > 1 && all[to-1] == 0 {
			to--
		}
		for to-from > 1 && all[from] == 0 {
			from++
		}
		starts[i], ends[i] = int32(first+from-at), int32(first+to-at)
		copy(all[at:], all[from:to])
		all = all[:at+to-from]
		most = max(most, to-from)
	}
	taps := (most + align - 1) / align * align
	w := weights{taps: taps, start: starts, weight: make([]int16, n*taps)}
	for i := range n {
		count := int(ends[i] - starts[i])
		copy(w.weight[i*taps:], all[:count])
		all = all[count:]
	}
	return w
}

// window is Lanczos's, of three lobes.
func window(x float64) float64 {
	if x == 0 {
		return 1
	}
	if x <= -lobes || x >= lobes {
		return 0
	}
	// The sine of three times an angle by that of the angle, sin 3a = 3 sin a - 4 sin³ a.
	x *= math.Pi
	s := math.Sin(x / lobes)
	return lobes * s * s * (3 - 4*s*s) / (x * x)
}

// resizeGo fills dst from src.
func resizeGo(dst, src *plane, f *fitting) {
	columns, rows := &f.columns, &f.rows
	row := make([]int16, src.w+rows.taps)
	sums := make([]int32, src.w)
	for y := range dst.h {
		clear(sums)
		for k, weight := range columns.weight[y*columns.taps : (y+1)*columns.taps] {
			if weight == 0 {
				continue
			}
			line := src.row(int(columns.start[y]) + k)
			for x := range sums {
				sums[x] += int32(weight) * int32(line[x])
			}
		}
		for x, sum := range sums {
			row[x] = int16((sum + 1<<(weightBits-columnBits-1)) >> (weightBits - columnBits))
		}
		out := dst.row(y)
		for x := range out {
			from := row[rows.start[x]:][:rows.taps]
			weight := rows.weight[x*rows.taps:][:len(from)]
			sum := f.offset + 1<<(rowBits-1)
			for k, v := range from {
				sum += int32(v) * int32(weight[k])
			}
			out[x] = uint8(min(max(sum>>rowBits, 0), 255))
		}
	}
}
