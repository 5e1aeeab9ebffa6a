// Pages of a service and of a backend.

import { follow, h, put } from "./dom.js";
import { bits, full, latency, moment, short, span } from "./format.js";
import { keyOf } from "./history.js";
import { Warnings } from "./panels.js";
import { Chart } from "./spark.js";
import { drainOf } from "./columns.js";
import { Icon, kindOf, kindOfService, wordOf } from "./state.js";
import { Table } from "./table.js";

class Charts {
  #charts = [
    new Chart("New connections/s", short, [["connections", "new"]]),
    new Chart("Active connections", full, [["active", "active"]]),
    new Chart("Packets/s", short, [
      ["packets_in", "in"],
      ["packets_out", "out"],
    ]),
    new Chart("Bits/s", bits, [
      ["bytes_in", "in"],
      ["bytes_out", "out"],
    ]),
  ];
  element = h("div", { class: "charts" }, ...this.#charts.map((chart) => chart.element));

  show(history, key) {
    for (const chart of this.#charts) chart.show(history, key);
  }
}

/** Names with values. */
class List {
  #items = new Map();
  #list = h("dl");
  element;

  constructor(title) {
    this.element = h("section", { class: "panel list" }, h("h2", {}, title), this.#list);
  }

  show(pairs) {
    const shown = pairs.filter(([, value]) => value !== "" && value !== undefined);
    follow(
      this.#list,
      this.#items,
      shown.map(([name]) => name),
      (name) => {
        const value = h("dd");
        return { element: h("div", {}, h("dt", {}, name), value), value };
      },
    );
    for (const [name, value] of shown) put(this.#items.get(name).value, String(value));
  }
}

class Title {
  #icon = new Icon();
  #word = h("b");
  #note = h("span", { class: "note" });
  element;

  constructor(text) {
    this.element = h(
      "div",
      { class: "title" },
      h("h1", {}, text),
      this.#icon.element,
      this.#word,
      this.#note,
    );
  }

  show(kind, word, note) {
    this.#icon.show(kind);
    this.#word.className = kind;
    put(this.#word, word);
    put(this.#note, note);
  }
}

/** What a page shows when its service or backend does not exist. */
function gone(what) {
  return h("p", { class: "none" }, `There is no ${what}.`);
}

export class ServicePage {
  title;
  #name;
  #title;
  #warnings = new Warnings();
  #charts = new Charts();
  #settings = new List("Settings");
  #table;
  #body;
  #gone;
  element;

  constructor(name, again) {
    this.#name = name;
    this.title = name;
    this.#title = new Title(name);
    this.#table = new Table(again);
    this.#gone = gone(`service ${name}`);
    this.#body = h(
      "div",
      { class: "details" },
      this.#title.element,
      this.#warnings.element,
      this.#charts.element,
      h("section", { class: "services", "aria-label": "Backends" }, this.#table.element),
      this.#settings.element,
    );
    this.element = h("div", {}, this.#body, this.#gone);
  }

  show(scene) {
    const name = this.#name;
    const service = scene.state.services[name];
    this.#body.hidden = !service;
    this.#gone.hidden = Boolean(service);
    if (!service) return;
    const backends = Object.values(service.backends);
    const inUse = backends.filter((one) => one.in_ring).length;
    const kind = kindOfService(service);
    this.#title.show(
      kind,
      `${inUse} of ${backends.length} in use`,
      `${service.vip}/${service.protocol}`,
    );
    this.#warnings.show(service.warnings ?? []);
    this.#charts.show(scene.history, name);
    this.#table.show(scene, [name]);
    this.#settings.show(settingsOf(service));
  }
}

/** What is shown of a service elsewhere. */
const ELSEWHERE = new Set(["name", "vip", "protocol", "warnings", "backends", "place", "rates"]);

/** Returns the settings by their keys, dotted as in the file. */
function settingsOf(service) {
  const pairs = Object.entries(service).filter(([key]) => !ELSEWHERE.has(key));
  return pairs.flatMap(([key, value]) => flat(key, value));
}

function flat(key, value) {
  if (Array.isArray(value)) return [[key, value.join(" ")]];
  if (typeof value !== "object") return [[key, value]];
  return Object.entries(value).flatMap(([below, value]) => flat(`${key}.${below}`, value));
}

export class BackendPage {
  title;
  #name;
  #address;
  #title;
  #charts = new Charts();
  #lists = [
    new List("Health"),
    new List("Traffic"),
    new List("Handshakes and resets"),
    new List("Share"),
  ];
  #body;
  #gone;
  element;

  constructor(name, address) {
    [this.#name, this.#address] = [name, address];
    this.title = `${name} ${address}`;
    this.#title = new Title(address);
    this.#gone = gone(`backend ${address} of ${name}`);
    const lists = h("div", { class: "lists" }, ...this.#lists.map((list) => list.element));
    this.#body = h("div", { class: "details" }, this.#title.element, this.#charts.element, lists);
    this.element = h("div", {}, this.#body, this.#gone);
  }

  show({ state, history, now }) {
    const backend = state.services[this.#name]?.backends[this.#address];
    this.#body.hidden = !backend;
    this.#gone.hidden = Boolean(backend);
    if (!backend) return;
    const drains = backend.admin === "draining";
    const why = drains ? drainOf(backend, now) : (backend.unusable ?? "");
    this.#title.show(kindOf(backend), wordOf(backend), why);
    this.#charts.show(history, keyOf(this.#name, this.#address));
    const [health, traffic, tcp, share] = this.#lists;
    health.show(healthOf(backend, now));
    traffic.show([
      ["active connections", full(backend.active_connections)],
      ["total connections", full(backend.connections_total)],
      ["packets", full(backend.packets_total)],
      ["bytes", full(backend.bytes_total)],
    ]);
    tcp.show(tcpOf(backend.tcp));
    share.show([
      ["takes new connections", backend.in_ring ? "yes" : "no"],
      ["because", backend.unusable],
      ["weight", backend.weight],
      ["weight now", Number(backend.effective_weight.toFixed(2))],
      ["slow start", backend.slow_start === undefined ? "" : `${backend.slow_start} %`],
      ["backup", backend.backup ? "yes" : "no"],
      ["administrative state", backend.admin],
    ]);
  }
}

/** Handshakes are measured on one in 16 connections. */
function tcpOf(tcp) {
  if (!tcp) return [];
  const none = "not measured yet";
  return [
    ["handshake, median", tcp.median_us === undefined ? none : latency(tcp.median_us)],
    ["handshake, 99 %", tcp.p99_us === undefined ? none : latency(tcp.p99_us)],
    ["SYNs sent again", full(tcp.retransmitted_syns)],
    ["resets by clients", full(tcp.resets_by_client)],
    ["resets by the backend", full(tcp.resets_by_backend)],
  ];
}

function healthOf({ health, since, detail, refusing, last_check: check }, now) {
  const ago = (at) => `${span(now - Date.parse(at))} ago, ${moment(at)}`;
  const result = { true: "passed", false: "failed" }[check?.success] ?? "could not run";
  return [
    ["health", health],
    ["since", ago(since)],
    ["detail", detail === check?.result ? "" : detail],
    ["refuses connections", refusing ? "yes" : ""],
    ["last check", check && `${result}, ${ago(check.at)}`],
    ["result", check?.result],
    [
      "against the health",
      check?.contrary > 0 ? `${check.contrary} of ${check.needed} in a row` : "",
    ],
  ];
}
