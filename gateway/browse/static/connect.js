// The page that a QR code leads to: what is secret comes after the '#', is shown,
// and is then taken out of the address, so that it stays in no history.

const said = new URLSearchParams(location.hash.slice(1));
const login = said.get("login");
const password = said.get("password");
if (login && password) {
  const [, user, secret] = document.querySelectorAll("#settings .field code");
  user.textContent = login;
  secret.textContent = password;
  document.getElementById("settings").hidden = false;
  document.getElementById("nothing").hidden = true;
  history.replaceState(null, "", location.pathname);
}
