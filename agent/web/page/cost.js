// What the rack costs and emits, energy and capacity apart, with formulas and inputs; a node alone shows its own.

import { byId, h, keyed, setText } from "./dom.js";
import * as f from "./format.js";
import * as words from "./words.js";

const INSIDE = ["gpu", "module", "node", "rack"]; // inside the meter that the PUE multiplies
const RATE = "rack_tokens_per_second";
const EFFICIENCY = "rack_tokens_per_joule";
const CAPACITY = "capacity";
const HEAD = ["Measured at", "Cost of an hour", "of 1M tokens", "CO₂e of an hour", "of 1M tokens", "Cost so far", "CO₂e so far"];
const SO_FAR = 5; // from this column on: only a daemon with members books
const NAMES = { energy: "energy", capacity: "GPUs", co2e: "CO₂e" };

export class Cost {
  constructor() {
    this.head = h("tr", {}, ...HEAD.map((text) => h("th", { scope: "col" }, text)));
    this.body = h("tbody");
    const table = h("table", { class: "ladder", id: "cost-table" }, h("thead", {}, this.head), this.body);
    this.terms = h("p", { class: "standing" });
    this.absent = h("ul", { class: "plain warn" });
    this.formulas = h("ul", { class: "plain formulas" });
    const details = h("details", {}, h("summary", {}, "How it is reckoned"), this.formulas);
    this.element = byId("cost");
    this.element.append(
      h("div", { class: "scroll", tabindex: 0, role: "group", "aria-labelledby": "cost-title" }, table),
      h("div", { class: "terms" }, this.terms, this.absent, details));
  }

  show(rack) {
    const { site } = rack;
    this.element.hidden = site === null;
    if (site === null) return;
    const told = new Set([...site.cost_per_hour, ...site.cost_per_million_tokens, ...site.cost_total].map((row) => row.boundary));
    for (const at of [...Object.keys(site.co2e_grams_per_hour), ...Object.keys(site.co2e_grams_total)]) told.add(at);
    const rows = [...INSIDE.filter((at) => told.has(at)), ...(told.has("") ? [CAPACITY] : [])];
    const books = site.cost_total.length > 0 || Object.keys(site.co2e_grams_total).length > 0;
    for (const cell of [...this.head.children].slice(SO_FAR)) cell.hidden = !books;
    keyed(this.body, rows, (row) => row, makeRow, (element, row) => {
      const cells = row === CAPACITY ? capacityOf(rack, site) : energyAt(row, rack, site);
      setText(element.firstChild.firstChild, row === CAPACITY ? "GPUs" : row);
      setText(element.firstChild.lastChild, row === CAPACITY ? `${rack.gpus.expected} expected` : "energy");
      cells.forEach((cell, i) => fill(element.children[i + 1], cell, i + 1 >= SO_FAR && !books));
    });
    setText(this.terms, termsOf(site));
    const absent = absencesOf(site);
    keyed(this.absent, absent, (text) => text, () => h("li"), setText);
    this.absent.hidden = absent.length === 0;
    keyed(this.formulas, Object.entries(site.formulas), ([name]) => name, ([name]) => h("li", {}, `${name.replaceAll("_", " ")} = `, h("code")),
      (line, [, formula]) => setText(line.lastChild, formula));
  }
}

function makeRow() {
  const cell = (kind) => h("td", { class: kind }, h("span", { class: "number" }), h("span", { class: "unit" }), h("span", { class: "why" }));
  return h("tr", {}, h("th", { scope: "row" }, h("span"), h("span", { class: "source" })),
    cell("plain"), cell("headline"), cell("plain"), cell("headline"), cell("plain"), cell("plain"));
}

function fill(cell, [told, why = "", meaning = ""], hidden) {
  cell.hidden = hidden;
  setText(cell.children[0], told.number);
  setText(cell.children[1], told.unit);
  setText(cell.children[2], f.known(told.value) ? "" : why);
  cell.title = [told.exact, meaning].filter(Boolean).join("\n");
}

function valued(told, value) { return { ...told, value }; }
function money(amount, site) { return valued(f.money(amount, site.inputs.currency ?? ""), amount); }
function grams(amount) { return valued(f.grams(amount), amount); }

