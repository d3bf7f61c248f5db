// The selection: many photos at once, to download or to delete. It begins with the circle on
// a tile, the button, a long touch, or the key X on a tile; Shift takes all between.

import { toast } from "./toast.js";
import { fromTrash, toTrash } from "./trash.js";

const count = (n) => `${n} ${n === 1 ? "photo" : "photos"}`;
const hold = 450; // ms of a touch that selects

export class Selection {
  // page has days (the element), tiles(), forget(tile) and fetchTiles(inos).
  constructor(page) {
    this.page = page;
    this.chosen = new Set(); // inos
    this.last = null; // ino, from which Shift goes on
    this.on = false;
    this.bar = document.getElementById("selection");
    this.words = this.bar.querySelector("strong");
    this.begin = document.getElementById("select");
    this.begin.hidden = false;
    this.begin.addEventListener("click", () => (this.on ? this.end() : this.start()));
    this.bar.querySelector("[data-do=none]").addEventListener("click", () => this.end());
    this.bar.querySelector("[data-do=trash]").addEventListener("click", () => this.trash());
    this.bar.querySelector("form").addEventListener("submit", (event) => this.download(event));
    addEventListener("keydown", (event) => this.key(event));
    this.touches();
  }

  // dress gives a tile its circle, and its place in the selection if it had one.
  dress(tile) {
    const mark = document.createElement("button");
    Object.assign(mark, { type: "button", className: "mark", tabIndex: -1, title: "Select (X)" });
    mark.setAttribute("aria-hidden", "true"); // the tile itself is the check box
    tile.append(mark);
    this.draw(tile);
  }

  draw(tile) {
    const chosen = this.chosen.has(tile.dataset.ino);
    tile.classList.toggle("chosen", chosen);
    const link = tile.querySelector("a");
    if (this.on) {
      link.setAttribute("role", "checkbox");
      link.setAttribute("aria-checked", String(chosen));
    } else {
      link.removeAttribute("role");
      link.removeAttribute("aria-checked");
    }
  }

  start() {
    if (this.on) return;
    this.on = true;
    document.body.classList.add("selecting");
    this.begin.textContent = "Done";
    for (const tile of this.page.tiles()) this.draw(tile);
    this.tell();
  }

  end() {
    this.on = false;
    this.chosen.clear();
    this.last = null;
    document.body.classList.remove("selecting");
    this.begin.textContent = "Select";
    if (this.bar.contains(document.activeElement)) this.begin.focus({ preventScroll: true });
    for (const tile of this.page.tiles()) this.draw(tile);
    this.tell();
  }

  tell(words) {
    const n = this.chosen.size;
    this.bar.hidden = !this.on;
    this.words.textContent = words || (n ? `${n} selected` : "Choose photos");
    for (const button of this.bar.querySelectorAll("[type=submit], [data-do=trash]")) button.disabled = !n || this.busy;
  }

  // clicked says whether a click on a tile was for the selection.
  clicked(tile, event) {
    if (!this.on && !event.target.closest(".mark")) return false;
    this.toggle(tile, event.shiftKey);
    return true;
  }

  toggle(tile, through) {
    if (this.busy) return;
    this.start();
    const all = this.page.tiles();
    const to = all.indexOf(tile), from = through ? all.findIndex((t) => t.dataset.ino === this.last) : -1;
    const choose = !this.chosen.has(tile.dataset.ino);
    this.choose(from < 0 ? [tile] : all.slice(Math.min(from, to), Math.max(from, to) + 1), choose);
    this.last = tile.dataset.ino;
  }

  choose(tiles, yes) {
    for (const tile of tiles) {
      if (yes) this.chosen.add(tile.dataset.ino); else this.chosen.delete(tile.dataset.ino);
      this.draw(tile);
    }
    this.tell();
  }

  // day takes a whole day, or leaves it if all of it is taken.
  day(section) {
    if (this.busy) return;
    const list = [...section.querySelectorAll(".tile")];
    this.choose(list, !list.every((t) => this.chosen.has(t.dataset.ino)));
  }

  // forget says that a file is no longer shown.
  forget(ino) {
    if (this.chosen.delete(ino) && !this.busy) this.tell();
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return;
    const tile = event.target.closest(".tile");
    switch (event.key) {
      case "x": case "X": case " ":
        if (!tile || event.key === " " && !this.on) return;
        this.toggle(tile, event.shiftKey);
        break;
      case "Escape":
        if (!this.on) return;
        this.end();
        break;
      case "Delete":
        if (!this.on || !this.chosen.size) return;
        this.trash();
        break;
      default: return;
    }
    event.preventDefault();
  }

  // touches make a long touch the beginning of a selection.
  touches() {
    let timer = 0, from = null, held = false;
    const stop = () => clearTimeout(timer);
    this.page.days.addEventListener("pointerdown", (event) => {
      held = false;
      stop();
      const tile = event.target.closest(".tile");
      if (!tile || event.pointerType !== "touch") return;
      from = event;
      timer = setTimeout(() => { held = true; this.toggle(tile); }, hold);
    });
    this.page.days.addEventListener("pointermove", (event) => { if (from && Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > 10) stop(); });
    for (const kind of ["pointerup", "pointercancel"]) this.page.days.addEventListener(kind, stop);
    this.page.days.addEventListener("contextmenu", (event) => { if (held) event.preventDefault(); });
    // The click that ends a long touch is no click.
    this.page.days.addEventListener("click", (event) => {
      if (!held) return;
      held = false;
      event.preventDefault();
      event.stopImmediatePropagation();
    }, true);
  }

  download(event) {
    const inos = [...this.chosen];
    this.bar.querySelector("[name=ino]").value = inos.join(",");
    if (inos.length > 1) return; // the form asks for an archive
    event.preventDefault();
    const link = document.createElement("a");
    link.href = `/o/${inos[0]}`;
    link.download = "";
    link.click();
  }

  async trash() {
    if (this.busy) return;
    this.busy = true;
    const inos = [...this.chosen];
    const { done, wrong } = await toTrash(inos, (n) => this.tell(`${n} of ${inos.length} moved`));
    this.busy = false;
    const gone = new Set(done), all = this.page.tiles();
    const focused = all.indexOf(document.activeElement.closest(".tile"));
    for (const tile of all) if (gone.has(tile.dataset.ino)) this.page.forget(tile);
    if (focused >= 0 && !all[focused].isConnected) { // the keyboard stays where it was
      const near = all.slice(focused).find((t) => t.isConnected) ?? all.findLast((t) => t.isConnected);
      near?.querySelector("a").focus({ preventScroll: true });
    }
    for (const ino of done) this.chosen.delete(ino);
    if (wrong) this.tell(); else this.end();
    if (wrong) toast(`${wrong} ${count(inos.length - done.length)} not moved.`);
    if (!done.length) return;
    toast(`${count(done.length)} in the trash.`, "Undo", async () => {
      const back = await fromTrash(done);
      await this.page.fetchTiles(back.done).catch(() => {});
      toast(back.wrong ? `${back.wrong} ${count(done.length - back.done.length)} still in the trash.` : `${count(back.done.length)} back.`);
    });
  }
}
