// Restoring all that is in the trash, which may be thousands: a sync that went wrong.

import { fromTrash } from "./trash.js";
import { toast, problem } from "./toast.js";

const box = document.getElementById("restore-all");
const button = box?.querySelector("button");
const words = box?.querySelector("p");

async function restoreAll() {
  button.disabled = true;
  let total = 0;
  for (;;) {
    let list, wrong = "";
    try {
      const answer = await fetch("/api/trash", { headers: { Accept: "application/json" } });
      if (answer.ok) list = (await answer.json()).items; else wrong = await problem(answer);
    } catch {
      wrong = "The server cannot be reached.";
    }
    if (list && !list.length) return location.reload();
    if (list) {
      const back = await fromTrash(list.map((t) => t.ino), (n) => { words.textContent = `${total + n} restored…`; });
      total += back.done.length;
      wrong = back.wrong;
    }
    if (wrong) {
      toast(`${wrong} ${total} restored, the others not.`, "Reload", () => location.reload());
      button.disabled = false;
      return;
    }
  }
}

if (box) {
  box.hidden = false;
  button.addEventListener("click", restoreAll);
}
