// The rack drawn as a rack: a row of GPUs for each tray, or one small cell for each node where there are many.

import { byId, h, keyed, remember, remembered, setAttribute, setClass, setText } from "./dom.js";
import * as f from "./format.js";
import { placeOf, troubleOf } from "./incidents.js";
import { worstFirst } from "./tables.js";
import * as words from "./words.js";
import { colour, diverging, gradient, median, roundUp, sequential } from "./scale.js";

const MANY = 64; // more nodes than this are drawn as one cell each
const HOTTEST_CELSIUS = 95;
const COOLEST_CELSIUS = 25;

const values = (member, key) => member.gpus.map((gpu) => gpu[key]).filter(f.known);
const most = (list) => (list.length ? Math.max(...list) : null);
const least = (list) => (list.length ? Math.min(...list) : null);
const boundaryOf = (member) => Object.keys(member.tokens_per_joule)[0];

// Each quantity: what a node and (if it has one) a GPU shows, how it is printed, and over what range it is coloured.
const QUANTITIES = {
  power: {
    label: "Power (W)", node: (m) => m.power_watts.gpu, gpu: (g) => g.power_watts, told: f.watts,
    inCell: (watts) => Math.round(watts).toLocaleString("en"), inMany: "all GPUs of the node",
    range: (all, rack, perGpu) => {
      const limit = most(rack.members.flatMap((m) => values(m, "power_limit_watts")));
      return sequential(0, perGpu && limit ? limit : roundUp(most(all)));
    },
  },
  rate: {
    label: "Output tokens/s", node: (m) => m.tokens_per_second.output, told: f.tokensPerSecond,
    range: (all) => aroundMedian(all),
  },
  rate_ratio: {
    label: "Tokens/s against the median node", node: (m) => m.rate_to_median_ratio, told: share, range: () => diverging(0.8, 1.2),
  },
  efficiency: {
    label: "Tokens/J", node: (m) => m.tokens_per_joule[boundaryOf(m)]?.output, told: f.tokensPerJoule,
    range: (all) => aroundMedian(all),
  },
  power_ratio: {
    label: "Power against the median GPU", node: (m) => least(values(m, "power_to_median_ratio")), inMany: "lowest GPU of the node",
    gpu: (g) => g.power_to_median_ratio, told: share, range: () => diverging(0.8, 1.2),
  },
  temperature: {
    label: "Temperature (°C)", node: (m) => most(values(m, "temperature_celsius")), inMany: "hottest GPU of the node",
    gpu: (g) => g.temperature_celsius, told: f.celsius, range: () => sequential(COOLEST_CELSIUS, HOTTEST_CELSIUS),
  },
  utilization: {
    label: "Utilization (%)", node: (m) => least(values(m, "utilization_ratio")), inMany: "least busy GPU of the node",
    gpu: (g) => g.utilization_ratio, told: share, range: () => sequential(0, 1),
  },
  throttle: { label: "Throttling", states: ["full", "throttled", "unknown", "gone", "drained"], gpu: () => null, node: () => null },
  health: { label: "Health", states: ["well", "throttled", "idle", "unknown", "gone", "drained"], gpu: () => null, node: () => null },
};

const STATES = {
  well: ["", "reports"], full: ["", "full clocks"], throttled: ["!", "clocks held down"], idle: ["·", "idle"],
  unknown: [f.DASH, "unknown"], gone: ["×", "does not report"], drained: ["d", "drained"],
};

function share(value) { return { ...f.plainNumber(f.known(value) ? value * 100 : value, "%", 0) }; }

// From half the median to a tenth above it: a straggler stands out, noise does not.
function aroundMedian(all) {
  const middle = median(all);
  if (!middle) return sequential(0, 1);
  return sequential(Math.min(middle / 2, least(all)), Math.max(middle * 1.1, most(all)));
}

