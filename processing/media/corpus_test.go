package media_test

import (
	"bufio"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// differs is what is not as exiftool has it, and why it is so.
var differs = map[string]string{
	"head-sample.arw size": "all its directories and EXIF say 3880 × 2600; exiftool looks into the private block of the maker, which leaves out the margin",
	"head-sample.cr2 size": "its EXIF says 3648 × 2736, which is exiftool's ImageSize too; its ImageWidth is that of the preview in the first directory",
}

// TestCorpus compares Sniff and Read with what exiftool says of real photographs,
// if SHOEBOX_TEST_CORPUS names a directory of them with a table expected.tsv.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SHOEBOX_TEST_CORPUS")
	if dir == "" {
		t.Skip("SHOEBOX_TEST_CORPUS is not set")
	}
	table, err := os.Open(filepath.Join(dir, "expected.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	rows := bufio.NewScanner(table)
	rows.Scan()
	column := make(map[string]int)
	for i, name := range strings.Split(rows.Text(), "\t") {
		column[name] = i
	}
	agree, total := make(map[string]int), make(map[string]int)
	for rows.Scan() {
		row := strings.Split(rows.Text(), "\t")
		want := func(name string) string { return strings.Trim(row[column[name]], "- ") }
		t.Run(want("file"), func(t *testing.T) {
			f, err := os.Open(filepath.Join(dir, row[0]))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			head := make([]byte, media.SniffLen)
			n, _ := io.ReadFull(f, head)
			mediaType := media.Sniff(head[:n])
			info, _ := f.Stat()
			m, err := media.Read(f, info.Size(), mediaType)
			if err != nil {
				t.Logf("note: %v", err)
			}
			if !m.Valid() {
				t.Errorf("not valid: %+v", m)
			}
			check := func(what string, ok bool, got any, want string) {
				total[what]++
				reason, known := differs[row[0]+" "+what]
				switch {
				case ok && known:
					t.Errorf("%s agrees by now: take it off the list", what)
				case ok:
					agree[what]++
				case known:
					t.Logf("%s differs: got %v, want %s: %s", what, got, want, reason)
				default:
					t.Errorf("%s: got %v, want %s", what, got, want)
				}
			}
			if w := row[column["mime"]]; w != "-" {
				// exiftool says x-fujifilm where the sniffer says x-fuji, as most libraries do.
				w = strings.Replace(w, "fujifilm", "fuji", 1)
				check("type", strings.HasPrefix(mediaType, w), mediaType, w)
			}
			if w := want("orientation"); w != "" {
				check("orientation", w == strconv.Itoa(m.Orientation), m.Orientation, w)
			} else if m.Orientation > 1 { // exiftool gives none where the rest of the EXIF is broken
				check("no orientation", false, m.Orientation, "none")
			}
			if w := want("datetime_original"); w != "" {
				day, _ := time.Parse("2006:01:02 15:04:05", w[:19])
				check("date", day.Equal(m.Taken.Truncate(time.Second)), m.Taken, w)
				if len(w) > 19 {
					check("offset", m.HasOffset && w[19:] == zone(m.OffsetMinutes), m.OffsetMinutes, w)
				}
			}
			if w := row[column["offset_time_original"]]; w != "-" {
				check("offset", m.HasOffset && w == zone(m.OffsetMinutes), m.OffsetMinutes, w)
			}
			if w := want("model"); w != "" {
				check("model", w == m.Model, m.Model, w)
			}
			if w := want("make"); w != "" {
				check("make", w == m.Make, m.Make, w)
			}
			lat, err1 := strconv.ParseFloat(row[column["gps_lat"]], 64)
			lon, err2 := strconv.ParseFloat(row[column["gps_lon"]], 64)
			if err1 == nil && err2 == nil {
				check("place", m.HasPlace && math.Abs(m.Lat-lat) < 1e-5 && math.Abs(m.Lon-lon) < 1e-5, [2]float64{m.Lat, m.Lon}, row[column["gps_lat"]])
			} else if m.HasPlace {
				check("no place", false, [2]float64{m.Lat, m.Lon}, "none")
			}
			if w, h := want("width"), want("height"); w != "" {
				check("size", w == strconv.Itoa(m.Width) && h == strconv.Itoa(m.Height), [2]int{m.Width, m.Height}, w+" × "+h)
			}
		})
	}
	for what, n := range total {
		t.Logf("%s: %d of %d agree", what, agree[what], n)
	}
}

// zone writes an offset as EXIF does.
func zone(minutes int) string {
	return time.Unix(0, 0).In(time.FixedZone("", minutes*60)).Format("-07:00")
}
