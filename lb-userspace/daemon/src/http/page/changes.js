// What has happened to backends while the page was open.

import { wordOf, kindOf } from "./state.js";

const MOST = 50;

/** Most that is said at once. */
const SPOKEN = 3;

export class Changes {
  /** Newest first. */
  list = [];
  #kinds = null;

  /** Compares a state with the one before, and returns what a screen reader is to say. */
  add({ at, services }) {
    const kinds = new Map();
    const fresh = [];
    for (const [name, { backends }] of Object.entries(services)) {
      for (const [address, backend] of Object.entries(backends)) {
        const key = `${name} ${address}`;
        const kind = kindOf(backend);
        kinds.set(key, kind);
        const before = this.#kinds?.get(key);
        if (!this.#kinds || before === kind) continue;
        const word = before === undefined ? `added, ${wordOf(backend)}` : wordOf(backend);
        fresh.push({ at, text: `${name} ${address} ${word}` });
      }
    }
    for (const key of this.#kinds?.keys() ?? []) {
      if (!kinds.has(key)) fresh.push({ at, text: `${key} removed` });
    }
    this.#kinds = kinds;
    this.list = [...fresh.reverse(), ...this.list].slice(0, MOST);
    return fresh
      .slice(0, SPOKEN)
      .map(({ text }) => text)
      .join(", ");
  }
}
