// The timeline: tiles in their places. Tiles are always pieces of HTML made by the
// server; they come with the page, by scrolling, after an upload, and when a
// variant is ready, and all go through place().

import { blurhash } from "./blurhash.js";
import { Lightbox } from "./lightbox.js";
import { Selection } from "./select.js";
import { Uploads } from "./upload.js";
import { toast } from "./toast.js";

const days = document.getElementById("days");
const more = document.getElementById("more");
const empty = document.getElementById("empty");
const newest = location.pathname === "/" && !new URLSearchParams(location.search).has("after");

const tiles = new Map(); // ino → tile
const sections = new Map(); // yyyy-mm-dd → section
const order = (a, b) => Number(b.dataset.at) - Number(a.dataset.at) || (a.dataset.ino < b.dataset.ino ? -1 : 1);

// dress gives a tile its shape and its likeness: a stylesheet alone cannot know them.
function dress(tile) {
  const { w, h, hash } = tile.dataset;
  const img = tile.querySelector("img");
  if (img) retry(img);
  selection.dress(tile);
  if (w > 0 && h > 0) tile.style.setProperty("--r", Math.min(3, Math.max(0.6, w / h)).toFixed(4));
  if (!hash || !img || img.complete && img.naturalWidth) return;
  const likeness = blurhash(hash);
  if (!likeness) return;
  tile.style.backgroundImage = `url(${likeness})`;
  // A picture may be transparent in places.
  img.addEventListener("load", () => { tile.style.backgroundImage = ""; }, { once: true });
}

// retry asks again for a picture that did not come: the server or the way to it was away.
function retry(img) {
  let wait = 4000;
  img.addEventListener("error", () => {
    img.classList.add("failed");
    setTimeout(() => { if (img.isConnected) img.src = img.src; }, wait);
    wait = Math.min(60000, wait * 2);
  });
  img.addEventListener("load", () => img.classList.remove("failed"));
}

function forget(tile) {
  tiles.delete(tile.dataset.ino);
  selection.forget(tile.dataset.ino);
  const section = tile.closest(".day");
  tile.remove();
  if (section && !section.querySelector(".tile")) {
    sections.delete(section.dataset.day);
    section.remove();
  }
}

// place puts a tile of a section like it into the page, instead of the tile of
// that file that may be there.
function place(tile, like) {
  const old = tiles.get(tile.dataset.ino);
  if (old) {
    if (JSON.stringify(old.dataset) === JSON.stringify(tile.dataset)) return;
    const chosen = selection.chosen.has(tile.dataset.ino);
    forget(old);
    if (chosen) selection.chosen.add(tile.dataset.ino);
  }
  let section = sections.get(like.dataset.day);
  if (!section) {
    section = like.cloneNode(false);
    const list = document.createElement("ul");
    list.className = "grid";
    section.append(like.querySelector("h2").cloneNode(true), list);
    const after = [...days.children].findLast((s) => s.dataset.day > like.dataset.day);
    if (after) after.after(section); else days.prepend(section);
    sections.set(like.dataset.day, section);
  }
  const list = section.querySelector(".grid");
  let before = list.lastElementChild;
  while (before && order(before, tile) > 0) before = before.previousElementSibling;
  dress(tile);
  if (before) before.after(tile); else list.prepend(tile);
  tiles.set(tile.dataset.ino, tile);
  if (old) lightbox.replaced(tile);
}

// merge places all tiles of a piece of HTML, and says which files they are. What
// is older than all that is shown, while there is more to load, will come by scrolling.
function merge(root, deep) {
  const inos = new Set();
  const oldest = deep || more.hidden ? null : [...days.querySelectorAll(".tile")].at(-1);
  for (const section of root.querySelectorAll(".day")) {
    for (const tile of [...section.querySelectorAll(".tile")]) {
      inos.add(tile.dataset.ino);
      if (oldest && order(oldest, tile) < 0 && !tiles.has(tile.dataset.ino)) continue;
      place(document.adoptNode(tile), section);
    }
  }
  if (tiles.size) empty.hidden = true;
  watch();
  return inos;
}

