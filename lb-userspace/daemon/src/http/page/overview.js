// The first page: everything at a glance.

import { h, put } from "./dom.js";
import { plural } from "./format.js";
import {
  Connections,
  Happenings,
  Incidents,
  Interfaces,
  Reasons,
  Tiles,
  Warnings,
} from "./panels.js";
import { Table } from "./table.js";

/** Returns the names of services, as configured. */
function inOrder(services) {
  return Object.keys(services).sort((one, other) => services[one].place - services[other].place);
}

export class Overview {
  title = "";
  #tiles = new Tiles();
  #warnings = new Warnings();
  #table;
  #none = h("p", { class: "none" });
  #aside = [new Interfaces(), new Connections(), new Reasons(), new Incidents(), new Happenings()];
  element;

  constructor(again) {
    this.#table = new Table(again);
    this.element = h(
      "div",
      { class: "overview" },
      h("h1", { class: "hidden" }, "xdplb"),
      this.#tiles.element,
      this.#warnings.element,
      h(
        "section",
        { class: "services", "aria-label": "Services" },
        this.#table.element,
        this.#none,
      ),
      h(
        "aside",
        { "aria-label": "Interfaces and packets" },
        ...this.#aside.map((panel) => panel.element),
      ),
    );
  }

  show(scene) {
    const { services, status } = scene.state;
    this.#tiles.show(scene);
    this.#warnings.show(status.warnings);
    const count = this.#table.show(scene, inOrder(services));
    put(this.#none, this.#said(count, scene.state));
    for (const panel of this.#aside) panel.show(scene);
  }

  #said(shown, { services, left_out: backends, services_left_out: others }) {
    if (Object.keys(services).length === 0) return "No services yet: xdplb service add NAME --vip ADDRESS:PORT";
    if (shown === 0) return "Nothing matches the filter.";
    const more = [others > 0 && plural(others, "service"), backends > 0 && plural(backends, "backend")];
    const said = more.filter(Boolean).join(" and ");
    return said && `${said} more: xdplb service list`;
  }
}
