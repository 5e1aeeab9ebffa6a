// The page as a whole: what is shown, and when.

import { Changes } from "./changes.js";
import { pageOf } from "./columns.js";
import { BackendPage, ServicePage } from "./details.js";
import { h, mark, put } from "./dom.js";
import { moment, plural, span } from "./format.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";
import { problemsOf } from "./state.js";

const [view, trail, daemon, light, said, filter, problems] = [
  "view",
  "trail",
  "daemon",
  "live",
  "said",
  "filter",
  "problems",
].map((id) => document.getElementById(id));

const history = new History();
const changes = new Changes();
const live = new Live(() => {
  history.add(live.state);
  const spoken = changes.add(live.state);
  if (spoken) put(said, spoken);
  again();
});

let page = null;
let isDue = false;

/** Shows the page again with the next picture. */
function again() {
  if (isDue || !live.state) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    show();
  });
}

function show() {
  const { state } = live;
  const text = filter.value.trim().toLowerCase();
  const wanted = { text, problems: problems.getAttribute("aria-pressed") === "true" };
  page.show({ state, history, changes: changes.list, now: live.now(), filter: wanted });
  const { version, pid, started, config } = state.status;
  put(
    daemon,
    `${version}  pid ${pid}  up ${span(live.now() - Date.parse(started))}  ${config}  version ${state.document}`,
  );
  daemon.title = `started ${moment(started)}`;
  const services = Object.values(state.services);
  const bad = services.reduce((sum, one) => sum + problemsOf(one), 0);
  document.title = [bad > 0 && plural(bad, "problem"), page.title, "xdplb"]
    .filter(Boolean)
    .join(" · ");
}

function names() {
  try {
    return location.hash.split("/").slice(1).filter(Boolean).map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** Makes the page that the address names. */
function open() {
  const [service, backend] = names();
  if (backend) page = new BackendPage(service, backend);
  else if (service) page = new ServicePage(service, again);
  else page = new Overview(again);
  view.replaceChildren(page.element);
  const above = [
    ["xdplb", "#/"],
    ...(service ? [[service, pageOf(service)]] : []),
    ...(backend ? [[backend, pageOf(service, backend)]] : []),
  ];
  trail.replaceChildren(
    h(
      "ol",
      {},
      ...above.map(([text, href], nth) => {
        const here = nth === above.length - 1 ? { "aria-current": "page" } : {};
        return h("li", {}, h("a", { href, ...here }, text));
      }),
    ),
  );
  scrollTo(0, 0);
  again();
}

/** Tells whether what is shown is current. */
function watch() {
  const isFresh = live.isFresh();
  mark(light, "class", isFresh ? "fresh" : live.state ? "stale" : "waiting");
  const lost = live.state ? `no data for ${span(live.age())}` : "connecting";
  put(light.querySelector("b"), isFresh ? "live" : lost);
}

filter.addEventListener("input", again);
problems.addEventListener("click", () => {
  mark(problems, "aria-pressed", String(problems.getAttribute("aria-pressed") !== "true"));
  again();
});
addEventListener("hashchange", () => {
  open();
  view.focus({ preventScroll: true });
});
setInterval(watch, 500);
listen();
open();
