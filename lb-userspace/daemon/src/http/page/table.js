// The table of services and their backends. Rows that cannot be seen are not updated.

import { COLUMNS } from "./columns.js";
import { follow, h, mark } from "./dom.js";
import { keyOf } from "./history.js";
import { SHORT } from "./spark.js";
import { isTroubling, problemsOf, wordOf } from "./state.js";

/** Distance from the window within which rows are kept up to date. */
const NEAR = "300px";

class Row {
  isNear = false;
  element;
  #cells;

  constructor(name, address) {
    this.#cells = COLUMNS.map((column) => column.cell(name, address));
    const cells = COLUMNS.map(({ key, number }, nth) => {
      const isName = key === "name";
      const attributes = {
        class: number ? `${key} number` : key,
        role: isName ? "rowheader" : "cell",
      };
      if (isName) attributes.scope = address ? "row" : "rowgroup";
      return h(isName ? "th" : "td", attributes, this.#cells[nth].element);
    });
    this.element = h("tr", { role: "row", class: address ? "backend" : "service" }, ...cells);
  }

  show(scene) {
    for (const cell of this.#cells) cell.show(scene);
  }
}

/** A service with its backends. */
class Group {
  element = h("tbody", { role: "rowgroup" });
  #name;
  #head;
  #rows = new Map();
  #observer;

  constructor(name, observer) {
    this.#name = name;
    this.#observer = observer;
    this.#head = this.#observed(new Row(name));
    this.element.append(this.#head.element);
  }

  show(scene, order) {
    const name = this.#name;
    const service = scene.state.services[name];
    const addresses = shownBackends(name, service, scene.filter).sort(order(service.backends, name));
    const make = (address) => this.#observed(new Row(name, address));
    follow(this.element, this.#rows, addresses, make, this.#head.element);
    const peak = addresses.reduce(
      (peak, address) =>
        Math.max(peak, scene.history.peak(keyOf(name, address), "connections", SHORT)),
      0,
    );
    const of = { ...scene, name, service, peak };
    if (this.#head.isNear) this.#head.show(of);
    for (const [address, row] of this.#rows) {
      if (row.isNear) row.show({ ...of, backend: service.backends[address] });
    }
  }

  #observed(row) {
    row.element.row = row;
    this.#observer.observe(row.element);
    row.gone = () => this.#observer.unobserve(row.element);
    return row;
  }

  gone() {
    for (const row of [this.#head, ...this.#rows.values()]) row.gone();
  }
}

function shownBackends(name, service, { text, problems }) {
  const { vip, backends } = service;
  const isNamed = name.toLowerCase().includes(text) || vip.includes(text);
  return Object.keys(backends).filter((address) => {
    const backend = backends[address];
    if (problems && !isTroubling(service, backend)) return false;
    return isNamed || address.includes(text) || wordOf(backend).includes(text);
  });
}

function isShown(name, service, filter) {
  const isFiltered = filter.text !== "" || filter.problems;
  if (!isFiltered || shownBackends(name, service, filter).length > 0) return true;
  if (filter.problems && problemsOf(service) === 0) return false;
  return name.toLowerCase().includes(filter.text);
}

export class Table {
  #groups = new Map();
  #heads = new Map();
  #sorted = "";
  #again;
  #observer = new IntersectionObserver((seen) => this.#see(seen), { rootMargin: NEAR });
  element;

  /** `again` is called when the table must be shown again. */
  constructor(again) {
    this.#again = again;
    const heads = COLUMNS.map(({ key, title, number }) => {
      const button = h("button", { type: "button" }, title);
      button.addEventListener("click", () => this.#sort(key));
      const head = h(
        "th",
        { class: number ? `${key} number` : key, role: "columnheader", scope: "col" },
        button,
      );
      this.#heads.set(key, head);
      return head;
    });
    const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads));
    this.element = h(
      "table",
      { role: "table", class: "backends" },
      h("caption", { class: "hidden" }, "Services and their backends"),
      head,
    );
  }

  /** Shows these services. */
  show(scene, names) {
    const { services } = scene.state;
    const order = (backends, name) => this.#order(backends, { ...scene, name });
    const shown = names.filter((name) => isShown(name, services[name], scene.filter));
    follow(
      this.element,
      this.#groups,
      shown,
      (name) => new Group(name, this.#observer),
      this.element.tHead,
    );
    for (const group of this.#groups.values()) group.show(scene, order);
    return shown.length;
  }

  #order(backends, scene) {
    const column = COLUMNS.find(({ key }) => key === this.#sorted);
    const place = (address) => backends[address].place;
    if (!column) return (one, other) => place(one) - place(other);
    const keys = new Map(
      Object.entries(backends).map(([address, one]) => [address, column.by(one, scene)]),
    );
    return (one, other) => compare(keys.get(one), keys.get(other)) || place(one) - place(other);
  }

  /** Sorts by a column; once more: as configured. */
  #sort(key) {
    this.#sorted = this.#sorted === key ? "" : key;
    for (const [of, head] of this.#heads)
      mark(head, "aria-sort", of === this.#sorted ? "ascending" : null);
    this.#again();
  }

  #see(seen) {
    for (const { target, isIntersecting } of seen) target.row.isNear = isIntersecting;
    this.#again();
  }
}

function compare(one, other) {
  return one < other ? -1 : Number(one > other);
}
