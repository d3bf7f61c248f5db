package render

// capabilities tells what this program itself makes pictures of, and by what.
func capabilities() string {
	s := "JPEG by the standard library"
	if Turbo {
		s = "JPEG by libjpeg-turbo"
	}
	s += ", PNG, GIF, WebP, TIFF, BMP, RAW by its preview"
	if libheif() {
		s += ", HEIC and AVIF by libheif"
	} else {
		s += ", HEIC by WebAssembly, no AVIF (libheif.so is not installed)"
	}
	return s + ", variants as " + Type
}
