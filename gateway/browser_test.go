package gateway_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// A viewer is a tab of a headless Chromium.
type viewer struct {
	t   *testing.T
	ctx context.Context
	h   *house
}

// newViewer starts a browser whose page is so wide and high. The test is skipped where
// there is none.
func newViewer(t *testing.T, h *house, width, height int64) *viewer {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser is started only without -short")
	}
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		t.Skip("chromium is not installed")
	}
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true),
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	// A machine that does much else is slow; nothing here waits without a reason.
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return &viewer{t, ctx, h}
}

func (v *viewer) run(what string, actions ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	if err := chromedp.Do(v.ctx, actions...); err != nil {
		v.t.Fatalf("%s: %v\n%s", what, err, v.h.log)
	}
}

// value is what a JavaScript expression is, or what the promise that it is comes to.
func value[T any](v *viewer, expression string) T {
	v.t.Helper()
	x, err := chromedp.Run(v.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("%s: %v\n%s", expression, err, v.h.log)
	}
	return x
}

// until waits for a JavaScript expression to be true, from page to page.
func (v *viewer) until(what, expression string) {
	v.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// It fails while one page makes room for the next.
		if yes, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](expression)); err == nil && yes {
			return
		}
		select {
		case <-v.ctx.Done():
			v.t.Fatalf("%s: %v\n%s", what, v.ctx.Err(), v.h.log)
		case <-tick.C:
		}
	}
}

// reach does something that leads to the page at path, maybe over others, and waits until
// that is loaded.
func (v *viewer) reach(path string, actions ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	here := chromedp.Evaluate[chromedp.Void]("window.here = true") // gone with the page
	v.run("go to "+path, append([]chromedp.Action[chromedp.Void]{here}, actions...)...)
	v.until("reach "+path, "!window.here && location.pathname === "+quote(path)+" && document.readyState === 'complete'")
}

// navigate opens what is at path of the house.
func (v *viewer) navigate(path string) chromedp.Action[chromedp.Void] {
	return chromedp.Navigate(v.h.web.URL + path)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `\'`) + "'" }

// fits says that nothing of the page is wider than the window.
func (v *viewer) fits(what string) {
	v.t.Helper()
	if wide := value[int](v, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
		v.t.Errorf("%s is %d pixels wider than the window", what, wide)
	}
}

// click clicks what a selector, or an XPath, finds, once it is there.
func click[S chromedp.CSS | chromedp.Search](s S) chromedp.Action[chromedp.Void] {
	return chromedp.Click(s)
}

