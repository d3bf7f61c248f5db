package gateway_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// TestBrowserTrash: everything is brought back from the trash, more than a page of it; then
// something is deleted for good.
func TestBrowserTrash(t *testing.T) {
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{})
	const n = 130
	remove := func(i int) {
		t.Helper()
		key := backend.Key(fmt.Sprintf("photos/IMG_%03d.jpg", i))
		if err := ana.library().Delete(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		ana.put(backend.Key(fmt.Sprintf("photos/IMG_%03d.jpg", i)), fmt.Sprintf("\xff\xd8\xff\xe0 photo %d", i))
		remove(i)
	}
	v := signedIn(t, h, ana)
	v.reach("/trash", v.navigate("/trash"))
	v.fits("the trash")
	v.until("the script runs", "!document.getElementById('restore-all').hidden")
	v.reach("/trash", click(chromedp.CSS("#restore-all summary")), click(chromedp.CSS("#restore-all button")))
	if usage, err := ana.library().Usage(t.Context()); err != nil || usage.Files != n {
		t.Errorf("after all was restored there are %d files, %v", usage.Files, err)
	}
	if list, err := ana.library().Trash(t.Context(), "", 10); err != nil || len(list) != 0 {
		t.Errorf("after all was restored the trash has %d, %v", len(list), err)
	}

	remove(7)
	remove(8)
	v.reach("/trash", v.navigate("/trash"))
	const entry = "//li[contains(., 'IMG_007.jpg')]"
	v.reach("/trash", click(chromedp.Search(entry+"//summary")), click(chromedp.Search(entry+"//button[contains(., 'for good')]")))
	if list, err := ana.library().Trash(t.Context(), "", 10); err != nil || len(list) != 1 || list[0].Entry.Name != "IMG_008.jpg" {
		t.Errorf("after one was deleted for good the trash has %d, %v", len(list), err)
	}
}
