// The big figures, and beside each its window, coverage and standing; then, in words, what is missing and why.

import { byId, h, keyed, setClass, setText } from "./dom.js";
import * as f from "./format.js";
import * as words from "./words.js";

const LADDER = ["gpu", "module", "node", "rack", "facility"];
const RATE = "rack_tokens_per_second";
const EFFICIENCY = "rack_tokens_per_joule";

function card(title, id) {
  const big = h("p", { class: "big" }, h("span", { class: "number" }), h("span", { class: "unit" }));
  const side = h("dl", { class: "side" });
  const standing = h("p", { class: "standing" });
  const element = h("article", { class: "card", id }, h("h3", {}, title), big, side, standing);
  return { element, big, side, standing };
}

function show(big, told, label) {
  setText(big.firstChild, told.number);
  setText(big.lastChild, told.unit);
  big.title = told.exact;
  big.dataset.exact = told.exact;
  if (label) big.setAttribute("aria-label", `${label}: ${told.text}`);
}

function facts(list, pairs) {
  keyed(list, pairs, (pair) => pair[0], (pair) => h("div", {}, h("dt", {}, pair[0]), h("dd")), (row, [, told]) => {
    setText(row.lastChild, told.text);
    row.title = told.exact ?? "";
  });
}

// "valid · 100 % covered · last 10 s", or what speaks against it.
export function standing(figure, rack) {
  const covered = `${f.coverage(rack.coverage)} covered`;
  const span = `last ${f.plainNumber(figure?.window_seconds ?? rack.window_seconds, "s", 0).text}`;
  if (!figure) return `no figure · ${covered} · ${span}`;
  const notes = figure.flags.length ? ` · ${words.short(figure.flags)}` : "";
  const doubt = f.known(figure.uncertainty_ratio) && figure.uncertainty_ratio >= 0.001
    ? ` · ±${f.percent(figure.uncertainty_ratio)}` : "";
  const verdict = figure.valid ? "valid" : `not valid: ${words.short(figure.reasons)}`;
  return `${verdict} · ${covered} · ${span}${doubt}${notes}`;
}

function stand(element, figure, rack) {
  setText(element, standing(figure, rack));
  setClass(element, "warn", Boolean(figure) && !figure.valid);
  const told = [...(figure?.reasons ?? []).map(words.reason), ...(figure?.flags ?? []).map(words.flag)];
  element.title = told.join("\n");
}

export class Figures {
  constructor() {
    this.rate = card("Output tokens per second", "card-rate");
    this.ladder = new Ladder();
    this.total = card("Output tokens in total", "card-total");
    this.reporting = card("Reporting", "card-reporting");
    this.record = new Record();
    byId("cards").append(
      this.rate.element, this.ladder.element, this.reporting.element, this.total.element, this.record.element,
    );
  }

  show(rack) {
    this.showRate(rack);
    this.ladder.show(rack);
    this.showTotal(rack);
    this.showReporting(rack);
    this.record.show(rack);
    showNotices(rack);
  }

  showRate(rack) {
    const rates = rack.tokens_per_second;
    show(this.rate.big, f.tokensPerSecond(rates.output), "Output tokens per second");
    const cached = f.known(rates.prompt_cached) ? [["of it cached", f.tokensPerSecond(rates.prompt_cached)]] : [];
    facts(this.rate.side, [["prompt", f.tokensPerSecond(rates.prompt)], ...cached]);
    stand(this.rate.standing, rack.figures[RATE], rack);
  }

  showTotal(rack) {
    show(this.total.big, f.tokens(rack.tokens_total.output), "Output tokens in total");
    const pairs = [["prompt", f.tokens(rack.tokens_total.prompt)]];
    const late = rack.backfilled_tokens_total.output;
    if (late > 0) pairs.push(["made while away", f.tokens(late)]);
    facts(this.total.side, pairs);
    setText(this.total.standing, "sum of the members' totals");
  }

