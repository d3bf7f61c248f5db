// Short messages at the foot of the page.

const box = document.getElementById("toasts");

// toast shows text for a while; action, if given, is a button beside it.
export function toast(text, action, run) {
  const note = document.createElement("div");
  note.className = "toast";
  const words = document.createElement("span");
  words.textContent = text;
  note.append(words);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action;
    button.addEventListener("click", () => { note.remove(); run(); });
    note.append(button);
  }
  // While the lightbox is open everything outside it is inert.
  (document.querySelector("dialog[open]") || document.body).append(box);
  box.append(note);
  setTimeout(() => note.remove(), action ? 10000 : 4000);
}

// problem is what went wrong, in words, from a fetch that did not succeed.
export async function problem(answer) {
  try {
    const said = await answer.json();
    if (said.detail) return said.detail;
  } catch {
    // Not ours: a proxy's page, perhaps.
  }
  return `The server answered ${answer.status}.`;
}
