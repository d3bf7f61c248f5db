package zone_test

import (
	"math"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/zone"
)

func TestFind(t *testing.T) {
	for _, test := range []struct {
		place    string
		lat, lon float64
		want     string
	}{
		{"Berlin", 52.52, 13.405, "Europe/Berlin"},
		{"Basel, beside two borders", 47.5596, 7.5886, "Europe/Zurich"},
		{"Weil, over the one", 47.594, 7.62, "Europe/Berlin"},
		{"Saint-Louis, over the other", 47.59, 7.56, "Europe/Paris"},
		{"Auckland", -36.85, 174.76, "Pacific/Auckland"},
		{"New York", 40.71, -74.01, "America/New_York"},
		{"Phoenix has no summer time", 33.45, -112.07, "America/Phoenix"},
		{"Kathmandu", 27.7172, 85.324, "Asia/Kathmandu"},
		{"Lesotho, a hole in South Africa", -29.31, 27.48, "Africa/Maseru"},
		{"Pretoria", -25.75, 28.19, "Africa/Johannesburg"},
		{"Fiji, west of the date line", -18.14, 178.44, "Pacific/Fiji"},
		{"Samoa, east of it", -13.83, -171.77, "Pacific/Apia"},
		{"the Atlantic", 40, -30, "Etc/GMT+2"},
		{"the South Pole", -90, 0, "Antarctica/McMurdo"},
	} {
		loc, ok := zone.Find(test.lat, test.lon)
		if !ok || loc.String() != test.want {
			t.Errorf("%s: got %v, %v, want %s", test.place, loc, ok, test.want)
		}
	}
	for _, p := range [][2]float64{{91, 0}, {0, 181}, {math.NaN(), 0}, {0, math.Inf(-1)}} {
		if loc, ok := zone.Find(p[0], p[1]); ok {
			t.Errorf("%v: got %v, want none", p, loc)
		}
	}
}

// Wherever it was, there is a zone, and the tables know it.
func TestEverywhere(t *testing.T) {
	none := 0
	for lat := -89.5; lat < 90; lat += 7 {
		for lon := -179.5; lon < 180; lon += 7 {
			if _, ok := zone.Find(lat, lon); !ok {
				none++
				t.Logf("no zone at %v, %v", lat, lon)
			}
		}
	}
	if none > 0 {
		t.Errorf("%d places have no zone", none)
	}
}

// A summer's offset is not that of a winter.
func TestSummer(t *testing.T) {
	loc, ok := zone.Find(48.85, 2.35)
	if !ok {
		t.Fatal("Paris has no zone")
	}
	for month, want := range map[time.Month]int{time.January: 3600, time.July: 7200} {
		if _, got := time.Date(2024, month, 14, 12, 0, 0, 0, loc).Zone(); got != want {
			t.Errorf("%v: got %d s, want %d", month, got, want)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	zone.Find(0, 0)
	b.ReportAllocs()
	for b.Loop() {
		zone.Find(47.5596, 7.5886)
	}
}
