// The last 15 minutes as lines. Small and ours: three plots that share one moment, gaps stay gaps (docs/decisions/0003).

import { byId, h, s, setAttribute, setText } from "./dom.js";
import * as f from "./format.js";
import { placeOf } from "./incidents.js";
import { roundUp } from "./scale.js";
import * as words from "./words.js";

const KEPT_SECONDS = 900;
const LEAST_SPACING_SECONDS = 0.8;
const GAP_SECONDS = 3;
const COVERED = 0.95;
const MARGIN = { left: 56, right: 12, top: 8, bottom: 20 };
const MARGIN_AT_PIXELS = 14; // the size of text that the margin at the left was measured for

// Points in columns, as /api/v1/history gives them; a point of nulls stands in every gap.
export class Past {
  constructor() { this.points = []; }

  restart(history) {
    this.points = history.at.map((at, i) => ({
      at, rate: history.tokens_per_second[i], coverage: history.coverage[i], valid: history.valid[i],
      power: pick(history.power_watts, i), efficiency: pick(history.tokens_per_joule, i),
    }));
  }

  add(rack) {
    const last = this.points.at(-1);
    if (last && rack.at < last.at - 1) this.points = []; // the clock was set back
    else if (last && rack.at - last.at < LEAST_SPACING_SECONDS) return;
    else if (last && rack.at - last.at > GAP_SECONDS) this.points.push(nothing((rack.at + last.at) / 2));
    const efficiency = Object.entries(rack.tokens_per_joule).map(([name, kinds]) => [name, kinds.output ?? null]);
    this.points.push({
      at: rack.at, rate: rack.tokens_per_second.output ?? null, coverage: rack.coverage, valid: rack.valid,
      power: { ...rack.power_watts }, efficiency: Object.fromEntries(efficiency),
    });
    const since = rack.at - KEPT_SECONDS;
    const first = this.points.findIndex((point) => point.at >= since);
    if (first > 0) this.points.splice(0, first);
  }

  get end() { return this.points.at(-1)?.at ?? 0; }

  // The point at a moment, or null where nothing is known within a gap's length.
  near(at) {
    let best = null;
    for (const point of this.points) if (best === null || Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
    return best !== null && Math.abs(best.at - at) <= GAP_SECONDS ? best : null;
  }
}

function pick(columns, i) {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[i]]));
}

function nothing(at) {
  return { at, rate: null, coverage: null, valid: null, power: {}, efficiency: {} };
}

const PLOTS = [
  { title: "Output tokens per second", told: f.tokensPerSecond, lines: () => [["output", (point) => point.rate, 0]] },
  { title: "Power", told: f.watts, lines: (points) => boundaries(points, "power") },
  { title: "Tokens per joule", told: f.tokensPerJoule, lines: (points) => boundaries(points, "efficiency") },
];

// Each boundary has a line of its own, in colour and in dashes, whichever others there are.
const LADDER = ["gpu", "module", "node", "rack", "facility"];

function boundaries(points, column) {
  const names = new Set(points.flatMap((point) => Object.keys(point[column])));
  const place = (name) => (LADDER.includes(name) ? LADDER.indexOf(name) : LADDER.length);
  return [...names].sort((a, b) => place(a) - place(b)).map((name) => [name, (point) => point[column][name] ?? null, place(name)]);
}

export class Plots {
  constructor(past) {
    this.past = past;
    this.record = null;
    this.incidents = [];
    this.cursor = byId("cursor");
    this.plots = PLOTS.map((spec) => new Plot(spec, (share) => this.pointAt(share)));
    byId("plots").append(...this.plots.map((plot) => plot.element));
    this.cursor.addEventListener("input", () => this.read());
    new ResizeObserver(() => this.draw()).observe(byId("plots"));
  }

  show(rack) {
    this.record = rack.record && f.known(rack.record.ratio) ? rack.record : null;
    this.incidents = rack.incidents;
    this.draw();
  }

