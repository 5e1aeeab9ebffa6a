// Lines of values over time.

import { h, put, svg } from "./dom.js";
import { LENGTH } from "./history.js";

/** Samples of a small line. */
export const SHORT = 60;

/** Returns the path of values, and that of the area below. A missing value is a gap. */
function paths(values, peak, width, height) {
  const step = width / (values.length - 1);
  const top = peak || 1;
  let [line, area, start] = ["", "", null];
  values.forEach((value, nth) => {
    const x = (nth * step).toFixed(1);
    if (Number.isNaN(value)) {
      start = null;
      return;
    }
    const y = (height - (value / top) * (height - 1)).toFixed(1);
    if (start === null) {
      start = x;
      line += `M${x} ${y}`;
      area += `M${x} ${height}V${y}`;
    } else {
      line += `L${x} ${y}`;
      area += `L${x} ${y}`;
    }
    const isLast = nth === values.length - 1 || Number.isNaN(values[nth + 1]);
    if (isLast) area += `V${height}z`;
  });
  return { line, area };
}

export class Spark {
  #area = svg("path", { class: "area" });
  #line = svg("path", { class: "line" });
  #size;
  element;

  constructor(width = 60, height = 16, style = "") {
    this.#size = [width, height];
    this.element = svg(
      "svg",
      {
        class: `spark ${style}`,
        viewBox: `0 0 ${width} ${height}`,
        preserveAspectRatio: "none",
        "aria-hidden": "true",
      },
      this.#area,
      this.#line,
    );
  }

  show(values, peak) {
    const { line, area } = paths(values, peak, ...this.#size);
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", area);
  }
}

/** A large figure of one or two series with their present values. */
export class Chart {
  #series;
  #format;
  #peak = h("span", { class: "peak" });
  element;

  constructor(title, format, series) {
    this.#format = format;
    this.#series = series.map(([name, label], nth) => ({
      name,
      label,
      value: h("b"),
      spark: new Spark(600, 100, nth === 0 ? "first" : "second"),
    }));
    const legend = this.#series.map(({ label, value }, nth) =>
      h(
        "span",
        { class: nth === 0 ? "first" : "second" },
        h("i", { "aria-hidden": "true" }),
        `${label} `,
        value,
      ),
    );
    this.element = h(
      "figure",
      { class: "chart" },
      h("figcaption", {}, h("span", { class: "title" }, title), ...legend),
      h("div", { class: "plot" }, this.#peak, ...this.#series.map(({ spark }) => spark.element)),
      h(
        "div",
        { class: "axis", "aria-hidden": "true" },
        h("span", {}, "3 min ago"),
        h("span", {}, "now"),
      ),
    );
  }

  show(history, key) {
    const peak = Math.max(...this.#series.map(({ name }) => history.peak(key, name)));
    put(this.#peak, `peak ${this.#format(peak)}`);
    for (const { name, value, spark } of this.#series) {
      const values = history.values(key, name, LENGTH);
      spark.show(values, peak);
      const last = values.at(-1);
      put(value, Number.isNaN(last) ? "–" : this.#format(last));
    }
  }
}
