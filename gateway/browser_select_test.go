package gateway_test

import (
	"archive/zip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// signedIn is a browser of ana's at the timeline, and how a test clicks there and presses keys.
func signedIn(t *testing.T, h *house, ana *tenant) *viewer {
	t.Helper()
	link, err := h.accounts.NewLoginLink(t.Context(), ana.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	v := newViewer(t, h, 390, 844)
	v.run("open the link", v.navigate("/login/link?t="+string(link)))
	v.reach("/", click(chromedp.CSS("form button")))
	v.until("the scripts run", "!document.getElementById('select').hidden")
	return v
}

// TestBrowserSelection: some photos are chosen by mouse and keyboard, downloaded as an archive,
// moved to the trash, and brought back.
func TestBrowserSelection(t *testing.T) {
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{})
	for i := range 12 {
		ana.put(backend.Key(fmt.Sprintf("photos/IMG_%02d.jpg", i)), fmt.Sprintf("\xff\xd8\xff\xe0 photo %d", i))
	}
	v := signedIn(t, h, ana)
	js := func(what, code string) { v.run(what, chromedp.Evaluate[chromedp.Void](code)) }
	at := func(i int) string { return fmt.Sprintf("document.querySelectorAll('.tile')[%d]", i) }
	says := func(words string) {
		t.Helper()
		v.until("the bar says "+words, "document.querySelector('#selection strong').textContent === "+quote(words))
	}
	const tiles = "document.querySelectorAll('.tile').length"

	js("click the circle of one", at(1)+".querySelector('.mark').click()")
	says("1 selected")
	v.fits("the page with a selection")
	js("take all up to another", at(5)+".querySelector('a').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, shiftKey: true }))")
	says("5 selected")
	js("leave one with a key", at(3)+".querySelector('a').dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, key: 'x' }))")
	says("4 selected")
	if checked := value[string](v, at(2)+".querySelector('a').getAttribute('aria-checked') + "+at(3)+".querySelector('a').getAttribute('aria-checked')"); checked != "truefalse" {
		t.Errorf("a screen reader is told %s", checked)
	}
	if value[bool](v, "document.getElementById('lightbox').open") {
		t.Error("a click of the selection opens the photo")
	}

	// What the form of the bar asks for.
	body := value[string](v, `(async () => {
		const form = document.querySelector("#selection form");
		form.addEventListener("submit", (event) => event.preventDefault(), { once: true });
		form.requestSubmit();
		return new URLSearchParams(new FormData(form)).toString();
	})()`)
	answer := ana.page("POST", "/zip", body, "Content-Type", "application/x-www-form-urlencoded")
	z, err := zip.NewReader(strings.NewReader(answer.body), int64(len(answer.body)))
	if err != nil {
		t.Fatalf("answer %d: %v", answer.code, err)
	}
	if len(z.File) != 4 {
		t.Errorf("the archive has %d files, want 4", len(z.File))
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(r); err != nil || !strings.HasPrefix(string(content), "\xff\xd8\xff\xe0 photo ") {
			t.Errorf("%s has %q, %v", f.Name, content, err)
		}
	}

	js("move them to the trash", "document.querySelector('#selection [data-do=trash]').click()")
	v.until("four are gone", tiles+" === 8 && document.getElementById('selection').hidden")
	if list, err := ana.library().Trash(t.Context(), "", 10); err != nil || len(list) != 4 {
		t.Errorf("%d are in the trash, %v", len(list), err)
	}
	js("undo that", "document.querySelector('.toast button').click()")
	v.until("all are back", tiles+" === 12")
	if list, err := ana.library().Trash(t.Context(), "", 10); err != nil || len(list) != 0 {
		t.Errorf("%d are still in the trash, %v", len(list), err)
	}
	js("choose and delete one with keys", at(2)+".querySelector('a').focus(); for (const key of ['x', 'Delete']) document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, key }))")
	v.until("the next one has the focus", tiles+" === 11 && document.activeElement === "+at(2)+".querySelector('a')")
	js("choose a whole day", "document.getElementById('select').click(); document.querySelector('.day h2').click()")
	says("11 selected")
	js("leave it with Escape", "document.body.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, key: 'Escape' }))")
	v.until("nothing is selected", "document.getElementById('selection').hidden && !document.querySelector('.chosen')")
}
