// Whether a backend takes connections, in one word, with a shape for each.

import { svg } from "./dom.js";

/** Shapes of 10 by 10. */
const SHAPES = {
  up: "M5 1 9.5 9H.5z",
  starting: "M5 1 9.5 9H.5z",
  down: "M5 9 .5 1h9z",
  unusable: "M1 1l8 8M9 1 1 9",
  refusing: "M5 0l5 5-5 5-5-5zM5 2.5v3M5 7v.6",
  partly: "M5 0l5 5-5 5-5-5zM5 2.5v3M5 7v.6",
  draining: "M5 .8a4.2 4.2 0 0 1 0 8.4zM5 .8a4.2 4.2 0 0 0 0 8.4",
  standby: "M5 1a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  disabled: "M1 1h8v8H1z",
  unknown: "M2.5 3a2.5 2.2 0 1 1 3.2 2.2q-.7.3-.7 1.3M5 8.6v.6",
};

/** Kinds, worst first. */
export const KINDS = [
  "down",
  "unusable",
  "refusing",
  "unknown",
  "draining",
  "disabled",
  "starting",
  "standby",
  "up",
];

/** Kinds that somebody may have to look at. */
const PROBLEMS = new Set(["down", "unusable", "refusing", "unknown"]);

export function kindOf(backend) {
  if (backend.admin !== "enabled") return backend.admin;
  if (backend.health !== "up") return backend.health;
  if (backend.refusing) return "refusing";
  if (!backend.in_ring) return backend.unusable ? "unusable" : "standby";
  return backend.slow_start === undefined ? "up" : "starting";
}

function isProblem(backend) {
  return PROBLEMS.has(kindOf(backend));
}

export function wordOf(backend) {
  const kind = kindOf(backend);
  if (kind === "starting") return `up ${backend.slow_start} %`;
  return backend.health === "down" && kind !== "down" ? `${kind}, down` : kind;
}

function isServing(service) {
  return Object.values(service.backends).some((backend) => backend.in_ring);
}

/** Returns the number of backends that somebody may have to look at; at least one if none takes connections. */
export function problemsOf(service) {
  const bad = Object.values(service.backends).filter(isProblem).length;
  return isServing(service) ? bad : Math.max(bad, 1);
}

/** Returns true if a backend is among the problems of its service. */
export function isTroubling(service, backend) {
  return isProblem(backend) || !isServing(service);
}

/** Returns the kind that a service is shown as. */
export function kindOfService(service) {
  const kinds = Object.values(service.backends).map(kindOf);
  if (!isServing(service)) return "down";
  return kinds.some((kind) => PROBLEMS.has(kind)) ? "partly" : "up";
}

export class Icon {
  #path = svg("path");
  element = svg("svg", { viewBox: "-1 -1 12 12", "aria-hidden": "true" }, this.#path);
  #kind = null;

  show(kind) {
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.#path.setAttribute("d", SHAPES[kind]);
    this.element.setAttribute("class", `icon ${kind}`);
  }
}
