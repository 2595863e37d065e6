// What went wrong and why: what stands first, then what ended within a quarter of an hour; evidence on request.

import { byId, h, keyed, setAttribute, setClass, setText } from "./dom.js";
import * as f from "./format.js";
import * as words from "./words.js";

const SHOWN = 5;
const MARKS = { critical: "‼", warning: "!", info: "i" };
const WORST_FIRST = ["critical", "warning", "info"];
// How sure the cause is, in words; the figure is in the title.
const SURE = [[0.9, "clear"], [0.6, "likely"], [0.3, "possible"], [0, "a guess"]];
// A metric's name ends in its unit.
const UNITS = [
  ["tokens_per_second", f.tokensPerSecond], ["_watts", f.watts], ["_celsius", f.celsius], ["_hertz", (value) => f.quantity(value, "Hz")],
  ["_ratio", (value) => ({ text: f.percent(value) })], ["_joules", f.joules], ["_seconds", (value) => f.quantity(value, "s")],
];

export const stands = (incident) => incident.ended === null;

// What stands, the worst first, then what has ended; of one rank as the daemon has them, the newest first.
export function inOrder(incidents) {
  const rank = (each) => (stands(each) ? WORST_FIRST.indexOf(each.severity) : WORST_FIRST.length);
  return [...incidents].sort((a, b) => rank(a) - rank(b));
}

// Where it is: "tray-03 GPU 2", "tray-15 engine 127.0.0.1:8000".
export function placeOf({ node, gpu, engine_instance: engine }) {
  return `${node}${f.known(gpu) ? ` GPU ${gpu}` : ""}${engine ? ` engine ${engine}` : ""}`;
}

// The worst incident that stands and is of this cell: of its GPU, of its whole node, or of any GPU where a cell is a node.
export function troubleOf(incidents, member, gpu) {
  const own = incidents.filter((each) => stands(each) && each.node === member.node
    && (gpu === null || !f.known(each.gpu) || each.gpu === gpu.gpu));
  for (const severity of WORST_FIRST) {
    const found = own.find((each) => each.severity === severity);
    if (found) return found;
  }
  return null;
}

export class Incidents {
  constructor() {
    this.section = byId("incidents");
    this.button = byId("all-incidents");
    this.all = false;
    this.made = 0;
    this.button.addEventListener("click", () => { this.all = !this.all; this.show(this.rack); });
  }

  show(rack) {
    this.rack = rack;
    const incidents = inOrder(rack.incidents);
    this.section.hidden = incidents.length === 0;
    const standing = incidents.filter(stands).length;
    const ended = incidents.length - standing;
    const over = ended ? `${ended} ended within 15${f.NARROW}min` : "";
    setText(byId("incidents-title"), `Incidents: ${[standing ? `${standing} now` : "none now", over].filter(Boolean).join(", ")}`);
    setClass(this.section, "calm", standing === 0);
    // What stands is never folded away.
    const shown = this.all ? incidents : incidents.slice(0, Math.max(SHOWN, standing));
    keyed(byId("incidents-list"), shown, (each) => each.id, () => this.make(), (item, each) => update(item, each, rack));
    this.button.hidden = incidents.length <= Math.max(SHOWN, standing);
    setText(this.button, this.all ? "Show fewer" : `Show all ${incidents.length}`);
    setAttribute(this.button, "aria-expanded", String(this.all));
  }

  make() {
    this.made += 1;
    const id = `evidence-${this.made}`;
    const list = h("ul", { class: "evidence", id, hidden: true });
    const button = h("button", { type: "button", "aria-expanded": "false", "aria-controls": id }, "Evidence");
    button.addEventListener("click", () => {
      list.hidden = !list.hidden;
      setAttribute(button, "aria-expanded", String(!list.hidden));
    });
    return h("li", {},
      h("span", { class: "sign", "aria-hidden": "true" }),
      h("div", { class: "told" }, h("p", { class: "what" }, h("b"), " ", h("span")), h("p", { class: "facts" }),
        h("a", { class: "recording", download: true, title: "for rackwatt explain" }, "Recording")),
      button, list);
  }
}

