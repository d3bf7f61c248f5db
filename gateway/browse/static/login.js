// What stands behind the '#' is the photo that somebody came for. No server sees it, so it
// goes along in the address to come back to.

if (/^#[a-z2-7]{16}$/.test(location.hash)) {
  for (const link of document.querySelectorAll("a.button")) {
    const url = new URL(link.href);
    url.searchParams.set("return", (url.searchParams.get("return") ?? "/") + location.hash);
    link.href = url.href;
  }
}