  draw() {
    const width = byId("plots").clientWidth;
    if (width < 50) return;
    MARGIN.left = Math.round(56 * Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / MARGIN_AT_PIXELS);
    this.cursor.style.marginLeft = `${MARGIN.left - 6}px`;
    this.cursor.style.width = `${width - MARGIN.left - MARGIN.right + 12}px`;
    for (const plot of this.plots) plot.draw(this.past, width, this.record, this.incidents);
    this.read();
  }

  pointAt(share) {
    this.cursor.value = share === null ? KEPT_SECONDS : String(Math.round(share * KEPT_SECONDS));
    this.read();
  }

  read() {
    const ago = KEPT_SECONDS - Number(this.cursor.value);
    const at = this.past.end - ago;
    const point = this.past.near(at);
    const when = ago === 0 ? "now" : `${f.duration(ago)} ago, ${f.clock(at)}`;
    const wrong = this.incidents.filter((each) => each.started <= at && (each.ended === null || at <= each.ended));
    const incident = wrong.length ? `; incident: ${placeOf(wrong[0])}, ${words.short([wrong[0].cause])}${wrong.length > 1 ? `, and ${wrong.length - 1} more` : ""}` : "";
    setText(byId("history-moment"), `${when}${incident}`);
    const told = this.plots.map((plot) => plot.read(point, 1 - ago / KEPT_SECONDS, ago === 0));
    const doubt = point && (point.valid === false || point.coverage < COVERED) ? `; ${f.coverage(point.coverage)} covered` : "";
    setAttribute(this.cursor, "aria-valuetext", `${when}: ${told.join("; ")}${doubt}${incident}`);
  }
}

class Plot {
  constructor(spec, onPoint) {
    this.spec = spec;
    this.readout = h("p", { class: "plot-readout" });
    this.bands = s("g", { class: "bands" });
    this.wrongs = s("g", { class: "wrongs" });
    this.grid = s("g", { class: "grid" });
    this.lines = s("g", { class: "lines" });
    this.mark = s("line", { class: "mark", visibility: "hidden" });
    this.dots = s("g", { class: "dots" });
    this.svg = s("svg", { "aria-hidden": "true" }, this.bands, this.wrongs, this.grid, this.lines, this.mark, this.dots);
    this.element = h("div", { class: "plot" }, h("div", { class: "plot-head" }, h("h3", {}, spec.title), this.readout), this.svg);
    this.svg.addEventListener("pointermove", (event) => onPoint(this.shareAt(event)));
    this.svg.addEventListener("pointerleave", () => onPoint(null));
  }

