// Numbers and times for people.

const UNITS = ["", "k", "M", "G", "T", "P"];

/** As in 950, 1.25 k, 17.3 M. */
export function short(number) {
  let unit = 0;
  while (Math.abs(number) >= 999.5 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
  return number.toFixed(digits) + (unit === 0 ? "" : `\u202f${UNITS[unit]}`);
}

/** With all digits, as in 1,234,567. */
export function full(number) {
  return number.toLocaleString("en");
}

/** Bits of so many bytes. */
export function bits(bytes) {
  return short(bytes * 8);
}

export function percent(part, whole) {
  if (!whole) return "0 %";
  const share = (100 * part) / whole;
  return `${share > 0 && share < 10 ? share.toFixed(1) : share.toFixed(0)} %`;
}

/** A duration, as in 12s, 3m 05s, 2h 07m, 4d 3h. */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  const two = (number) => String(number).padStart(2, "0");
  if (minutes === 0) return `${seconds}s`;
  if (hours === 0) return `${minutes}m ${two(seconds % 60)}s`;
  if (hours < 48) return `${hours}h ${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** A short duration, as in 85 µs, 1.3 ms, 2.1 s. */
export function latency(microseconds) {
  const [value, unit] =
    microseconds < 1000
      ? [microseconds, "µs"]
      : microseconds < 1e6
        ? [microseconds / 1000, "ms"]
        : [microseconds / 1e6, "s"];
  return `${value.toFixed(unit !== "µs" && value < 10 ? 1 : 0)}\u202f${unit}`;
}

/** A time of the balancer's clock, in UTC. */
export function moment(timestamp) {
  return `${new Date(timestamp).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function plural(number, noun) {
  return `${full(number)} ${noun}${number === 1 ? "" : "s"}`;
}
