// The state that the daemon sends: the whole first, then what has changed.

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
    source.addEventListener("whole", ({ data }) => this.#take(applied(Object.create(null), JSON.parse(data))));
    source.addEventListener("change", ({ data }) =>
      this.#take(applied(this.state.services, JSON.parse(data))),
    );
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

/** Applies a change to the services, and returns the new state. What is null is gone. */
function applied(services, { all, services: changes = {} }) {
  for (const [name, change] of Object.entries(changes)) {
    if (change === null) delete services[name];
    else
      services[name] = {
        ...(change.own ?? services[name]),
        backends: backendsAfter(services[name], change),
      };
  }
  return { ...all, services };
}

function backendsAfter(service, { backends: changes = {} }) {
  const backends = service?.backends ?? {};
  for (const [address, backend] of Object.entries(changes)) {
    if (backend === null) delete backends[address];
    else backends[address] = backend;
  }
  return backends;
}
