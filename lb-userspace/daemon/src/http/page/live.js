// The state that the daemon sends: the whole first, then what has changed, as JSON Merge Patch (RFC 7396).

/** Time without an event after which the connection counts as lost. */
const STALE = 5000;
const RETRY = 3000;

export class Live {
  state = null;
  #arrived = 0;
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    this.#connect();
  }

  /** The balancer's time, in milliseconds. */
  now() {
    return Date.parse(this.state.at) + this.age();
  }

  /** Time since the last event. */
  age() {
    return performance.now() - this.#arrived;
  }

  isFresh() {
    return this.state !== null && this.age() < STALE;
  }

  #connect() {
    const source = new EventSource("events");
    source.addEventListener("whole", ({ data }) => this.#take(JSON.parse(data)));
    source.addEventListener("change", ({ data }) => this.#take(patched(this.state, JSON.parse(data))));
    source.addEventListener("error", () => {
      // Refused: the browser does not try again.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#connect(), RETRY);
    });
  }

  #take(state) {
    this.state = state;
    this.#arrived = performance.now();
    this.#onChange();
  }
}

function patched(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = isObject(target) ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = patched(result[key], value);
  }
  return result;
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