  shareAt(event) {
    const box = this.svg.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left - MARGIN.left) / (this.width - MARGIN.left - MARGIN.right), 0), 1);
  }

  draw(past, width, record, incidents) {
    this.width = width;
    this.height = Math.max(96, Math.min(220, Math.round(innerHeight * 0.13)));
    this.end = past.end;
    this.series = this.spec.lines(past.points);
    const line = this.spec.told === f.tokensPerSecond && record ? record.tokens_per_second : null;
    this.top = roundUp(highest(past.points, this.series, line) * 1.02);
    setAttribute(this.svg, "viewBox", `0 0 ${width} ${this.height}`);
    setAttribute(this.svg, "height", String(this.height));
    this.bands.replaceChildren(...bands(past.points).map(([from, to]) => s("rect", {
      x: this.x(from), y: MARGIN.top, width: Math.max(1, this.x(to) - this.x(from)), height: this.height - MARGIN.top - MARGIN.bottom,
    })));
    this.wrongs.replaceChildren(...incidents.filter(({ ended }) => ended === null || ended > this.end - KEPT_SECONDS)
      .map(({ started, ended, severity }) => this.wrong(started, Math.min(ended ?? this.end, this.end), severity)));
    this.drawGrid();
    const paths = this.series.map(([, read, style]) => s("path", { class: `line line-${style}`, d: this.path(past.points, read) }));
    const labels = line === null ? [] : [
      s("line", { class: "record", x1: MARGIN.left, x2: width - MARGIN.right, y1: this.y(line), y2: this.y(line) }),
      s("text", { class: "record-label", x: MARGIN.left + 4, y: this.y(line) + (this.y(line) > this.height / 2 ? -4 : 13) }, `record ${this.spec.told(line).text}`),
    ];
    this.lines.replaceChildren(...paths, ...labels);
  }

  // A bar for the time of an incident, and a faint line where it began.
  wrong(from, to, severity) {
    const bar = s("rect", { x: this.x(from), y: 1, width: Math.max(3, this.x(to) - this.x(from)), height: 4 });
    const start = s("line", { x1: this.x(from), x2: this.x(from), y1: 1, y2: this.height - MARGIN.bottom });
    return s("g", { "data-severity": severity }, bar, start);
  }

  drawGrid() {
    const marks = [0, this.top / 2, this.top].flatMap((value) => [
      s("line", { x1: MARGIN.left, x2: this.width - MARGIN.right, y1: this.y(value), y2: this.y(value) }),
      s("text", { x: MARGIN.left - 6, y: this.y(value) + 4, "text-anchor": "end" }, axis(this.spec.told(value))),
    ]);
    const times = [900, 600, 300, 0].map((ago) => s("text", {
      x: this.x(this.end - ago), y: this.height - 5, "text-anchor": ago === 900 ? "start" : ago === 0 ? "end" : "middle",
    }, ago === 0 ? "now" : `−${ago / 60} min`));
    this.grid.replaceChildren(...marks, ...times);
  }

  path(points, read) {
    let path = "";
    let before = null;
    for (const point of points) {
      const value = read(point);
      if (!f.known(value)) { before = null; continue; }
      const joined = before !== null && point.at - before <= GAP_SECONDS;
      path += `${joined ? "L" : "M"}${this.x(point.at).toFixed(1)} ${this.y(value).toFixed(1)}`;
      if (!joined) path += "h0.01"; // a point alone is seen, too
      before = point.at;
    }
    return path;
  }

  read(point, share, atEnd) {
    const told = this.series?.map(([name, read, style]) => {
      const value = point ? read(point) : null;
      return { name, style, value, text: this.spec.told(value).text };
    }) ?? [];
    const parts = told.length === 1 && this.spec.told === f.tokensPerSecond ? [[told[0].text, 0]] : told.map(({ name, text, style }) => [`${name} ${text}`, style]);
    this.readout.replaceChildren(...parts.map(([text, style]) => h("span", { class: `key key-${style}` }, text)));
    const x = MARGIN.left + share * ((this.width ?? 0) - MARGIN.left - MARGIN.right);
    for (const end of ["x1", "x2"]) setAttribute(this.mark, end, String(x));
    setAttribute(this.mark, "y1", String(MARGIN.top));
    setAttribute(this.mark, "y2", String((this.height ?? 0) - MARGIN.bottom));
    setAttribute(this.mark, "visibility", atEnd ? "hidden" : "visible");
    const dots = told.filter(({ value }) => f.known(value));
    this.dots.replaceChildren(...dots.map(({ value, style }) => s("circle", { class: `dot-${style}`, cx: x, cy: this.y(value), r: 3 })));
    return `${this.spec.title.toLowerCase()} ${parts.map(([text]) => text).join(", ") || f.DASH}`;
  }

  x(at) {
    const share = 1 - (this.end - at) / KEPT_SECONDS;
    return MARGIN.left + Math.max(share, 0) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    return this.height - MARGIN.bottom - (value / this.top) * (this.height - MARGIN.top - MARGIN.bottom);
  }
}

function axis(told) {
  return `${Number.parseFloat(told.number)}${told.unit.startsWith("tok/J") ? "" : ` ${told.unit.replace(/\s*(tok\/s|W)$/, "")}`}`.trim();
}

function highest(points, series, record) {
  let top = record ?? 0;
  for (const [, read] of series) for (const point of points) top = Math.max(top, read(point) ?? 0);
  return top;
}

// Spans in which the figures are not to be trusted: not valid, or members missing.
function bands(points) {
  const spans = [];
  let from = null;
  for (const point of points) {
    const doubted = point.valid === false || (f.known(point.coverage) && point.coverage < COVERED);
    if (doubted) from ??= point.at;
    else if (from !== null) { spans.push([from, point.at]); from = null; }
  }
  if (from !== null) spans.push([from, points.at(-1).at]);
  return spans;
}