function stateOf(member, gpu, quantity) {
  if (member.drained) return "drained";
  if (!member.up || (gpu && !gpu.up)) return "gone";
  const gpus = gpu ? [gpu] : member.gpus;
  if (gpus.some((each) => each.throttled)) return "throttled";
  if (!gpu && gpus.some((each) => !each.up)) return "gone";
  if (quantity === "throttle") return gpus.length && gpus.every((each) => each.throttled === false) ? "full" : "unknown";
  if (member.state === "idle") return "idle";
  return member.state === "unknown" ? "unknown" : "well";
}

export class RackView {
  constructor() {
    this.root = byId("rack");
    this.select = byId("quantity");
    for (const [key, { label }] of Object.entries(QUANTITIES)) this.select.append(h("option", { value: key }, label));
    this.select.value = remembered("quantity", "power");
    if (!QUANTITIES[this.select.value]) this.select.value = "power";
    this.select.addEventListener("change", () => { remember("quantity", this.select.value); this.draw(); });
    this.pinned = null;
    this.pointed = null;
    this.current = null;
    this.cells = new Map();
    this.listen();
  }

  listen() {
    const keyOf = (event) => event.target.closest?.("[data-key]")?.dataset.key ?? null;
    this.root.addEventListener("pointerover", (event) => this.point(keyOf(event)));
    this.root.addEventListener("pointerleave", () => this.point(null));
    this.root.addEventListener("focusin", (event) => { this.rove(keyOf(event)); this.point(keyOf(event)); });
    this.root.addEventListener("focusout", () => this.point(null));
    this.root.addEventListener("click", (event) => this.pin(keyOf(event)));
    this.root.addEventListener("keydown", (event) => this.key(event));
  }

  show(rack) {
    this.rack = rack;
    this.draw();
  }

  draw() {
    const { rack } = this;
    if (!rack) return;
    const many = rack.members.length > MANY;
    const quantity = QUANTITIES[this.select.value];
    const perGpu = !many && Boolean(quantity.gpu);
    this.root.className = many ? "many" : rack.members.length > 24 ? "trays narrow" : "trays";
    setClass(this.root, "alone", rack.members.length === 1);
    const members = [...rack.members].sort((a, b) => f.naturally(a.node, b.node));
    const shown = members.map((member) => ({ member, cells: cellsOf(member, perGpu) }));
    const read = ({ member, gpu }) => (gpu ? quantity.gpu(gpu) : quantity.node(member));
    const known = shown.flatMap(({ cells }) => cells.map(read)).filter(f.known);
    const scale = quantity.range?.(known, rack, perGpu) ?? null;
    this.cells = new Map();
    keyed(this.root, shown, ({ member }) => `${many}${member.url}|${member.node}`, () => makeTray(),
      (tray, item) => this.tray(tray, item, { quantity, read, scale, many }));
    this.legend(quantity, scale, many || !perGpu);
    if (!this.cells.has(this.current)) this.rove(this.cells.keys().next().value ?? null);
    else this.rove(this.current);
    this.tell();
  }

  tray(element, { member, cells }, view) {
    const [name, row] = element.children;
    setText(name, member.node);
    setAttribute(name, "title", member.node);
    setClass(element, "gone", !member.up && !member.drained);
    keyed(row, cells, (cell) => cell.key, makeCell, (button, cell) => this.cell(button, cell, view));
  }

  cell(button, cell, { quantity, read, scale, many }) {
    const value = read(cell);
    const state = stateOf(cell.member, cell.gpu, this.select.value);
    const told = quantity.told && f.known(value) && state !== "drained" && state !== "gone" ? quantity.told(value) : null;
    const paint = scale && told ? colour(scale, value) : { fill: "", ink: "" };
    if (button.style.backgroundColor !== paint.fill) button.style.backgroundColor = paint.fill;
    if (button.style.color !== paint.ink) button.style.color = paint.ink;
    setAttribute(button, "data-key", cell.key);
    setAttribute(button, "data-state", state);
    setClass(button, "known", told !== null);
    const trouble = troubleOf(this.rack.incidents, cell.member, cell.gpu);
    setAttribute(button, "data-incident", trouble?.severity ?? null);
    setText(button.children[0], many ? "" : told === null ? (quantity.states ? "" : f.DASH) : inCell(quantity, value, told));
    setText(button.children[1], told === null || state === "throttled" ? STATES[state][0] : "");
    // A focused cell keeps its name, or a screen reader would speak every second.
    if (document.activeElement !== button) setAttribute(button, "aria-label", spoken(cell, told, state, trouble));
    this.cells.set(cell.key, { button, cell: { ...cell, trouble }, state });
  }

