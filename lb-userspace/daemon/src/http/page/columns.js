// Columns of the table of backends: what they show of a backend and of a service, and how they sort.

import { h, mark, put, svg } from "./dom.js";
import { bits, full, latency, plural, short, span } from "./format.js";
import { keyOf } from "./history.js";
import { Icon, KINDS, kindOf, kindOfService, wordOf } from "./state.js";
import { SHORT, Spark } from "./spark.js";

/** Returns the address of the page of a service or backend. */
export function pageOf(...names) {
  return `#/${names.map(encodeURIComponent).join("/")}`;
}

const sum = (service, of) => Object.values(service.backends).reduce((sum, one) => sum + of(one), 0);
const rate = (of, name) => of.rates?.[name];
const shown = (value, format) => (value === undefined ? "–" : format(value));

class Text {
  element = h("span");

  constructor(of) {
    this.show = (scene) => {
      const text = of(scene);
      put(this.element, text);
      mark(this.element, "class", text === "0" ? "zero" : null);
    };
  }
}

class State {
  #icon = new Icon();
  #word = h("b");
  element = h("span", {}, this.#icon.element, this.#word);

  show({ service, backend }) {
    const kind = backend ? kindOf(backend) : kindOfService(service);
    this.#icon.show(kind);
    mark(this.#word, "class", kind);
    put(this.#word, backend ? wordOf(backend) : upOf(service));
  }
}

function upOf(service) {
  const backends = Object.values(service.backends);
  return `${backends.filter((one) => one.health === "up").length}/${backends.length} up`;
}

class Name {
  #link = h("a");
  #note = h("small");
  element = h("span", {}, this.#link, this.#note);

  constructor(name, address) {
    this.#link.href = address ? pageOf(name, address) : pageOf(name);
    put(this.#link, address ?? name);
  }

  show({ service, backend }) {
    put(this.#note, backend ? (backend.backup ? "backup" : "") : service.vip);
  }
}

/** What the last check has said, or how far a drain is. */
class Check {
  #text = h("span", { class: "cut" });
  #bar = svg("rect", { height: 4, width: 0 });
  #drain = svg(
    "svg",
    { class: "drain", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    this.#bar,
  );
  element = h("span", { class: "progress" }, this.#text, this.#drain);

  show({ service, backend, name, history, now }) {
    const text = backend ? checkOf(backend, now) : policyOf(service);
    put(this.#text, text);
    mark(this.#text, "title", text);
    const isDraining = backend?.admin === "draining" && backend.active_connections > 0;
    mark(this.#drain, "class", isDraining ? "drain" : "drain none");
    if (!isDraining) return;
    const most = history.peak(keyOf(name, backend.address), "active") || 1;
    mark(this.#bar, "width", String((100 * backend.active_connections) / most));
  }
}

/** Returns how far a drain is. */
export function drainOf(backend, now) {
  const left = `${plural(backend.active_connections, "connection")} left`;
  const end = backend.drain_until;
  return end ? `${left}, ends in ${span(Date.parse(end) - now)}` : left;
}

function checkOf(backend, now) {
  if (backend.admin === "draining") return drainOf(backend, now);
  const check = backend.last_check;
  const doubt = check?.contrary > 0 ? `${check.contrary} of ${check.needed}: ` : "";
  const isSaid = backend.unusable === undefined || backend.unusable === kindOf(backend);
  return doubt + (isSaid ? backend.detail : backend.unusable);
}

function policyOf({ scheduler, health, warnings }) {
  const noted = warnings?.length ? `, ${plural(warnings.length, "warning")}` : "";
  return `${scheduler}, ${health.type} check${noted}`;
}

class Weight extends Text {
  constructor() {
    super(({ service, backend }) => {
      if (!backend) return `${sum(service, (one) => Number(one.in_ring))} in use`;
      const now = backend.effective_weight;
      return now === backend.weight ? String(now) : `${Number(now.toFixed(1))}/${backend.weight}`;
    });
  }
}

/** New connections per second, with their last minute. All backends of a service have one scale. */
class NewConnections {
  #number = h("span");
  #spark = new Spark();
  element = h("span", { class: "rate" }, this.#spark.element, this.#number);

  show({ service, backend, name, history, peak }) {
    const of = backend ?? service;
    const key = backend ? keyOf(name, backend.address) : name;
    put(this.#number, shown(rate(of, "connections"), short));
    const scale = backend ? peak : history.peak(key, "connections", SHORT);
    this.#spark.show(history.values(key, "connections", SHORT), scale);
  }
}

const text = (of) => () => new Text(of);

export const COLUMNS = [
  {
    key: "state",
    title: "State",
    cell: () => new State(),
    by: (one) => KINDS.indexOf(kindOf(one)),
  },
  {
    key: "name",
    title: "Backend",
    cell: (name, address) => new Name(name, address),
    by: (one) => one.address,
  },
  {
    key: "since",
    title: "Since",
    by: (one) => -Date.parse(one.since),
    cell: text(({ backend, now }) => (backend ? span(now - Date.parse(backend.since)) : "")),
  },
  { key: "check", title: "Last check", cell: () => new Check(), by: (one) => one.detail },
  {
    key: "weight",
    title: "Weight",
    number: true,
    cell: () => new Weight(),
    by: (one) => -one.effective_weight,
  },
  {
    key: "active",
    title: "Active",
    number: true,
    by: (one) => -one.active_connections,
    cell: text(({ service, backend }) =>
      full(backend?.active_connections ?? sum(service, (one) => one.active_connections)),
    ),
  },
  {
    key: "new",
    title: "New/s",
    number: true,
    cell: () => new NewConnections(),
    by: (one) => -(rate(one, "connections") ?? 0),
  },
  {
    key: "handshake",
    title: "Handshake",
    number: true,
    by: (one, { name, history }) => -(history.handshake(keyOf(name, one.address), SHORT) ?? 0),
    cell: text(({ backend, name, history }) =>
      shown(history.handshake(backend ? keyOf(name, backend.address) : name, SHORT), latency),
    ),
  },
  {
    key: "in",
    title: "In b/s",
    number: true,
    by: (one) => -(rate(one, "bytes_in") ?? 0),
    cell: text(({ service, backend }) => shown(rate(backend ?? service, "bytes_in"), bits)),
  },
  {
    key: "out",
    title: "Out b/s",
    number: true,
    by: (one) => -(rate(one, "bytes_out") ?? 0),
    cell: text(({ service, backend }) => shown(rate(backend ?? service, "bytes_out"), bits)),
  },
  {
    key: "total",
    title: "Total",
    number: true,
    by: (one) => -one.connections_total,
    cell: text(({ service, backend }) =>
      short(backend?.connections_total ?? sum(service, (one) => one.connections_total)),
    ),
  },
];
