// Uploads: what is dropped on the page or chosen goes up a few files at a time. A
// file is told by its SHA-256, so that sending it again stores it once, and what
// was damaged on the way is refused.

const parallel = 3;
const tries = 4;
const hashable = 64 << 20; // larger files are sent without a checksum: it needs them in memory
const junk = /^(\.|thumbs\.db$|desktop\.ini$)/i;

// local is a moment as the clock here shows it, with its offset: the server files
// a photo under the month it is for its owner.
function local(ms) {
  const east = -new Date(ms).getTimezoneOffset();
  const two = (n) => String(Math.floor(Math.abs(n))).padStart(2, "0");
  return new Date(ms + east * 60000).toISOString().slice(0, 19) + (east < 0 ? "-" : "+") + two(east / 60) + ":" + two(east % 60);
}

async function sha256(file) {
  if (!globalThis.crypto?.subtle || file.size > hashable) return "";
  const sum = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(sum)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// filesOf are the files of a drop, those in folders too.
async function filesOf(transfer) {
  // The entries must all be asked for before the first wait.
  const entries = [...transfer.items].map((i) => i.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const files = [];
  const walk = async (entry) => {
    if (junk.test(entry.name)) return;
    if (entry.isFile) {
      files.push(await new Promise((ok, no) => entry.file(ok, no)));
      return;
    }
    const reader = entry.createReader();
    for (;;) { // it gives a hundred at a time
      const some = await new Promise((ok, no) => reader.readEntries(ok, no));
      if (!some.length) return;
      for (const e of some) await walk(e);
    }
  };
  for (const e of entries) await walk(e).catch(() => {});
  return files;
}

const plural = (n) => `${n} ${n === 1 ? "file" : "files"}`;

export class Uploads {
  // page has added(inos): these files are there now.
  constructor(page) {
    this.page = page;
    this.box = document.getElementById("uploads");
    this.list = this.box.querySelector("ul");
    this.waiting = [];
    this.active = new Set();
    this.failed = [];
    this.done = this.same = this.aside = this.total = this.bytes = this.sent = 0; // aside: kept, and not shown
    this.fresh = [];

    const pick = document.getElementById("pick");
    pick.addEventListener("change", () => { this.add([...pick.files]); pick.value = ""; });
    this.button("retry").addEventListener("click", () => this.retry());
    this.button("cancel").addEventListener("click", () => this.cancel());
    this.button("dismiss").addEventListener("click", () => this.reset());
    this.drops();
    addEventListener("beforeunload", (event) => { if (this.running) event.preventDefault(); });
  }

  get running() { return this.active.size + this.waiting.length > 0; }

  button(what) { return this.box.querySelector(`[data-do=${what}]`); }

  drops() {
    const sheet = document.getElementById("drop");
    const ours = (event) => event.dataTransfer?.types.includes("Files");
    let depth = 0;
    addEventListener("dragenter", (event) => { if (ours(event)) { depth++; sheet.hidden = false; event.preventDefault(); } });
    addEventListener("dragleave", (event) => { if (ours(event) && --depth <= 0) { depth = 0; sheet.hidden = true; } });
    addEventListener("dragover", (event) => { if (ours(event)) { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; } });
    addEventListener("drop", async (event) => {
      if (!ours(event)) return;
      event.preventDefault();
      depth = 0;
      sheet.hidden = true;
      this.add(await filesOf(event.dataTransfer));
    });
  }

  add(files) {
    files = files.filter((f) => !junk.test(f.name));
    if (!files.length) return;
    if (!this.running && !this.failed.length && !this.aside) this.reset();
    for (const file of files) {
      this.waiting.push({ file, tries: 0, sent: 0 });
      this.total++;
      this.bytes += file.size;
    }
    this.box.hidden = false;
    this.pump();
  }

  pump() {
    while (this.active.size < parallel && this.waiting.length) {
      const job = this.waiting.shift();
      this.active.add(job);
      this.run(job);
    }
    this.draw();
  }

  async run(job) {
    this.row(job);
    for (;;) {
      job.tries++;
      const answer = await this.send(job);
      if (job.cancelled) break;
      if (answer.item) {
        this.done++;
        if (answer.status === 200) this.same++;
        this.sent += job.file.size;
        if (/^(image|video)\//.test(answer.item.type)) {
          job.row.remove();
          this.fresh.push(answer.item.ino);
          this.flush();
        } else {
          this.aside++;
          this.end(job, `Kept in ${answer.item.key.slice(0, -answer.item.name.length - 1)}. It is no photo or film, so the timeline does not show it.`);
        }
        break;
      }
      if (answer.again && job.tries < tries) {
        this.why(job, `${answer.words} Trying again…`);
        await new Promise((ok) => setTimeout(ok, 1000 * 3 ** (job.tries - 1)));
        if (job.cancelled) break;
        continue;
      }
      this.failed.push(job);
      job.row.classList.add("bad");
      this.end(job, answer.words);
      break;
    }
    job.sent = 0;
    this.active.delete(job);
    this.pump();
  }

  // send is one try: {status, item} if it is stored, else {words, again}.
  async send(job) {
    const ask = new URLSearchParams({ name: job.file.name, modified: local(job.file.lastModified) });
    try {
      job.sum ??= await sha256(job.file);
    } catch {
      return { words: "The file cannot be read." };
    }
    if (job.sum) ask.set("sha256", job.sum);
    return new Promise((ok) => {
      const xhr = job.xhr = new XMLHttpRequest();
      xhr.open("PUT", `/api/upload?${ask}`);
      xhr.responseType = "json";
      xhr.upload.onprogress = (event) => { job.sent = Math.min(event.loaded, job.file.size); this.draw(); };
      xhr.onload = () => {
        if (xhr.status === 200 || xhr.status === 201) return ok({ status: xhr.status, item: xhr.response });
        ok({ words: xhr.response?.detail || `The server answered ${xhr.status}.`, again: [429, 502, 503, 504].includes(xhr.status) });
      };
      xhr.onerror = () => ok({ words: "The connection was lost.", again: true });
      xhr.onabort = () => ok({ words: "Cancelled." });
      if (job.cancelled) return ok({ words: "Cancelled." });
      xhr.send(job.file);
    });
  }

  // flush tells the page what is new, a few times a second at most.
  flush() {
    this.timer ??= setTimeout(async () => {
      this.timer = null;
      const inos = this.fresh.splice(0, 100);
      if (this.fresh.length) this.flush();
      await this.page.added(inos).catch(() => {});
    }, 500);
  }

  row(job) {
    const row = job.row ??= document.createElement("li");
    row.className = "";
    row.replaceChildren();
    const name = document.createElement("div");
    name.className = "name";
    const text = document.createElement("span");
    text.textContent = job.file.name;
    const share = document.createElement("span");
    share.className = "dim share";
    name.append(text, share);
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", job.file.name);
    const why = document.createElement("div");
    why.className = "why";
    row.append(name, bar, why);
    this.list.prepend(row);
  }

  // end leaves words in the place of a file's progress.
  end(job, words) {
    job.row.querySelector("progress").hidden = true;
    job.row.querySelector(".share").textContent = "";
    this.why(job, words);
  }

  why(job, words) { job.row.querySelector(".why").textContent = words; }

  draw() {
    let sent = this.sent;
    for (const job of this.active) {
      sent += job.sent;
      const part = job.file.size ? job.sent / job.file.size : 1;
      const bar = job.row?.querySelector("progress");
      if (!bar) continue;
      bar.value = part;
      job.row.querySelector(".share").textContent = part >= 1 ? "storing…" : `${Math.floor(part * 100)} %`;
    }
    this.box.querySelector(".all").value = this.bytes ? sent / this.bytes : 0;
    const running = this.running;
    const bad = this.failed.length;
    let words = `Adding ${this.done + 1 > this.total ? this.total : this.done + 1} of ${plural(this.total)}`;
    if (!running) {
      words = `${plural(this.done)} added`;
      if (this.same) words = this.same === this.done ? `${plural(this.same)} already here` : `${plural(this.done - this.same)} added, ${this.same} already here`;
      if (this.aside) words += `, ${this.aside} not shown`;
      if (bad) words += `, ${bad} not`;
    }
    const sum = this.box.querySelector(".sum");
    if (sum.textContent !== words) sum.textContent = words;
    this.button("retry").hidden = running || !bad;
    this.button("cancel").hidden = !running;
    this.button("dismiss").hidden = running;
    this.box.querySelector(".all").hidden = !running;
    clearTimeout(this.closing);
    if (!running && !bad && !this.aside && this.done) this.closing = setTimeout(() => this.reset(), 5000);
  }

  retry() {
    for (const job of this.failed.splice(0)) {
      job.tries = 0;
      job.row.remove();
      this.waiting.push(job);
    }
    this.pump();
  }

  cancel() {
    for (const job of [...this.waiting, ...this.active]) {
      job.cancelled = true;
      this.total--;
      this.bytes -= job.file.size;
      job.xhr?.abort();
      job.row?.remove();
    }
    this.waiting = [];
    if (!this.done && !this.failed.length) this.box.hidden = true;
    this.draw();
  }

  reset() {
    if (this.running) return;
    this.failed = [];
    this.list.replaceChildren();
    this.done = this.same = this.aside = this.total = this.bytes = this.sent = 0;
    this.box.hidden = true;
  }
}
