package browse

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// details are what is known of a photograph beyond what its tile shows, in numbers for
// programs. What is not known is absent.
type details struct {
	Lens          string   `json:"lens,omitempty"`
	Exposure      float64  `json:"exposure,omitempty"`      // seconds
	Aperture      float64  `json:"aperture,omitempty"`      // f-number
	ISO           int      `json:"iso,omitempty"`           //
	FocalLength   float64  `json:"focalLength,omitempty"`   // millimetres
	FocalLength35 int      `json:"focalLength35,omitempty"` // millimetres, as on 35 mm film
	Place         *place   `json:"place,omitempty"`         //
	StoredWidth   int      `json:"storedWidth,omitempty"`   // pixels, before it is turned upright
	StoredHeight  int      `json:"storedHeight,omitempty"`  //
	Duration      float64  `json:"duration,omitempty"`      // seconds
	Animated      bool     `json:"animated,omitempty"`      //
	Motion        bool     `json:"motion,omitempty"`        // a film is in the same file
	ContentID     string   `json:"contentID,omitempty"`     // the same in picture and film of a Live Photo
	BurstID       string   `json:"burstID,omitempty"`       //
	Partial       bool     `json:"partial,omitempty"`       // the file is damaged, and a part of it is shown
	Rating        int      `json:"rating,omitempty"`        // 1 to 5; -1 is rejected
	Keywords      []string `json:"keywords,omitempty"`      //
}

// A place is where a photograph was taken (WGS 84).
type place struct {
	Lat      float64  `json:"lat"`
	Lon      float64  `json:"lon"`
	Altitude *float64 `json:"altitude,omitempty"` // metres above the sea
}

// A fact is a line of the panel beside a photograph.
type fact struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Href  string `json:"href,omitempty"` // more like it, or a map
}

// describe adds to an item what its panel shows.
func (i *item) describe(e *backend.Entry) {
	d := e.Media.Details()
	i.Details = &details{
		Lens: d.Lens, Exposure: d.Exposure.Seconds(), Aperture: d.Aperture, ISO: d.ISO,
		FocalLength: d.FocalLength, FocalLength35: d.FocalLength35,
		StoredWidth: d.StoredWidth, StoredHeight: d.StoredHeight, Duration: d.Duration.Seconds(),
		Animated: d.Animated, Motion: d.Motion, ContentID: d.ContentID, BurstID: d.BurstID, Partial: d.Partial,
		Rating: d.Rating, Keywords: d.Keywords,
	}
	add := func(title, value string) {
		if value != "" {
			i.Info = append(i.Info, fact{Title: title, Value: value})
		}
	}
	add("Taken", i.When()+zoneOf(i))
	find := func(title, value, query string) {
		if value != "" {
			i.Info = append(i.Info, fact{title, value, "/search?" + url.Values{"q": {query}}.Encode()})
		}
	}
	find("Camera", i.Camera, i.Camera)
	add("Lens", d.Lens)
	add("Exposure", exposure(&d))
	if e.Media.HasPlace {
		i.Details.Place = &place{Lat: e.Media.Lat, Lon: e.Media.Lon}
		value := fmt.Sprintf("%.5f, %.5f", e.Media.Lat, e.Media.Lon)
		if d.HasAltitude {
			i.Details.Place.Altitude = &d.Altitude
			value += fmt.Sprintf(", %d m", int(math.Round(d.Altitude)))
		}
		i.Info = append(i.Info, fact{"Place", value, fmt.Sprintf("https://www.openstreetmap.org/?mlat=%.5f&mlon=%.5f#map=15/%.5f/%.5f", e.Media.Lat, e.Media.Lon, e.Media.Lat, e.Media.Lon)})
	}
	if i.Width > 0 {
		size := fmt.Sprintf("%d × %d", i.Width, i.Height)
		if mp := float64(i.Width) * float64(i.Height) / 1e6; mp >= 0.95 {
			size += fmt.Sprintf(" (%.0f MP)", mp)
		}
		add("Size", size)
	}
	if d.Duration > 0 {
		add("Length", d.Duration.Round(time.Second).String())
	}
	add("Kind", strings.Join(kinds(i, &d), ", "))
	switch {
	case d.Rating > 0:
		add("Rating", strings.Repeat("★", d.Rating))
	case d.Rating < 0:
		add("Rating", "rejected")
	}
	add("Keywords", strings.Join(d.Keywords, ", "))
	dir, name := i.Key.Split()
	add("File", name+", "+humanBytes(i.Size))
	find("Folder", string(dir), string(dir)+"/")
	add("Preview", capital(i.NoPreview))
}

// zoneOf tells the offset of a date that bears one.
func zoneOf(i *item) string {
	if i.TakenFrom == "" || i.Offset == 0 {
		return ""
	}
	return i.Taken.Format(" (UTC-07:00)")
}

// exposure is time, aperture, sensitivity and focal length in a line.
func exposure(d *backend.Details) string {
	var parts []string
	switch s := d.Exposure.Seconds(); {
	case s <= 0:
	case s < 0.3:
		parts = append(parts, fmt.Sprintf("1/%.0f s", 1/s))
	default:
		parts = append(parts, decimal(s)+" s")
	}
	if d.Aperture > 0 {
		parts = append(parts, "f/"+decimal(d.Aperture))
	}
	if d.ISO > 0 {
		parts = append(parts, "ISO "+strconv.Itoa(d.ISO))
	}
	if d.FocalLength > 0 {
		focal := decimal(d.FocalLength) + " mm"
		if d.FocalLength35 > 0 && math.Abs(float64(d.FocalLength35)-d.FocalLength) >= 1 {
			focal += fmt.Sprintf(" (as %d mm)", d.FocalLength35)
		}
		parts = append(parts, focal)
	}
	return strings.Join(parts, " · ")
}

// decimal is a number with one place behind the point, if that says anything.
func decimal(v float64) string { return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") }

// kinds are what a file is, in words.
func kinds(i *item, d *backend.Details) []string {
	kinds := []string{i.Label()}
	for _, k := range []struct {
		is   bool
		word string
	}{
		{d.Animated, "animated"},
		{d.ContentID != "", "Live Photo"},
		{d.Motion, "motion photo"},
		{d.BurstID != "", "one of a burst"},
		{d.Partial, "damaged: a part of it is shown"},
	} {
		if k.is {
			kinds = append(kinds, k.word)
		}
	}
	return kinds
}

// capital is a sentence's beginning.
func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
