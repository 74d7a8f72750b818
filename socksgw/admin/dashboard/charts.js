// Lines over the last minutes, drawn as SVG.

import { element } from "./page.js";

const SHAPE = "http://www.w3.org/2000/svg";
const KEPT = 150;

export class Chart {
  constructor(parent, title, shown, bad = false) {
    this.title = title;
    this.shown = shown;
    this.samples = [];
    this.value = element("b", { text: "–" });
    this.rest = element("span");
    this.picture = document.createElementNS(SHAPE, "svg");
    this.picture.setAttribute("class", "chart");
    this.picture.setAttribute("viewBox", `0 0 ${KEPT - 1} 100`);
    this.picture.setAttribute("preserveAspectRatio", "none");
    this.picture.setAttribute("role", "img");
    this.area = document.createElementNS(SHAPE, "path");
    this.area.setAttribute("class", "area");
    this.line = document.createElementNS(SHAPE, "path");
    this.picture.append(this.area, this.line);
    const caption = element("figcaption", {}, this.value, ` ${title} `, this.rest);
    const figure = element("figure", { className: bad ? "bad" : "" });
    figure.append(caption, this.picture);
    parent.append(figure);
  }

  add(value) {
    this.samples.push(value);
    if (this.samples.length > KEPT) this.samples.shift();
    const most = Math.max(...this.samples);
    const scale = most || 1;
    const first = KEPT - this.samples.length;
    const points = this.samples.map(
      (each, at) => `${first + at},${(97 - (each / scale) * 92).toFixed(1)}`,
    );
    this.line.setAttribute("d", `M${points.join("L")}`);
    this.area.setAttribute("d", `M${first},100L${points.join("L")}L${KEPT - 1},100Z`);
    this.value.textContent = this.shown(value);
    this.rest.textContent = `· at most ${this.shown(most)}`;
    const text = `${this.title}: now ${this.shown(value)}, at most ${this.shown(most)}`;
    this.picture.setAttribute("aria-label", text);
  }
}

// What a counter has grown by in a second.
export class Rate {
  constructor() {
    this.before = undefined;
  }

  of(count, seconds) {
    const before = this.before;
    this.before = { count, seconds };
    if (before === undefined || seconds <= before.seconds) return 0;
    // A gateway that was started again counts from 0.
    return Math.max(0, (count - before.count) / (seconds - before.seconds));
  }
}
