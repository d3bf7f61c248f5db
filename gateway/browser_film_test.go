package gateway_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// TestBrowserFilm: a film is given to the browser's own player, from where it is downloaded; one
// that it cannot play can still be downloaded, and is gone when the next photo is shown.
func TestBrowserFilm(t *testing.T) {
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{})
	film := ana.put("photos/a.mp4", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom and no more of it")
	v := signedIn(t, h, ana)
	v.run("open the film", chromedp.Evaluate[chromedp.Void]("document.querySelector('[data-ino=\""+string(film.Ino)+"\"] a').click()"))
	v.until("the player fails", "document.querySelector('#lightbox .why').textContent.startsWith('This browser cannot play the film')")
	if src := value[string](v, "document.querySelector('#lightbox video').getAttribute('src')"); src != "/o/"+string(film.Ino) {
		t.Errorf("it was given %q", src)
	}
	if href := value[string](v, "document.querySelector('#lightbox [data-do=download]').getAttribute('href')"); href != "/o/"+string(film.Ino) {
		t.Errorf("the download leads to %q", href)
	}
	v.run("go to the photo", v.navigate("/#"+string(ana.put("photos/b.jpg", "\xff\xd8\xff\xe0 a photo").Ino)))
	v.until("no film is left", "document.getElementById('lightbox').open && !document.querySelector('#lightbox video').hasAttribute('src')")
}
