package media_test

import (
	"fmt"

	"github.com/shoebox-photos/shoebox/processing/media"
)

func ExampleSniff() {
	fmt.Println(media.Sniff([]byte("\xff\xd8\xff\xe1\x1c\x45Exif\x00\x00")))
	fmt.Println(media.Sniff([]byte("a text, whatever its name ends in")))
	// Output:
	// image/jpeg
	// text/plain; charset=utf-8
}
