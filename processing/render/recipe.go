// Package render makes the pictures that are shown from the pictures that were
// put: it decodes, resizes, turns upright and encodes.
//
// Render does it in this process. Since what it decodes comes from strangers, a
// Pool does it in child processes with limits of memory, time and rights: a
// hostile picture kills a child, and costs nothing but its own preview.
package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// A Recipe is how a variant is made. Variants of one recipe are alike, whenever
// they were made; to change how a variant looks is to change its recipe, and so
// the names of the objects it is stored as.
type Recipe struct {
	Variant   string // name of the variant: lower-case letters
	MaxWidth  int    // pixels; a picture is never enlarged
	MaxHeight int    // pixels; 0 means as high as it gets
	Quality   int    // of lossy WebP, 0 to 100
}

// Recipes are the variants of every picture, largest first: each is made from the
// pixels of the one before. A thumb made so is sharper than one of a JPEG that was decoded
// at an eighth of its size, as is usual, so that 78 is better than 80 is there, in fewer bytes.
var Recipes = []Recipe{
	{Variant: "view", MaxWidth: 2048, MaxHeight: 2048, Quality: 80},
	{Variant: "thumb", MaxWidth: 400, Quality: 78},
}

// edition goes up when the code makes other pixels from the same parameters: a
// better resampler, say. Whoever raises it makes every picture be rendered anew.
const edition = 2

// ID tells recipes apart: 8 hexadecimal digits of a hash of all that goes into a
// variant. It is part of the variant's object name.
func (r Recipe) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %dx%d lanczos %s q%d icc", edition, r.Variant, r.MaxWidth, r.MaxHeight, Ext, r.Quality))
	return hex.EncodeToString(sum[:4])
}

// Name is what a variant made by the recipe is called below its original:
// "<variant>-<recipe>.<ext>".
func (r Recipe) Name() string { return r.Variant + "-" + r.ID() + "." + Ext }

// Names are the names of all variants, as they are made now.
func Names() (names []string) {
	for _, r := range Recipes {
		names = append(names, r.Name())
	}
	return names
}

// fit is the size of a picture of w by h pixels by this recipe.
func (r Recipe) fit(w, h int) (int, int) {
	scale := 1.0
	if w > r.MaxWidth {
		scale = float64(r.MaxWidth) / float64(w)
	}
	if r.MaxHeight > 0 && h > r.MaxHeight {
		scale = min(scale, float64(r.MaxHeight)/float64(h))
	}
	if scale == 1 {
		return w, h
	}
	return max(1, int(float64(w)*scale+0.5)), max(1, int(float64(h)*scale+0.5))
}
