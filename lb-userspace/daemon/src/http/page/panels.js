// Boxes of the first page.

import { follow, h, put } from "./dom.js";
import { bits, full, moment, percent, plural, short } from "./format.js";
import { ALL } from "./history.js";
import { SHORT, Spark } from "./spark.js";

/** A figure with a line of its last minute. */
class Tile {
  #value = h("b");
  #note = h("small");
  #sparks;
  element;

  constructor(title, series = []) {
    this.#sparks = series.map((name, nth) => [
      name,
      new Spark(120, 30, nth === 0 ? "first" : "second"),
    ]);
    this.element = h(
      "section",
      { class: "tile" },
      h("h2", {}, title),
      this.#value,
      this.#note,
      ...this.#sparks.map(([, spark]) => spark.element),
    );
  }

  show(value, note, history) {
    put(this.#value, value);
    put(this.#note, note);
    const peak = Math.max(...this.#sparks.map(([name]) => history.peak(ALL, name, SHORT)));
    for (const [name, spark] of this.#sparks) spark.show(history.values(ALL, name, SHORT), peak);
  }
}

export class Tiles {
  #new = new Tile("New connections/s", ["connections"]);
  #active = new Tile("Active connections", ["active"]);
  #packets = new Tile("Packets/s", ["packets_in", "packets_out"]);
  #bits = new Tile("Bits/s", ["bytes_in", "bytes_out"]);
  #backends = new Tile("Backends up");
  #table = new Tile("Flow table");
  #fill = h("meter", {
    min: 0,
    max: 1,
    high: 0.8,
    optimum: 0,
    "aria-label": "Use of the flow table",
  });
  #up = h("meter", { min: 0, max: 1, optimum: 1, low: 1, "aria-label": "Backends that are up" });
  element;

  constructor() {
    const tiles = [this.#new, this.#active, this.#packets, this.#bits, this.#backends, this.#table];
    this.#table.element.append(this.#fill);
    this.#backends.element.append(this.#up);
    this.element = h("div", { class: "tiles" }, ...tiles.map((tile) => tile.element));
  }

  show({ state: { rates, status }, history }) {
    const { flows } = status;
    const both = (rates, of, format) =>
      rates ? `in ${format(rates[`${of}_in`])}  out ${format(rates[`${of}_out`])}` : "";
    const total = (of) => rates && rates[`${of}_in`] + rates[`${of}_out`];
    const shown = (value, format) => (value === undefined ? "–" : format(value));
    this.#new.show(
      shown(rates?.connections, full),
      `peak ${short(history.peak(ALL, "connections", SHORT))}`,
      history,
    );
    this.#active.show(
      full(flows.active),
      `${short(flows.established)} established  ${short(flows.half_open)} half-open`,
      history,
    );
    this.#packets.show(shown(total("packets"), short), both(rates, "packets", short), history);
    this.#bits.show(shown(total("bytes"), bits), both(rates, "bytes", bits), history);
    this.#backends.show(
      `${full(status.backends_up)}/${full(status.backends_total)}`,
      `${full(status.backends_in_use)} in use  ${plural(status.services, "service")}`,
      history,
    );
    this.#table.show(
      percent(flows.entries, flows.capacity),
      `${short(flows.entries)} of ${short(flows.capacity)}  ${short(flows.bytes)}B`,
      history,
    );
    this.#fill.value = flows.entries / flows.capacity;
    this.#up.value = status.backends_total ? status.backends_up / status.backends_total : 1;
  }
}

export class Warnings {
  #items = new Map();
  #list = h("ul");
  #title = h("h2");
  element = h("section", { class: "warnings" }, this.#title, this.#list);

  show(warnings) {
    this.element.hidden = warnings.length === 0;
    put(this.#title, plural(warnings.length, "warning"));
    follow(this.#list, this.#items, [...new Set(warnings)], (text) => ({
      element: h("li", {}, text),
    }));
  }
}

/** A small table. The first text of a row is its name; the last columns are numbers. */
class Facts {
  #rows = new Map();
  #body = h("tbody");
  #heads;
  #numbers;
  element;

  constructor(title, heads, numbers = 0) {
    [this.#heads, this.#numbers] = [heads.length, numbers];
    const cells = heads.map((head, nth) => h("th", { scope: "col", class: this.#kind(nth) }, head));
    this.element = h(
      "section",
      { class: "panel" },
      h("h2", {}, title),
      h("table", { class: "facts" }, h("thead", {}, h("tr", {}, ...cells)), this.#body),
    );
  }

  show(rows) {
    this.element.hidden = rows.length === 0;
    follow(
      this.#body,
      this.#rows,
      rows.map(([name]) => name),
      () => this.#row(),
    );
    for (const row of rows) {
      const { cells } = this.#rows.get(row[0]);
      row.forEach((text, nth) => put(cells[nth], text));
    }
  }

  #row() {
    const cells = Array.from({ length: this.#heads }, (_, nth) =>
      h("td", { class: this.#kind(nth) }),
    );
    cells[0] = h("th", { scope: "row" });
    return { element: h("tr", {}, ...cells), cells };
  }

  #kind(nth) {
    return nth >= this.#heads - this.#numbers ? "number" : "word";
  }
}

export class Interfaces {
  #facts = new Facts("Interfaces", ["Name", "Link", "XDP", "Guard"]);
  element = this.#facts.element;

  show({ state: { status } }) {
    this.#facts.show(
      status.interfaces.map(({ name, link, mode, guard }) => [name, link, mode, guard]),
    );
  }
}

export class Connections {
  #facts = new Facts("Connections", ["State", "Count"], 1);
  element = this.#facts.element;

  show({
    state: {
      status: { flows },
    },
  }) {
    const states = ["half_open", "answered", "established", "closing", "closed"];
    const rows = states.map((state) => [state.replace("_", "-"), full(flows[state])]);
    this.#facts.show([...rows, ["ports cooling down", full(flows.cooling_ports)]]);
  }
}

export class Reasons {
  #facts = new Facts("Packets", ["Reason", "Verdict", "per s", "Total"], 2);
  element = this.#facts.element;

  show({ state: { packets } }) {
    const all = [...packets].sort((one, other) => other.packets - one.packets);
    this.#facts.show(
      all.map(({ reason, verdict, rate, packets }) => [
        reason,
        verdict,
        rate === undefined ? "–" : short(rate),
        short(packets),
      ]),
    );
  }
}

export class Incidents {
  #facts = new Facts("Incidents", ["Incident", "per s", "Total"], 2);
  element = this.#facts.element;

  show({ state: { incidents } }) {
    this.#facts.show(
      incidents.map(({ incident, rate, total }) => [
        incident,
        rate === undefined ? "–" : short(rate),
        short(total),
      ]),
    );
  }
}

/** What has happened to backends since the page was opened, newest first. */
export class Happenings {
  #list = h("ol");
  #items = new Map();
  element = h(
    "section",
    { class: "panel happenings" },
    h("h2", {}, "Since this page was opened"),
    this.#list,
  );

  show({ changes }) {
    this.element.hidden = changes.length === 0;
    const make = ({ at, text }) => ({
      element: h(
        "li",
        {},
        h("time", { datetime: at, title: moment(at) }, moment(at).slice(11, 19)),
        ` ${text}`,
      ),
    });
    follow(this.#list, this.#items, changes, make);
  }
}
