package render_test

import (
	"bytes"
	"fmt"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/render"
)

func ExampleRender() {
	file := testphoto.WithEXIF(testphoto.JPEG(testphoto.Quarters(3000, 2000)), testphoto.Camera(6, "2024:07:14 21:05:59", "+02:00"))
	res, err := render.Render(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Type, res.Width, res.Height, res.Meta.Taken)
	for _, v := range res.Variants {
		fmt.Println(v.Recipe.Variant, v.Width, v.Height)
	}
	// Output:
	// image/jpeg 2000 3000 2024-07-14 21:05:59 +0000 UTC
	// view 1365 2048
	// thumb 400 600
}
