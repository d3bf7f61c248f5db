package media_test

import (
	"encoding/json"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
)

// TestExiftool compares what Read and exiftool say of made files, if that is installed:
// that our files say what we mean by them.
func TestExiftool(t *testing.T) {
	tool, err := exec.LookPath("exiftool")
	if err != nil {
		t.Skip("exiftool is not installed")
	}
	exif := append([]byte("\x00\x00\x00\x00"), testphoto.TIFF(testphoto.Camera(1, "2024:07:14 21:05:59", "+02:00"))...)
	png := testphoto.PNG(image.NewGray(image.Rect(0, 0, 20, 10)))
	files := map[string][]byte{
		"header.mp4": []byte(movie(mvhd(created2020, 0), tkhd(640, 360, 0))),
		"right.mp4":  []byte(movie(mvhd(created2020, 0), tkhd(640, 360, 1))),
		"under.mp4":  []byte(movie(mvhd(created2020, 0), tkhd(640, 360, 2))),
		"left.mp4":   []byte(movie(mvhd(created2020, 0), tkhd(640, 360, 3))),
		"apple.mov": []byte(movie(mvhd(created2020, 0), tkhd(640, 360, 1), notes("com.apple.quicktime.creationdate", "2021-06-07T08:09:10+0200",
			"com.apple.quicktime.location.ISO6709", "+52.5000-013.4000+034.000/"))),
		"minutes.mov": []byte(movie(mvhd(created2020, 0), box("udta", udtaText("\xa9xyz", "+4030.0-07415.0/")))),
		"seconds.mov": []byte(movie(mvhd(created2020, 0), box("udta", udtaText("\xa9xyz", "-403036.0+0741503.6/")))),
		"phone.3gp": []byte(strings.Replace(movie(mvhd(created2020, 0), tkhd(320, 240, 0),
			box("udta", loci("Lima\x00", 0, -12.0625, -77.03125, 154.5, "earth"), box("date", "2020-11-20T15:04:02+0100"))), "qt  ", "3gp4", 1)),
		"still.jxl":    jxlBoxes(box("Exif", string(exif)), box("jxlc", string(jxlStream(4000, 300, 6)))),
		"bare.jxl":     jxlStream(4000, 300, 0),
		"side.heic":    heic(400, 300, "\x03", exif),
		"camera.jpg":   testphoto.WithEXIF(small(), testphoto.Camera(6, "2024:07:14 21:05:59", "+02:00")),
		"late.png":     append(append(append([]byte{}, png[:len(png)-12]...), testphoto.Chunk("eXIf", exif[4:])...), png[len(png)-12:]...),
		"odd.webp":     webp(riff("VP8X", []byte{8, 0, 0, 0, 19, 0, 0, 9, 0, 0}), riff("ICCP", []byte("odd")), riff("EXIF", exif[4:])),
		"negative.jpg": testphoto.WithXMP(small(), `exif:GPSLatitude="26,30,36S" exif:GPSLongitude="80,12.6W" exif:GPSAltitude="4225/10" exif:GPSAltitudeRef="1"`),
		"old.crw":      crw(),
	}
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool, "-j", "-n", "-api", "QuickTimeUTC=1", dir)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		t.Logf("note: %v", err) // it complains of films without a film
	}
	type answer struct {
		FileName                                       string
		ImageWidth, ImageHeight, Orientation, Rotation int
		DateTimeOriginal, CreationDate, CreateDate     string
		GPSLatitude, GPSLongitude, GPSAltitude         float64
	}
	var answers []answer
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(answers) != len(files) {
		t.Errorf("exiftool says something of %d files, want %d", len(answers), len(files))
	}
	for _, want := range answers {
		m := read(t, files[want.FileName])
		film := strings.Contains(".mp4.mov.3gp", filepath.Ext(want.FileName))
		if want.ImageWidth != m.Width || want.ImageHeight != m.Height {
			t.Errorf("%s: got %d × %d, want %d × %d", want.FileName, m.Width, m.Height, want.ImageWidth, want.ImageHeight)
		}
		if onSide := want.Rotation%180 != 0; film && onSide != (m.DisplayWidth != m.Width) {
			t.Errorf("%s: got %d × %d, want turned by %d", want.FileName, m.DisplayWidth, m.DisplayHeight, want.Rotation)
		}
		if !near(want.GPSLatitude, m.Lat) || !near(want.GPSLongitude, m.Lon) || !near(want.GPSAltitude, m.Altitude) {
			t.Errorf("%s: got %v, %v, %v, want %v, %v, %v", want.FileName, m.Lat, m.Lon, m.Altitude, want.GPSLatitude, want.GPSLongitude, want.GPSAltitude)
		}
		date := want.DateTimeOriginal + want.CreationDate
		if date == "" {
			date = want.CreateDate
		}
		got := ""
		switch {
		case m.Taken.IsZero():
		case film && m.HasOffset:
			got = m.Instant().In(time.FixedZone("", m.OffsetMinutes*60)).Format("2006:01:02 15:04:05-07:00")
		case film:
			got = m.Taken.Format("2006:01:02 15:04:05+00:00")
		default:
			got = m.Taken.Format("2006:01:02 15:04:05")
		}
		if got != date {
			t.Errorf("%s: got %q, want %q", want.FileName, got, date)
		}
	}
}