  legend(quantity, scale, perNode) {
    const legend = byId("legend");
    const items = quantity.states ?? ["throttled", "gone", "drained"];
    const bar = scale ? h("span", { class: "bar", "aria-hidden": "true" }) : null;
    if (bar) bar.style.background = gradient(scale);
    const end = (value) => h("span", {}, quantity.told(value).text);
    const what = perNode && quantity.gpu && quantity.inMany ? `Each cell: ${quantity.inMany}` : perNode ? "Each cell: one node" : "Each cell: one GPU";
    const key = JSON.stringify([this.select.value, scale?.low, scale?.high, what]);
    if (legend.dataset.key === key) return;
    legend.dataset.key = key;
    legend.replaceChildren(
      h("span", { class: "what" }, what),
      ...(scale ? [h("span", { class: "range" }, end(scale.low), bar, end(scale.high))] : []),
      ...items.map((state) => h("span", { class: "entry" }, swatch(state), STATES[state][1])),
      h("span", { class: "entry" }, h("span", { class: "swatch cell", "data-incident": "warning", "aria-hidden": "true" }), "incident"),
    );
  }

  rove(key) {
    if (key === null) return;
    const before = this.cells.get(this.current)?.button;
    if (this.current !== key && before) before.tabIndex = -1;
    this.current = key;
    const now = this.cells.get(key)?.button;
    if (now && now.tabIndex !== 0) now.tabIndex = 0;
  }

  point(key) {
    this.pointed = key ?? (this.root.contains(document.activeElement) ? this.current : null);
    this.tell();
  }

  pin(key) {
    this.pinned = key === this.pinned ? null : key;
    this.tell();
  }

  key(event) {
    if (event.key === "Escape") { this.pinned = null; this.tell(); return; }
    const keys = [...this.cells.keys()];
    const at = keys.indexOf(this.current);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: keys.length - 1 }[event.key]
      ?? (event.key === "ArrowDown" || event.key === "ArrowUp" ? this.beside(keys, at, event.key === "ArrowDown") : null);
    if (next === null) return;
    event.preventDefault();
    this.cells.get(keys[Math.min(Math.max(next, 0), keys.length - 1)]).button.focus();
  }

  // The nearest cell in the row below or above.
  beside(keys, at, below) {
    const boxes = keys.map((key) => this.cells.get(key).button.getBoundingClientRect());
    const here = boxes[at];
    const rows = boxes.map((box) => (below ? box.top - here.top : here.top - box.top)).filter((gap) => gap > 2);
    if (rows.length === 0) return at;
    const row = Math.min(...rows);
    let best = at;
    let nearest = Infinity;
    boxes.forEach((box, i) => {
      const gap = below ? box.top - here.top : here.top - box.top;
      if (Math.abs(gap - row) <= 2 && Math.abs(box.left - here.left) < nearest) { best = i; nearest = Math.abs(box.left - here.left); }
    });
    return best;
  }

  tell() {
    const chosen = this.cells.get(this.pointed ?? this.pinned);
    for (const { button } of this.cells.values()) {
      const key = button.dataset.key;
      setClass(button, "pinned", key === this.pinned);
      if (key === this.pinned) setAttribute(button, "aria-pressed", "true");
      else setAttribute(button, "aria-pressed", null);
    }
    const worst = chosen ? null : worstFirst(this.rack?.members ?? [])[0];
    const lines = chosen ? readout(chosen.cell) : worst ? readout({ member: worst, gpu: null, trouble: troubleOf(this.rack.incidents, worst, null) }) : [];
    if (worst && this.rack.members.length > 1) lines[0][1] = `the worst now: ${lines[0][1]}`;
    keyed(byId("readout"), lines, ([label]) => label, ([label]) => h("p", {}, h("b", {}, label), h("span")),
      (line, [, text]) => setText(line.lastChild, text));
  }
}