  showReporting(rack) {
    const { nodes, gpus } = rack;
    const told = { number: `${nodes.reporting}`, unit: `of ${nodes.expected} node${nodes.expected === 1 ? "" : "s"}` };
    show(this.reporting.big, { ...told, text: `${told.number} ${told.unit}`, exact: `${told.number} ${told.unit}` }, "Reporting");
    const pairs = [["GPUs", { text: `${gpus.reporting} of ${gpus.expected}` }]];
    if (nodes.drained.length) pairs.push(["drained", { text: nodes.drained.join(", ") }]);
    facts(this.reporting.side, pairs);
    const complete = nodes.missing.length === 0 && gpus.reporting >= gpus.expected;
    setText(this.reporting.standing, complete ? "complete" : missingInShort(rack));
    setClass(this.reporting.standing, "warn", !complete);
  }
}

function missingInShort({ nodes, gpus }) {
  if (nodes.missing.length === 0) return `${gpus.expected - gpus.reporting} GPUs do not report`;
  const named = nodes.missing.slice(0, 3).join(", ");
  const more = nodes.missing.length - 3;
  return `missing: ${named}${more > 0 ? ` and ${more} more` : ""}`;
}

// Power and efficiency at every boundary, side by side: never added, never mixed.
class Ladder {
  constructor() {
    this.body = h("tbody");
    this.standing = h("p", { class: "standing" });
    const head = ["Boundary", "Power", "Beside inner", "Tokens/J", "J/token", "Energy"];
    const row = h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)));
    const table = h("table", { class: "ladder" }, h("thead", {}, row), this.body);
    this.element = h("article", { class: "card wide", id: "card-ladder" },
      h("h3", {}, "Power and efficiency"),
      h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Power and efficiency by boundary" }, table),
      this.standing);
  }

  show(rack) {
    const figured = Object.keys(rack.figures).filter((name) => name.startsWith(`${EFFICIENCY}_`))
      .map((name) => name.slice(EFFICIENCY.length + 1));
    const told = new Set([...Object.keys(rack.power_watts), ...Object.keys(rack.energy_joules_total), ...figured]);
    const known = [...LADDER.filter((name) => told.has(name)), ...[...told].filter((name) => !LADDER.includes(name)).sort()];
    keyed(this.body, known, (name) => name, makeRung, (element, name) => this.rung(element, name, rack));
    const unmetered = LADDER.filter((name) => !told.has(name));
    const measured = unmetered.length ? `no meter at: ${unmetered.join(", ")}` : "every boundary has a meter; the facility is modelled";
    setText(this.standing, rack.site === null ? `${measured} · no cost: no price is set (site)` : measured);
  }

  // What a boundary draws beside the one inside it; less than nothing is shown, and why.
  beside(cell, rest, rack) {
    if (!rest) {
      fill(cell, { number: "", unit: "", exact: "" });
      setText(cell.lastChild, "");
      return;
    }
    const standing = rack.figures[rest.figure];
    fill(cell, f.watts(rest.power_watts));
    setText(cell.lastChild, standing?.valid === false ? words.short(standing.reasons) : "");
    cell.title = [`power at ${rest.boundary} less power at ${rest.inner}`, ...(standing?.reasons ?? []).map(words.reason)].join("\n");
  }

  rung(element, name, rack) {
    const figure = rack.figures[`${EFFICIENCY}_${name}`];
    const ratio = rack.tokens_per_joule[name]?.output;
    const [heading, power, beside, efficiency, cost, energy] = element.children;
    setText(heading.firstChild, name);
    setText(heading.lastChild, rack.power_sources[name] ?? "");
    heading.title = words.boundary(name);
    fill(power, f.watts(rack.power_watts[name]));
    this.beside(beside, rack.power_remainders.find((rest) => rest.boundary === name), rack);
    fill(efficiency, f.tokensPerJoule(ratio));
    setText(efficiency.lastChild, f.known(ratio) && figure?.valid !== false ? "" : words.short(figure?.reasons ?? ["unknown"]));
    efficiency.lastChild.title = (figure?.reasons ?? []).map(words.reason).join("\n");
    fill(cost, f.joulesPerToken(ratio));
    fill(energy, f.joules(rack.energy_joules_total[name]));
  }
}

