// The lightbox: one photo, as large as the window, with its neighbours a key or a
// swipe away. The address bears the photo's id after the '#'.

import { Info } from "./info.js";
import { toast, problem } from "./toast.js";
import { fromTrash, toTrash } from "./trash.js";

export class Lightbox {
  // page has tiles(), tile(ino), loadMore(), forget(tile) and fetchTiles(inos).
  constructor(page) {
    this.page = page;
    this.box = document.getElementById("lightbox");
    this.img = this.box.querySelector("img");
    this.film = this.box.querySelector("video");
    this.none = this.box.querySelector(".none");
    this.again = this.none.querySelector("[data-do=remake]");
    this.tile = null;
    this.pushed = false; // we made the history entry that closing takes away

    this.info = new Info(this.box);

    const doing = { info: () => this.info.toggle(), close: () => this.leave(), prev: () => this.step(-1), next: () => this.step(1), delete: () => this.trash(), remake: () => this.remake() };
    this.box.addEventListener("click", (event) => {
      const what = event.target.closest("[data-do]")?.dataset.do;
      if (doing[what]) doing[what]();
      else if (event.target.matches(".stage")) this.leave();
    });
    this.box.addEventListener("cancel", (event) => { event.preventDefault(); this.leave(); });
    this.box.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      switch (event.key) {
        case "ArrowLeft": this.step(-1); break;
        case "ArrowRight": this.step(1); break;
        case "z": case "Z": this.zoom(); break;
        case "Home": this.show(this.page.tiles()[0]); break;
        case "Delete": case "Backspace": this.trash(); break;
        case " ":
          if (this.film.hidden || event.target.closest("button, a, video")) return; // they know the key
          if (this.film.paused) this.film.play().catch(() => {}); else this.film.pause();
          break;
        case "i": case "I": this.info.toggle(); break;
        case "d": case "D": this.box.querySelector("[data-do=download]").click(); break;
        default: return;
      }
      event.preventDefault();
    });
    this.swipes();
    this.zooming();
    this.img.addEventListener("load", () => { this.img.style.backgroundImage = ""; this.fit(); });
    this.img.addEventListener("error", () => { if (this.img.getAttribute("src")) this.tell("The picture could not be loaded."); });
    this.film.addEventListener("error", () => {
      if (this.film.getAttribute("src")) this.tell("This browser cannot play the film. The original is safe and can be downloaded.", this.tile?.dataset.label);
    });
    addEventListener("resize", () => this.fit());
    addEventListener("popstate", () => this.follow());
    let idle;
    const awake = () => {
      this.box.classList.remove("idle");
      clearTimeout(idle);
      idle = setTimeout(() => this.box.classList.add("idle"), 3000);
    };
    for (const kind of ["pointermove", "pointerdown", "keydown"]) this.box.addEventListener(kind, awake);
    this.follow();
  }

  // follow makes the lightbox what the address says.
  async follow() {
    const ino = location.hash.slice(1);
    if (!/^[a-z2-7]{16}$/.test(ino)) return this.shut();
    try {
      const tile = await this.page.tile(ino);
      if (tile) return this.show(tile);
      toast("That photo is not there any more.");
    } catch {
      toast("The photo could not be loaded.");
    }
    history.replaceState(null, "", location.pathname + location.search);
  }

  open(tile) {
    history.pushState(null, "", `#${tile.dataset.ino}`);
    this.pushed = true;
    this.show(tile);
  }

  // leave closes, and takes away what open put into the history.
  leave() {
    if (this.pushed) return history.back();
    history.replaceState(null, "", location.pathname + location.search);
    this.shut();
  }

  shut() {
    if (!this.box.open) return;
    this.pushed = false;
    document.body.append(document.getElementById("toasts"));
    this.box.close();
    this.img.removeAttribute("src");
    this.stop();
    const tile = this.tile;
    this.tile = null;
    if (tile?.isConnected) {
      tile.scrollIntoView({ block: "nearest" });
      tile.querySelector("a").focus({ preventScroll: true });
    }
  }

  show(tile) {
    if (!tile) return;
    this.tile = tile;
    const { ino, name, when, camera, size, w, h, view, label, why, kind } = tile.dataset;
    const same = this.film.getAttribute("src") === `/o/${ino}`; // its preview came meanwhile
    const opens = !this.box.open;
    if (opens) {
      this.box.showModal();
      this.box.querySelector("[data-do=close]").focus();
    } else {
      history.replaceState(null, "", `#${tile.dataset.ino}`);
    }
    this.box.setAttribute("aria-label", name);
    this.info.show(tile.dataset.ino);
    this.box.querySelector(".caption .name").textContent = name;
    this.box.querySelector(".facts").textContent =
      [when, camera, w && `${w} × ${h}`, size].filter(Boolean).map((s) => s.replaceAll(" ", "\u00a0")).join(" · ");
    this.box.querySelector("[data-do=download]").href = `/o/${tile.dataset.ino}`;
    if (this.zoomed) this.zoom();
    this.none.hidden = true;
    this.img.hidden = kind === "video";
    this.img.removeAttribute("src");
    this.img.alt = `${name}, ${when}`;
    if (!same) this.stop();
    if (kind === "video") {
      this.film.hidden = false;
      if (view) this.film.poster = view;
      if (!same) this.film.src = `/o/${ino}`;
      this.film.setAttribute("aria-label", name);
      if (opens) this.film.focus(); // so that the space bar plays
    } else if (view) {
      const thumb = tile.querySelector("img")?.getAttribute("src");
      this.img.style.backgroundImage = thumb ? `url("${thumb}")` : "";
      this.fit();
      this.img.src = view;
    } else if (tile.hasAttribute("data-waiting")) {
      this.tell("The preview is being made. The original can be downloaded already.", label);
    } else {
      const said = why || "there is no preview";
      this.tell(`${said[0].toUpperCase()}${said.slice(1).replace(/\.$/, "")}. The original is safe and can be downloaded.`, label);
      this.again.hidden = !why;
    }
    const [all, at] = this.where();
    this.box.querySelector(".prev").hidden = at <= 0;
    for (const near of [all[at + 1], all[at - 1]]) {
      if (near?.dataset.view) new Image().src = near.dataset.view;
    }
    if (at > all.length - 10) this.page.loadMore();
  }

  // where is the list of tiles and the place of ours in it; the tile itself may have
  // been replaced by a newer one of the same photo.
  where() {
    const all = this.page.tiles();
    return [all, all.findIndex((t) => t.dataset.ino === this.tile?.dataset.ino)];
  }

  // replaced says that tile is now the one of its photo.
  replaced(tile) {
    if (this.tile && this.tile.dataset.ino === tile.dataset.ino) this.show(tile);
  }

  // stop ends a film, and what is still loaded of it.
  stop() {
    this.film.hidden = true;
    this.film.removeAttribute("poster");
    if (!this.film.hasAttribute("src")) return;
    this.film.removeAttribute("src");
    this.film.load();
  }

  // tell shows words instead of a picture.
  tell(words, label = "") {
    this.img.hidden = this.film.hidden = true;
    this.none.hidden = false;
    this.again.hidden = true;
    this.none.querySelector(".label").textContent = label;
    this.none.querySelector(".why").textContent = words;
  }

  // remake has the preview tried again.
  async remake() {
    const { ino } = this.tile.dataset;
    this.again.disabled = true;
    try {
      const answer = await fetch(`/api/item/${ino}/preview`, { method: "POST" });
      if (!answer.ok) return toast(await problem(answer));
      await this.page.fetchTiles([ino]); // which shows it as waiting
    } catch {
      toast("The server cannot be reached. Nothing was changed.");
    } finally {
      this.again.disabled = false;
    }
  }

  // fit gives the picture its box before it has come: never larger than the window,
  // nor than the original.
  fit() {
    if (!this.tile) return;
    const w = Number(this.tile.dataset.w) || this.img.naturalWidth;
    const h = Number(this.tile.dataset.h) || this.img.naturalHeight;
    if (!w || !h) return;
    const scale = Math.min(1, this.box.clientWidth / w, this.box.clientHeight / h);
    this.img.style.width = `${Math.round(w * scale)}px`;
    this.img.style.height = `${Math.round(h * scale)}px`;
  }

  async step(by) {
    if (!this.tile) return;
    let [all, at] = this.where();
    if (by > 0 && at === all.length - 1) {
      await this.page.loadMore();
      [all, at] = this.where();
    }
    this.show(all[at + by]);
  }

  async trash() {
    const tile = this.tile;
    if (!tile || this.busy) return;
    this.busy = true;
    const { wrong } = await toTrash([tile.dataset.ino]);
    this.busy = false;
    if (wrong) return toast(`${wrong} Nothing was deleted.`);
    const [all, at] = this.where();
    const near = all[at + 1] || all[at - 1];
    if (near) this.show(near); else this.leave();
    this.page.forget(tile);
    if (near) this.box.querySelector(".prev").hidden = this.where()[1] <= 0;
    toast(`${tile.dataset.name} is in the trash.`, "Undo", async () => {
      const back = await fromTrash([tile.dataset.ino]);
      if (back.wrong) return toast(`${back.wrong} The photo is still in the trash.`);
      await this.page.fetchTiles(back.done).catch(() => {});
      toast(`${tile.dataset.name} is back.`);
    });
  }

  // zooming enlarges the picture under a mouse, which then moves it: fingers do it themselves.
  zooming() {
    const at = (event) => {
      const box = this.img.parentElement.getBoundingClientRect();
      this.img.style.transformOrigin = `${(100 * (event.clientX - box.left)) / box.width}% ${(100 * (event.clientY - box.top)) / box.height}%`;
    };
    this.img.addEventListener("click", (event) => { if (event.pointerType !== "touch") { at(event); this.zoom(); } });
    this.box.addEventListener("pointermove", (event) => { if (this.zoomed) at(event); });
  }

  zoom() {
    this.zoomed = !this.zoomed && !this.img.hidden;
    this.box.querySelector(".stage").classList.toggle("zoomed", this.zoomed);
    this.img.style.transform = this.zoomed ? `scale(${Math.min(4, Math.max(2, this.img.naturalWidth / this.img.clientWidth)).toFixed(2)})` : "";
  }

  swipes() {
    let from = null;
    const stage = this.box.querySelector(".stage");
    stage.addEventListener("touchstart", (event) => {
      const zoomed = (window.visualViewport?.scale ?? 1) > 1.01;
      from = event.touches.length === 1 && !zoomed ? event.touches[0] : null;
    }, { passive: true });
    stage.addEventListener("touchend", (event) => {
      if (!from || event.touches.length) return;
      const to = event.changedTouches[0];
      const x = to.clientX - from.clientX, y = to.clientY - from.clientY;
      from = null;
      if (Math.abs(x) > 45 && Math.abs(x) > 1.5 * Math.abs(y)) this.step(x < 0 ? 1 : -1);
      else if (y > 90 && y > 1.5 * Math.abs(x)) this.leave();
    }, { passive: true });
  }
}