// TestBrowser: a person signs in with a link on a phone, connects it, revokes it, and signs out.
func TestBrowser(t *testing.T) {
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{})
	link, err := h.accounts.NewLoginLink(t.Context(), ana.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	v := newViewer(t, h, 390, 844)
	for _, name := range []string{"clipboard-write", "clipboard-read"} {
		_, err := chromedp.CallBrowser(v.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	signIn := "/login/link?t=" + string(link)
	v.run("open the link", v.navigate(signIn))
	v.reach("/", click(chromedp.CSS("form button")))
	v.fits("the timeline")

	v.reach("/devices", v.navigate("/devices"))
	v.reach("/devices", chromedp.SendKeys(chromedp.CSS("input[name=label]"), "Ana's phone"), click(chromedp.CSS(".mint button[type=submit]")))
	v.run("see the settings", chromedp.WaitVisible(chromedp.CSS(".minted")))
	v.fits("the page of the settings")
	// Each setting, as its button copies it.
	settings := make(map[string]string)
	for i := range value[int](v, "document.querySelectorAll('.minted .field').length") {
		field := "document.querySelectorAll('.minted .field')[" + string(rune('0'+i)) + "]"
		name := value[string](v, field+".querySelector('.dim').textContent")
		v.run("copy "+name, chromedp.Evaluate[chromedp.Void](field+".querySelector('button.copy').click()"))
		v.until("copy "+name, field+".querySelector('.copy').classList.contains('done')")
		text := value[string](v, "navigator.clipboard.readText()")
		if want := value[string](v, field+".querySelector('code').textContent"); text != want {
			t.Errorf("%s: copied %q, want %q", name, text, want)
		}
		settings[name] = text
	}
	if settings["Server"] != h.web.URL+"/dav/" || settings["User name"] != "ana" {
		t.Fatalf("settings are %q", settings)
	}
	dav := func() int {
		t.Helper()
		r := h.request("PROPFIND", settings["Server"], nil, []string{"Depth", "0"})
		r.SetBasicAuth(settings["User name"], settings["Password"])
		return ana.do(r).code
	}
	if code := dav(); code != 207 {
		t.Fatalf("with these settings WebDAV answers %d", code)
	}
	v.reach("/devices", v.navigate("/devices"))
	if page := value[string](v, "document.body.innerText"); strings.Contains(page, settings["Password"]) {
		t.Error("the password is shown again")
	}
	v.fits("the devices")
	v.reach("/previews", v.navigate("/previews"))
	v.fits("the previews")
	v.reach("/devices", v.navigate("/devices"))

	const entry = "//li[contains(., \"Ana's phone\")]"
	v.reach("/devices", click(chromedp.Search(entry+"//summary")), click(chromedp.Search(entry+"//button[contains(., 'Revoke')]")))
	v.run("see that it is done", chromedp.WaitVisible(chromedp.CSS(".note.good")))
	if code := dav(); code != 401 {
		t.Errorf("revoked: WebDAV answers %d", code)
	}

	v.reach("/login", click(chromedp.CSS(".menu summary")), click(chromedp.CSS(".menu button[type=submit]")))
	v.reach("/login", v.navigate("/devices"))
	if cookie := value[string](v, "document.cookie"); cookie != "" {
		t.Error("scripts see a cookie")
	}
	v.run("use the link again", v.navigate(signIn), click(chromedp.CSS("form button")), chromedp.WaitVisible(chromedp.Search("//h1[contains(., 'does not work')]")))
}

// TestBrowserOIDC: the same way in and out, by a provider. A browser minds what the policies
// of our pages say about forms and redirects; other clients do not.
func TestBrowserOIDC(t *testing.T) {
	port := freePort(t)
	issuer := "http://127.0.0.1:" + port
	h := newHouse(t, func(o *auth.Options) {
		o.OIDC = []auth.OIDCConfig{{ID: "mock", Name: "Mock", Issuer: issuer, ClientID: "shoebox", ClientSecret: "canary-client-secret", AllowEmails: []string{"carol@example.org"}}}
	})
	v := newViewer(t, h, 1280, 900)
	realProvider(t, mockServer, "mock.mjs", port)
	v.reach("/login", v.navigate("/devices"))
	v.reach("/devices", click(chromedp.CSS("a.button.primary")))
	v.fits("the devices")
	// A form that leads to the provider, from a page whose policy forbids forms to go elsewhere.
	v.reach("/devices", click(chromedp.Search("//button[contains(., 'Connect Mock')]")))
	u, err := h.accounts.UserByLogin(t.Context(), "carol")
	if err != nil || len(u.Identities) != 1 || !u.Identities[0].Pinned {
		t.Fatalf("user is %+v, %v\n%s", u, err, h.log)
	}
	v.reach("/login", click(chromedp.CSS(".menu summary")), click(chromedp.CSS(".menu button[type=submit]")))
	v.reach("/login", v.navigate("/account"))
	// The photo of the address is looked for after the provider, too.
	v.reach("/login", v.navigate("/#aaaaaaaaaaaaaaaa"))
	v.reach("/", click(chromedp.CSS("a.button.primary")))
	v.until("look for the photo", "document.querySelector('.toast')?.textContent.includes('not there any more')")
}
