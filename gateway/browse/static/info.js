// The panel beside a photo: what its file says of it. It is asked for only while it is open.

export class Info {
  constructor(box) {
    this.panel = box.querySelector(".info");
    this.button = box.querySelector("[data-do=info]");
    this.list = this.panel.querySelector("dl");
    this.ino = "";
  }

  toggle() {
    this.panel.hidden = !this.panel.hidden;
    this.button.setAttribute("aria-expanded", String(!this.panel.hidden));
    this.load();
  }

  // show says whose panel it is now.
  show(ino) {
    this.ino = ino;
    this.load();
  }

  async load() {
    if (this.panel.hidden || !this.ino) return;
    const ino = this.ino;
    let rows;
    try {
      const answer = await fetch(`/api/item/${ino}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`answered ${answer.status}`);
      rows = (await answer.json()).info;
    } catch {
      rows = [{ title: "", value: "What is known of it could not be loaded." }];
    }
    if (ino !== this.ino) return; // it is another's by now
    this.list.replaceChildren(...rows.flatMap((row) => {
      const title = document.createElement("dt"), value = document.createElement("dd");
      title.textContent = row.title;
      if (row.href) {
        const link = document.createElement("a");
        Object.assign(link, { href: row.href, textContent: row.value });
        if (link.origin !== location.origin) Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
        value.append(link);
      } else {
        value.textContent = row.value;
      }
      return [title, value];
    }));
  }
}
