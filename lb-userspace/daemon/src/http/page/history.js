// What the rates have been while the page was open.

/** Number of samples: three minutes. */
export const LENGTH = 180;

const SERIES = [
  "connections",
  "packets_in",
  "packets_out",
  "bytes_in",
  "bytes_out",
  "handshakes",
  "handshake_us",
  "active",
];

/** Key of everything together. */
export const ALL = "";

export function keyOf(service, address) {
  return `${service} ${address}`;
}

export class History {
  #rings = new Map();
  #place = 0;
  #at = 0;

  add({ at, rates, services, status }) {
    this.#advance(Date.parse(at));
    const seen = new Set();
    const put = (key, rates, active) => {
      seen.add(key);
      this.#put(key, rates, active);
    };
    for (const [name, service] of Object.entries(services)) {
      let ofService = 0;
      for (const [address, backend] of Object.entries(service.backends)) {
        ofService += backend.active_connections;
        put(keyOf(name, address), backend.rates, backend.active_connections);
      }
      put(name, service.rates, ofService);
    }
    put(ALL, rates, status.flows.active);
    for (const key of this.#rings.keys()) if (!seen.has(key)) this.#rings.delete(key);
  }

  /** Returns the last samples, oldest first; NaN where there is none. */
  values(key, series, count = LENGTH) {
    const ring = this.#rings.get(key)?.[series];
    const at = (nth) => ring[(this.#place + LENGTH - count + 1 + nth) % LENGTH];
    return Array.from({ length: count }, (_, nth) => (ring ? at(nth) : NaN));
  }

  /** Returns the largest of the last samples. */
  peak(key, series, count = LENGTH) {
    const ring = this.#rings.get(key)?.[series];
    let peak = 0;
    if (!ring) return peak;
    for (let back = 0; back < count; back += 1) {
      const value = ring[(this.#place - back + LENGTH) % LENGTH];
      if (value > peak) peak = value;
    }
    return peak;
  }

  /** Returns the mean latency of the last samples' handshakes, in microseconds; undefined without any. */
  handshake(key, count) {
    const sum = (series) =>
      this.values(key, series, count).reduce((sum, one) => sum + (Number.isNaN(one) ? 0 : one), 0);
    return sum("handshakes") ? sum("handshake_us") / sum("handshakes") : undefined;
  }

  /** Goes on to the place of a time: seconds without a sample are gaps. */
  #advance(at) {
    const passed = Math.min(Math.max(Math.round((at - this.#at) / 1000), 1), LENGTH);
    this.#at = at;
    for (let nth = 0; nth < passed; nth += 1) {
      this.#place = (this.#place + 1) % LENGTH;
      for (const rings of this.#rings.values()) {
        for (const ring of Object.values(rings)) ring[this.#place] = NaN;
      }
    }
  }

  #put(key, rates, active) {
    let rings = this.#rings.get(key);
    if (!rings) {
      rings = Object.fromEntries(SERIES.map((one) => [one, new Float32Array(LENGTH).fill(NaN)]));
      this.#rings.set(key, rings);
    }
    for (const series of SERIES) rings[series][this.#place] = rates?.[series] ?? NaN;
    rings.active[this.#place] = active;
  }
}