// Why there is no figure by tokens: what speaks against the figure that it is a quotient of.
function against(figure, otherwise) {
  const reasons = figure?.reasons ?? [];
  return reasons.length ? [words.short(reasons), reasons.map(words.reason).join("\n")] : [otherwise, ""];
}

function energyAt(boundary, rack, site) {
  const is = (component) => (row) => row.component === component && row.boundary === boundary;
  const output = (row) => row.kind === "output";
  const why = against(rack.figures[`${EFFICIENCY}_${boundary}`], "no tokens");
  const unpriced = site.unknown_because.energy ? ["", site.unknown_because.energy] : why;
  const unrated = site.unknown_because.co2e ? ["", site.unknown_because.co2e] : why;
  const rated = site.co2e_grams_per_million_tokens.find((row) => output(row) && row.boundary === boundary)?.grams;
  return [
    [money(site.cost_per_hour.find(is("energy"))?.amount, site), "", site.unknown_because.energy],
    [money(site.cost_per_million_tokens.filter(output).find(is("energy"))?.amount, site), ...unpriced],
    [grams(site.co2e_grams_per_hour[boundary]), "", site.unknown_because.co2e],
    [perToken(grams(rated), rated), ...unrated],
    [money(inCurrency(site, is("energy")), site)],
    [grams(site.co2e_grams_total[boundary]), "", lacking(site, "co2e", boundary)],
  ];
}

function perToken(told, value) {
  return f.known(value) ? { ...told, exact: `${told.exact}\n${(value / 1e6).toPrecision(3)} g a token` } : told;
}

function capacityOf(rack, site) {
  const is = (row) => row.component === CAPACITY;
  const million = site.cost_per_million_tokens.find((row) => is(row) && row.kind === "output")?.amount;
  const nothing = [{ number: "", unit: "", exact: "" }];
  return [
    [money(site.cost_per_hour.find(is)?.amount, site), "", site.unknown_because.capacity],
    [money(million, site), ...against(rack.figures[RATE], "no tokens")],
    nothing, nothing,
    [money(inCurrency(site, is), site)],
    nothing,
  ];
}

function inCurrency(site, is) {
  return site.cost_total.find((row) => is(row) && row.currency === site.inputs.currency)?.amount;
}

function termsOf({ inputs }) {
  const { pue, currency, price_per_kwh: price, price_per_gpu_hour: hour, grams_co2e_per_kwh: emits } = inputs;
  const said = (source, date) => ([source, date].filter(Boolean).length ? ` (${[source, date].filter(Boolean).join(", ")})` : "");
  return [
    f.known(price) ? `${price}${f.NARROW}${currency} a kWh${inputs.tariff_timezone ? ` at this hour of ${inputs.tariff_timezone}` : ""}` : null,
    pue ? `PUE ${pue.value}${said(pue.source, pue.date)}` : null,
    f.known(hour) ? `${hour}${f.NARROW}${currency} a GPU-hour` : null,
    f.known(emits) ? `${f.plainNumber(emits, "g").text} CO₂e a kWh${said(inputs.grams_source, "")}` : null,
  ].filter(Boolean).join(" · ");
}

// What is not told and why, and which part of the energy is in no total.
function absencesOf(site) {
  const unknown = Object.entries(site.unknown_because).map(([what, why]) => `no figure for ${NAMES[what] ?? what}: ${why}`);
  const outermost = (total) => INSIDE.findLast((at) => lacking(site, total, at));
  const gaps = ["cost", "co2e"].filter(outermost).map((total) => lacking(site, total, outermost(total)));
  return [...unknown, ...gaps];
}

function lacking(site, total, boundary) {
  const gap = site.unbooked_energy.find((row) => row.total === total && row.boundary === boundary);
  if (!gap || gap.joules <= 0) return "";
  const what = total === "co2e" ? "CO₂e so far" : "cost so far";
  return `${what} lacks ${f.percent(gap.share)} of the energy at ${boundary} (${f.joules(gap.joules).text}): nobody knew what it ${total === "co2e" ? "emitted" : "cost"}`;
}
