// Copy buttons: each copies the <code> that stands beside it.

async function copy(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text);
  }
  // Pages that did not come over HTTPS have no clipboard; the old way still works.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const ok = document.execCommand("copy");
  area.remove();
  if (!ok) throw new Error("copying is not allowed here");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await copy(code.textContent);
    button.classList.add("done");
    document.getElementById("toasts").textContent = "";
    const note = document.createElement("div");
    note.className = "toast";
    const text = document.createElement("span");
    text.textContent = "Copied";
    note.append(text);
    document.getElementById("toasts").append(note);
    setTimeout(() => { note.remove(); button.classList.remove("done"); }, 1500);
  } catch {
    getSelection().selectAllChildren(code); // so that it can be copied by hand
  }
});