function makeRung() {
  const cell = (kind) => h("td", { class: kind }, h("span", { class: "number" }), h("span", { class: "unit" }), h("span", { class: "why" }));
  return h("tr", {}, h("th", { scope: "row" }, h("span"), h("span", { class: "source" })),
    cell("headline"), cell("plain"), cell("headline"), cell("plain"), cell("plain"));
}

function fill(cell, told) {
  setText(cell.children[0], told.number);
  setText(cell.children[1], told.unit);
  cell.title = told.exact;
}

class Record {
  constructor() {
    this.card = card("Against a published record", "card-record");
    this.element = this.card.element;
    this.element.classList.add("wide");
    this.caveats = h("ul", { class: "caveats" });
    this.source = h("p", { class: "source" });
    this.element.append(this.caveats, this.source);
  }

  show(rack) {
    const { record } = rack;
    this.element.hidden = record === null;
    if (record === null) return;
    const told = f.percent(record.ratio);
    const of = f.tokensPerSecond(record.tokens_per_second);
    const [number, unit] = f.known(record.ratio) ? [told, `of ${of.text}`] : [f.DASH, ""];
    show(this.card.big, { number, unit, text: `${number} ${unit}`, exact: of.exact }, "Share of the record");
    const why = !f.known(record.ratio);
    const figure = rack.figures[RATE];
    const doubted = figure && !figure.valid ? ` (${words.short(figure.reasons)})` : "";
    setText(this.card.standing, `${why ? `no figure: our rate is not known, or not valid${doubted} · ` : ""}compared with ${record.title}`);
    setText(this.source, record.source ? `source: ${record.source}` : "");
    keyed(this.caveats, record.caveats, (text) => text, () => h("li"), setText);
  }
}

function showNotices(rack) {
  const notices = noticesOf(rack);
  keyed(byId("notices"), notices, (notice) => notice.key, (notice) => h("li", { class: notice.kind }),
    (element, notice) => setText(element, notice.text));
  byId("notices").hidden = notices.length === 0;
}

const MOST_NAMED = 12;

// Everything that is missing or doubted, by name, with why and since when.
export function noticesOf(rack) {
  const members = new Map(rack.members.map((member) => [member.node, member]));
  const missing = rack.nodes.missing.slice(0, MOST_NAMED).map((name) => {
    const member = members.get(name);
    const since = f.known(member?.age_seconds)
      ? `not heard since ${f.moment(rack.at - member.age_seconds, rack.at)} (${f.duration(member.age_seconds)})`
      : "never heard";
    return { key: `missing ${name}`, kind: "bad", text: `${name} is missing: ${member?.why || "it does not say why"}; ${since}` };
  });
  const more = rack.nodes.missing.length - missing.length;
  if (more > 0) missing.push({ key: "more", kind: "bad", text: `… and ${more} more nodes are missing` });
  const gone = rack.members.filter((member) => member.up && member.gpus.some((gpu) => !gpu.up)).slice(0, MOST_NAMED).map((member) => {
    const names = member.gpus.filter((gpu) => !gpu.up).map((gpu) => gpu.gpu).join(", ");
    return { key: `gpus ${member.node}`, kind: "bad", text: `${member.node}: GPU ${names} does not report` };
  });
  const reasons = new Set(Object.values(rack.figures).flatMap((figure) => figure.reasons));
  const doubts = [...reasons].sort().map((code) => ({ key: `reason ${code}`, kind: "warn", text: words.reason(code) }));
  const drained = rack.nodes.drained.length
    ? [{ key: "drained", kind: "note", text: `Drained on purpose, not expected: ${rack.nodes.drained.join(", ")}` }] : [];
  return [...missing, ...gone, ...doubts, ...drained];
}