async function fetchPage(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.reload(); // signed out meanwhile
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// fetchTiles brings the tiles of some files up to date.
async function fetchTiles(inos, deep) {
  if (inos.length > 100) {
    await fetchTiles(inos.slice(100), deep);
    inos = inos.slice(0, 100);
  }
  const page = await fetchPage(`/tiles?ino=${inos.join(",")}`);
  const got = merge(page, deep);
  for (const ino of inos) {
    if (!got.has(ino) && tiles.has(ino)) forget(tiles.get(ino));
  }
}

// What comes by scrolling.
let loading = null;
function loadMore() {
  if (more.hidden) return Promise.resolve();
  loading ??= (async () => {
    try {
      const page = await fetchPage(more.firstElementChild.href);
      const next = page.getElementById("more");
      merge(page, true);
      more.hidden = next.hidden;
      more.firstElementChild.href = next.firstElementChild.getAttribute("href");
      observer.unobserve(more); // observed anew, it tells again if it is still in sight
      observer.observe(more);
    } catch {
      toast("Older photos could not be loaded.", "Try again", loadMore);
    } finally {
      loading = null;
    }
  })();
  return loading;
}
const observer = new IntersectionObserver((seen) => {
  if (seen.some((s) => s.isIntersecting)) loadMore();
}, { rootMargin: "1500px" });

// What is not looked at yet is asked for again, ever less often while nothing
// happens, and not at all while nobody looks.
let wait = 1000, timer = 0;
function watch() {
  if (timer || document.hidden || !days.querySelector("[data-waiting]")) return;
  timer = setTimeout(async () => {
    const waiting = [...days.querySelectorAll("[data-waiting]")].slice(0, 100).map((t) => t.dataset.ino);
    try {
      if (waiting.length) await fetchTiles(waiting);
      const left = waiting.filter((ino) => tiles.get(ino)?.hasAttribute("data-waiting"));
      wait = left.length < waiting.length ? 1000 : Math.min(30000, wait * 1.6);
    } catch {
      wait = 30000;
    }
    timer = 0;
    watch();
  }, wait);
}

// What other devices sent meanwhile, and took away. The answer is 304 if that is nothing.
let fresh = Date.now();
async function refresh() {
  if (!newest || document.hidden || Date.now() - fresh < 20000) return;
  fresh = Date.now();
  try {
    const page = await fetchPage("/");
    const list = [...page.querySelectorAll(".tile")];
    const next = page.getElementById("more");
    if (!next.hidden && !list.length) return; // all that is newest lies in the trash
    if (!next.hidden && !list.some((t) => tiles.has(t.dataset.ino))) {
      return location.reload(); // so much is new that there would be a gap
    }
    const last = next.hidden ? null : list.at(-1);
    const got = merge(page);
    for (const tile of [...tiles.values()]) {
      if ((!last || order(tile, last) < 0) && !got.has(tile.dataset.ino)) forget(tile);
    }
    empty.hidden = tiles.size > 0;
  } catch {
    // It will be asked again.
  }
}
setInterval(refresh, 60000);
document.addEventListener("visibilitychange", () => { watch(); refresh(); });

const shown = () => [...days.querySelectorAll(".tile")];
const forgetForGood = (tile) => { forget(tile); if (!tiles.size && more.hidden) empty.hidden = false; };
const selection = new Selection({ days, tiles: shown, forget: forgetForGood, fetchTiles });

for (const section of days.children) {
  sections.set(section.dataset.day, section);
  for (const tile of section.querySelectorAll(".tile")) {
    tiles.set(tile.dataset.ino, tile);
    dress(tile);
  }
}
observer.observe(more);
watch();

const lightbox = new Lightbox({
  tiles: shown,
  tile: async (ino) => {
    if (!tiles.has(ino)) await fetchTiles([ino], true);
    return tiles.get(ino);
  },
  loadMore,
  forget: forgetForGood,
  fetchTiles,
});
days.addEventListener("click", (event) => {
  const day = event.target.closest("h2");
  if (day && selection.on) return selection.day(day.closest(".day"));
  const tile = event.target.closest(".tile");
  if (!tile || event.button) return;
  if (selection.clicked(tile, event)) return event.preventDefault();
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  lightbox.open(tile);
});

// The row of years says where in time the top of the window is.
const jumps = document.querySelector(".jumps");
let frame = 0;
function here() {
  frame = 0;
  const list = days.children, top = jumps.getBoundingClientRect().bottom + 40;
  let at = 0;
  for (let end = list.length - 1; at < end;) { // the first day that ends below the row
    const mid = (at + end) >> 1;
    if (list[mid].getBoundingClientRect().bottom > top) end = mid; else at = mid + 1;
  }
  const date = list[at]?.dataset.day ?? "";
  for (const link of jumps.children) {
    const is = date.startsWith(link.dataset.at);
    if (is === link.hasAttribute("aria-current")) continue;
    link.toggleAttribute("aria-current", is);
    if (!is) continue;
    link.setAttribute("aria-current", "true");
    const row = jumps.getBoundingClientRect(), box = link.getBoundingClientRect();
    if (box.left < row.left || box.right > row.right) jumps.scrollLeft += box.left - row.left - row.width / 2;
  }
}
if (jumps) addEventListener("scroll", () => { frame ||= requestAnimationFrame(here); }, { passive: true });

new Uploads({
  added: (inos) => { wait = 1000; return fetchTiles(inos); },
});