// The number as a cell has room for it: with its prefix, for its neighbour may have another.
function inCell(quantity, value, told) {
  if (quantity.inCell) return quantity.inCell(value);
  return /^[kMGT] ?/.test(told.unit) ? `${told.number} ${told.unit[0]}` : told.number;
}

function cellsOf(member, perGpu) {
  const own = { key: `${member.url}|${member.node}`, member, gpu: null };
  if (!perGpu || member.gpus.length === 0) return [own];
  return member.gpus.map((gpu) => ({ key: `${own.key}|${gpu.gpu}`, member, gpu }));
}

function makeTray() {
  return h("div", { class: "tray" }, h("span", { class: "name", "aria-hidden": "true" }), h("div", { class: "cells" }));
}

function makeCell() {
  return h("button", { type: "button", class: "cell", tabindex: -1 }, h("span", { class: "value" }), h("span", { class: "mark" }));
}

function swatch(state) {
  return h("span", { class: "swatch cell", "data-state": state, "aria-hidden": "true" }, h("span", { class: "mark" }, STATES[state][0]));
}

function spoken({ member, gpu }, told, state, trouble) {
  const name = gpu ? `${member.node} GPU ${gpu.gpu}` : member.node;
  const value = told ? `${told.text}, ` : "";
  const why = !member.up && !member.drained && member.why ? `: ${member.why}` : "";
  return `${name}: ${value}${STATES[state][1]}${why}${trouble ? `; incident: ${words.short([trouble.cause])}` : ""}`;
}

// What is known of a node and one of its GPUs, in lines of label and text.
function readout({ member, gpu, trouble }) {
  const efficiency = Object.entries(member.tokens_per_joule).map(([at, kinds]) => `${f.tokensPerJoule(kinds.output).text} (${at})`);
  const power = Object.entries(member.power_watts).map(([at, value]) => `${f.watts(value).text} (${[at, member.power_sources[at]].filter(Boolean).join(", ")})`);
  const away = `${member.why || "does not report"}; last heard ${f.known(member.age_seconds) ? `${f.duration(member.age_seconds)} ago` : "never"}`;
  const lines = [[member.node, member.drained ? "drained on purpose" : member.up
    ? `${member.state}${member.models.length ? `, serves ${member.models.join(", ")}` : ""}` : away]];
  if (trouble) lines.push(["Incident", `${placeOf(trouble)}: ${words.short([trouble.kind, trouble.cause])}`]);
  if (member.up) {
    lines.push(["Output", f.tokensPerSecond(member.tokens_per_second.output).text
      + (f.known(member.rate_to_median_ratio) ? ` (${share(member.rate_to_median_ratio).text} of the median node)` : "")]);
    lines.push(["Power", power.join(", ") || f.DASH]);
    lines.push(["Efficiency", efficiency.join(", ") || f.DASH]);
    lines.push(["Coverage", f.coverage(member.coverage)]);
  }
  for (const each of gpu ? [gpu] : member.gpus.slice(0, 8)) lines.push([`GPU ${each.gpu}`, gpuInWords(each)]);
  return lines;
}

function gpuInWords(gpu) {
  if (!gpu.up) return "does not report";
  const throttled = gpu.throttled === null ? "throttling unknown"
    : gpu.throttled ? `clocks held down: ${gpu.throttle_reasons.join(", ").replaceAll("_", " ")}` : "full clocks";
  const limit = f.known(gpu.power_limit_watts) ? ` of ${f.watts(gpu.power_limit_watts).text}` : "";
  return [`${f.watts(gpu.power_watts).text}${limit}`, f.celsius(gpu.temperature_celsius).text,
    `${share(gpu.utilization_ratio).text} busy`, f.quantity(gpu.clock_hertz, "Hz").text, throttled].join(", ");
}
