// Keys: see the dialog in index.html.

const filter = document.getElementById("filter");
const problems = document.getElementById("problems");
const help = document.getElementById("keys");

const KEYS = {
  "/": () => filter.focus(),
  "?": () => help.showModal(),
  j: () => step(1),
  k: () => step(-1),
  p: () => problems.click(),
  u: up,
};

/** Moves the focus to the next or previous row's link. */
function step(by) {
  const links = [...document.querySelectorAll("table.backends tbody th a")];
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function up() {
  const [, ...names] = location.hash.split("/");
  if (names.length > 0) location.hash = `#/${names.slice(0, -1).join("/")}`;
}

export function listen() {
  document.getElementById("help").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target === filter) {
      if (event.key === "Escape") clear();
      return;
    }
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function clear() {
  filter.value = "";
  filter.dispatchEvent(new Event("input"));
  filter.blur();
}
