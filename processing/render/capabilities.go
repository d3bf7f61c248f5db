package render

// capabilities tells what this program itself makes pictures of, and by what.
func capabilities() []string {
	s := []string{"JPEG by the standard library"}
	if Turbo {
		s[0] = "JPEG by libjpeg-turbo"
	}
	s = append(s, "PNG, GIF, WebP, TIFF, BMP", "camera RAW by the JPEG in it")
	if libheif() {
		s = append(s, "HEIC and AVIF by libheif")
	} else {
		s = append(s, "HEIC by WebAssembly", "no AVIF: libheif.so is not installed")
	}
	return s
}