function update(item, incident, rack) {
  const [sign, told, button, list] = item.children;
  const [what, facts, recording] = told.children;
  setAttribute(item, "data-severity", incident.severity);
  setClass(item, "ended", !stands(incident));
  setText(sign, MARKS[incident.severity] ?? "!");
  setText(what.firstElementChild, stands(incident) ? incident.severity : `over (${incident.severity})`);
  setAttribute(what.firstElementChild, "title", words.meaning("Severity", incident.severity) || null);
  setText(what.lastElementChild, incident.summary);
  keyed(facts, factsOf(incident, rack), ([key]) => key, () => h("span"), (element, [, text, title]) => {
    setText(element, text);
    setAttribute(element, "title", title || null);
  });
  const recorded = /^(https?:\/)?\/./.test(incident.recording ?? "");
  recording.hidden = !recorded;
  setAttribute(recording, "href", recorded ? incident.recording.replace(/^\//, "") : null);
  button.hidden = incident.evidence.length === 0;
  // A focused button keeps its name, or a screen reader would speak again when the cause becomes another.
  if (document.activeElement !== button) setAttribute(button, "aria-label", `Evidence: ${words.short([incident.kind, incident.cause])}, ${placeOf(incident)}`);
  keyed(list, incident.evidence.map((each, i) => [i, each]), ([i]) => i, () => h("li", {}, h("span"), h("span", { class: "figures" })), showEvidence);
}

function factsOf(incident, rack) {
  const { kind, cause, started, ended } = incident;
  const since = f.moment(started, rack.at);
  const time = ended === null ? `since ${since} (${f.duration(rack.at - started)})`
    : `${since} to ${f.moment(ended, rack.at)} (${f.duration(ended - started)})`;
  const meanings = [words.meaning("Kind", kind), words.meaning("Cause", cause)].filter(Boolean).join("\n");
  const lost = f.tokens(incident.lost_tokens);
  const joules = f.joules(incident.lost_joules);
  return [
    ["place", placeOf(incident)],
    ["cause", words.short([kind, cause]), meanings],
    ["time", time],
    ...(incident.lost_tokens > 0 ? [["lost", `${lost.text} lost`, `${lost.exact}${between(incident.lost_tokens_bounds, "tokens")}`]] : []),
    ...(incident.lost_joules > 0 ? [["joules", `${joules.text} for nothing`, `${joules.exact}${between(incident.lost_joules_bounds, "J")}`]] : []),
    ...(incident.lost_cost > 0 ? [["cost", moneyOf(incident), `energy and time of GPUs${between(incident.lost_cost_bounds, incident.currency)}`]] : []),
    ["sure", sureness(incident), `confidence ${f.plainNumber(incident.confidence, "", 2).text}`],
  ];
}

// What an estimate lies between.
function between(bounds, unit) {
  return bounds ? `, between ${f.plainNumber(bounds.lower, unit).text} and ${f.plainNumber(bounds.upper, unit).text}` : "";
}

function moneyOf({ lost_cost: cost, currency }) {
  return `${cost < 100 ? cost.toFixed(2) : Math.round(cost)}\u202f${currency}`;
}

function sureness({ cause, confidence }) {
  if (cause === "unknown") return "cause not known";
  return `cause: ${SURE.find(([least]) => confidence >= least)?.[1] ?? "a guess"}`;
}

function showEvidence(row, [, evidence]) {
  setText(row.firstChild, evidence.text);
  setText(row.lastChild, figuresOf(evidence));
  setAttribute(row.lastChild, "title", `${evidence.metric}, ${placeOf({ ...evidence, engine_instance: "" })}`);
}

// "1.40 kW → 800 W"; nothing where neither is known, or the text has said it: up or not, healthy or not.
function figuresOf({ metric, before, during }) {
  if ((!f.known(before) && !f.known(during)) || /_(up|healthy)$/.test(metric)) return "";
  const told = UNITS.find(([end]) => metric.endsWith(end))?.[1] ?? ((value) => f.plainNumber(value, ""));
  return `${told(before).text.trim()} → ${told(during).text.trim()}`;
}
