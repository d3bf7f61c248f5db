package backend_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// What is known of a picture is still known after its row was written, read and copied.
func TestDetails(t *testing.T) {
	want := backend.Details{
		Lens: "Weitwinkel 24 mm ½", Exposure: time.Second / 8000, Aperture: 1.78, ISO: 640, FocalLength: 6.86, FocalLength35: 24,
		HasAltitude: true, Altitude: -422.25, StoredWidth: 4032, StoredHeight: 3024,
		Duration: 83*time.Second + 45*time.Millisecond, Animated: true, Motion: true, Partial: true,
		ContentID: "2E1C6A0F-0B7E-4F0B-9C9C-0D0B0A090807", BurstID: "burst-7", Rating: -1, Keywords: []string{"Strand", "海"},
	}
	b := newBox(t)
	e := b.put("photos/a.jpg", "a picture")
	m := backend.Media{Width: 3024, Height: 4032, By: "0badcafe", NoPreview: "none"}
	m.SetDetails(want)
	if err := b.b.Finish(t.Context(), uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Copy(t.Context(), "photos/a.jpg", "photos/b.jpg", nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []backend.Key{"photos/a.jpg", "photos/b.jpg"} {
		e, err := b.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Media.Details(); !reflect.DeepEqual(got, want) || e.Media.By != "0badcafe" {
			t.Errorf("%s: got  %+v by %q\nwant %+v", key, got, e.Media.By, want)
		}
	}
	if got := (&backend.Media{}).Details(); !reflect.DeepEqual(got, backend.Details{}) {
		t.Errorf("of nothing: got %+v", got)
	}
}
