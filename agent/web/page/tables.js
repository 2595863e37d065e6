// Tables: models and what their clients wait, deployments, nodes ranked worst first against the median, and the GPUs of a node that stands alone.

import { byId, h, keyed, setAttribute, setClass, setText } from "./dom.js";
import * as f from "./format.js";
import * as words from "./words.js";

const SHOWN_NODES = 40;
const RECENT_SECONDS = 3;
const plainText = (text, exact = "") => ({ text, exact });

class Table {
  constructor(element, columns, keyOf, label) {
    this.element = element;
    this.columns = columns;
    this.keyOf = keyOf;
    this.body = h("tbody");
    const head = columns.map(({ title, left }) => h("th", { scope: "col", class: left ? "left" : null }, title));
    element.replaceChildren(h("caption", { class: "unseen" }, label), h("thead", {}, h("tr", {}, ...head)), this.body);
  }

  show(items) {
    keyed(this.body, items, this.keyOf,
      () => h("tr", {}, ...this.columns.map(({ left }, i) => h(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: left ? "left" : null }))),
      (row, item) => this.columns.forEach(({ read, bad }, i) => {
        const told = read(item);
        setText(row.children[i], told.text);
        setAttribute(row.children[i], "title", told.exact || null);
        setClass(row.children[i], "warn", Boolean(bad?.(item)));
      }));
  }
}

const MODEL_COLUMNS = [
  { title: "Model", left: true, read: (m) => plainText(m.model, m.model) },
  { title: "Nodes", read: (m) => plainText(String(m.nodes)) },
  { title: "Output", read: (m) => f.tokensPerSecond(m.tokens_per_second.output) },
  { title: "Prompt", read: (m) => f.tokensPerSecond(m.tokens_per_second.prompt) },
  { title: "Tokens/J", read: firstBoundary },
  { title: "Total", read: (m) => totalInShort(m.tokens_total.output) },
  { title: "Run + wait", read: runAndWait },
  { title: "Bound by", left: true, read: (m) => boundBy(m.limiters) },
];

const LATENCY_COLUMNS = [
  { title: "Model", left: true, read: (m) => plainText(m.model, m.model) },
  { title: "First token", read: (m) => waited(m.service, "first_token") },
  { title: "Between tokens", read: (m) => waited(m.service, "inter_token") },
  { title: "Whole request", read: (m) => waited(m.service, "end_to_end") },
];

const DEPLOYMENT_COLUMNS = [
  { title: "Deployment", left: true, read: (d) => plainText(d.deployment, d.deployment) },
  { title: "Model", left: true, read: (d) => plainText(d.model, d.model) },
  { title: "GPUs", read: (d) => plainText(String(d.gpus)) },
  { title: "Output", read: (d) => f.tokensPerSecond(d.tokens_per_second.output) },
  { title: "Tokens/J", read: ratioOrWhyNot, bad: (d) => d.reasons.length > 0 },
  { title: "Run + wait", read: runAndWait },
  { title: "Bound by", left: true, read: (d) => boundBy([d.limiter]) },
  { title: "First token", read: (d) => waited(d.service, "first_token"), served: true },
];

function ratioOrWhyNot(deployment) {
  const { reasons } = deployment;
  return reasons.length ? plainText(words.short(reasons), reasons.map(words.reason).join("\n")) : firstBoundary(deployment);
}

// Both of them in one cell: what half of the requests waited at most, and what almost all did.
function waited(service, what) {
  const told = service?.latency_seconds[what] ?? {};
  const [half, most] = [f.quantity(told["50"], "s"), f.quantity(told["99"], "s")];
  const exact = f.known(told["50"]) || f.known(told["99"]) ? `p50: ${half.exact}\np99: ${most.exact}` : "unknown";
  return plainText(exact === "unknown" ? f.DASH : `${half.text} · ${most.text}`, exact);
}

// What more tokens would need more of; the figures that say so are in the title.
function boundBy(limiters) {
  const known = limiters.filter((limiter) => limiter);
  if (known.length === 0) return plainText(f.DASH, "not looked at yet");
  const said = known.flatMap(({ name, evidence }) => [`${words.short([name])}: ${words.meaning("Limit", name)}`, ...evidence.map(({ text }) => text)]);
  return plainText(words.short([...new Set(known.map(({ name }) => name))]), [...new Set(said)].join("\n"));
}

function runAndWait({ requests }) {
  return plainText(`${count(requests.running)} + ${count(requests.waiting)}`, "running + waiting in its engines");
}

const isServed = ({ service }) => service !== null && Object.keys(service.latency_seconds).length > 0;
// A deployment that is its model's only one, and well, says no more than the model does.
const saysMore = (rack) => rack.deployments.some((d) => d.deployment !== d.model || d.reasons.length > 0);

function totalInShort(value) {
  const told = f.tokens(value);
  return { text: `${told.number} ${told.unit.replace("tokens", "").trim()}`.trim(), exact: told.exact };
}

function count(value) { return f.known(value) ? String(Math.round(value)) : f.DASH; }

// A row has room for one boundary; the others are in its title.
function firstBoundary({ tokens_per_joule: told }) {
  const ratios = Object.entries(told).filter(([, kinds]) => f.known(kinds.output));
  if (ratios.length === 0) return plainText(f.DASH, "unknown, or not of this alone");
  const [[name, kinds]] = ratios;
  return plainText(`${f.tokensPerJoule(kinds.output).number} ${name}`, ratios.map(([at, each]) => `${at}: ${f.tokensPerJoule(each.output).exact}`).join("\n"));
}

const hottest = (member) => member.gpus.map((gpu) => gpu.temperature_celsius).filter(f.known).reduce((a, b) => Math.max(a, b), -Infinity);
const held = (member) => member.gpus.filter((gpu) => gpu.throttled).length;
const up = (member) => member.gpus.filter((gpu) => gpu.up).length;

function stateOf(member) {
  if (member.drained) return plainText("drained");
  if (!member.up) return plainText("missing", member.why);
  return plainText(member.state);
}

function ratio(member) {
  return f.known(member.rate_to_median_ratio)
    ? plainText(`${(member.rate_to_median_ratio * 100).toFixed(1)}\u202f%`) : plainText(f.DASH, "unknown");
}

const NODE_COLUMNS = [
  { title: "Node", left: true, read: (m) => plainText(m.node, m.url) },
  { title: "State", left: true, read: stateOf, bad: (m) => !m.up && !m.drained },
  { title: "Output", read: (m) => f.tokensPerSecond(m.tokens_per_second.output) },
  { title: "Of median", read: ratio, bad: (m) => f.known(m.rate_to_median_ratio) && m.rate_to_median_ratio < 0.9 },
  { title: "Power", read: (m) => f.watts(m.power_watts.gpu ?? Object.values(m.power_watts)[0]) },
  { title: "Tokens/J", read: firstBoundary },
  { title: "Hottest", read: (m) => f.celsius(hottest(m)) },
  { title: "Throttled", read: (m) => throttled(m), bad: (m) => held(m) > 0 },
  { title: "GPUs", read: (m) => plainText(`${up(m)} of ${m.gpus.length}`), bad: (m) => m.up && up(m) < m.gpus.length },
  { title: "Coverage", read: (m) => plainText(m.drained ? f.DASH : f.coverage(m.coverage)), bad: (m) => m.up && m.coverage < 0.95 },
  { title: "Last heard", read: (m) => heard(m) },
  { title: "Remark", left: true, read: (m) => plainText(m.why || heldBy(m), m.why || heldBy(m)) },
];

function throttled(member) {
  const answering = member.gpus.filter((gpu) => gpu.up && gpu.throttled !== null);
  if (answering.length === 0) return plainText(f.DASH, "unknown");
  const n = held(member);
  return n === 0 ? plainText("none") : plainText(`${n} GPU${n > 1 ? "s" : ""}`, heldBy(member));
}

function heard(member) {
  if (!f.known(member.age_seconds)) return plainText(member.url ? "never" : "here");
  const exact = `${member.age_seconds.toFixed(1)} s ago`;
  return plainText(member.up && member.age_seconds < RECENT_SECONDS ? "now" : `${f.duration(member.age_seconds)} ago`, exact);
}

function heldBy(member) {
  return [...new Set(member.gpus.flatMap((gpu) => gpu.throttle_reasons ?? []))].join(", ").replaceAll("_", " ");
}

const GPU_COLUMNS = [
  { title: "GPU", left: true, read: (g) => plainText(`${g.gpu}`, g.uuid) },
  { title: "State", left: true, read: (g) => plainText(g.up ? "reports" : "does not report"), bad: (g) => !g.up },
  { title: "Power", read: (g) => f.watts(g.power_watts) },
  { title: "Limit", read: (g) => f.watts(g.power_limit_watts) },
  { title: "Temperature", read: (g) => f.celsius(g.temperature_celsius) },
  { title: "Busy", read: (g) => f.plainNumber(f.known(g.utilization_ratio) ? g.utilization_ratio * 100 : null, "%", 0) },
  { title: "Clock", read: (g) => f.quantity(g.clock_hertz, "Hz") },
  { title: "Throttled", left: true, bad: (g) => g.throttled === true,
    read: (g) => plainText(g.throttled === null ? f.DASH : g.throttled ? g.throttle_reasons.join(", ").replaceAll("_", " ") : "no") },
];

// Missing first, then by share of the median; steps of a percent, so that rows do not dance.
export function worstFirst(members) {
  const group = (member) => (member.drained ? 3 : !member.up ? 0 : f.known(member.rate_to_median_ratio) ? 1 : 2);
  const step = (member) => Math.round((member.rate_to_median_ratio ?? 0) * 100);
  return [...members].sort((a, b) => group(a) - group(b) || step(a) - step(b) || f.naturally(a.node, b.node));
}

export class Tables {
  constructor() {
    this.models = new Table(byId("models-table"), MODEL_COLUMNS, (m) => m.model, "Models");
    this.latency = new Table(byId("latency-table"), LATENCY_COLUMNS, (m) => m.model, "Latency of models: half and almost all of the requests waited at most");
    this.deployments = null;
    this.served = null;
    this.alone = null;
    this.all = false;
    this.button = byId("all-nodes");
    this.button.addEventListener("click", () => { this.all = !this.all; this.showNodes(this.rack); });
  }

  show(rack) {
    this.rack = rack;
    byId("models").hidden = rack.models.length === 0;
    const bounds = (model) => rack.deployments.filter((d) => d.model === model.model).map((d) => d.limiter);
    this.models.show(rack.models.map((m) => ({ ...m, limiters: bounds(m) })).sort((a, b) => f.naturally(a.model, b.model)));
    this.showLatency(rack);
    this.showDeployments(rack);
    this.showNodes(rack);
  }

  showLatency(rack) {
    const served = rack.models.filter(isServed).sort((a, b) => f.naturally(a.model, b.model));
    byId("latency").hidden = served.length === 0;
    if (served.length) setText(byId("latency-title"), `Latency, p50 · p99 of the last ${f.plainNumber(served[0].service.window_seconds, "s", 0).text}`);
    this.latency.show(served);
  }

  showDeployments(rack) {
    const told = saysMore(rack) ? [...rack.deployments] : [];
    const served = told.some(isServed);
    byId("deployments").hidden = told.length === 0;
    if (this.deployments === null || served !== this.served) {
      this.served = served;
      const columns = DEPLOYMENT_COLUMNS.filter((column) => served || !column.served);
      const element = byId("deployments-table");
      element.replaceChildren();
      this.deployments = new Table(element, columns, (d) => `${d.deployment}|${d.model}`, "Deployments: the GPUs and engines that serve one model together");
    }
    this.deployments.show(told.sort((a, b) => f.naturally(a.deployment, b.deployment) || f.naturally(a.model, b.model)));
  }

  showNodes(rack) {
    const alone = rack.members.length === 1;
    if (alone !== this.alone) {
      this.alone = alone;
      document.body.classList.toggle("alone", alone);
      setText(byId("nodes-title"), alone ? "GPUs" : "Nodes, worst first");
      this.nodes = alone
        ? new Table(byId("nodes-table"), GPU_COLUMNS, (g) => String(g.gpu), "GPUs of this node")
        : new Table(byId("nodes-table"), NODE_COLUMNS, (m) => `${m.url}|${m.node}`, "Nodes, worst first against the median of the rack");
    }
    const items = alone ? rack.members[0].gpus : worstFirst(rack.members);
    this.nodes.show(this.all ? items : items.slice(0, SHOWN_NODES));
    this.button.hidden = items.length <= SHOWN_NODES;
    setText(this.button, this.all ? `Show the worst ${SHOWN_NODES}` : `Show all ${items.length}`);
  }
}

// What troubles the sources of the daemon that serves this page.
export async function showTroubles() {
  let lines;
  try {
    const answer = await fetch("api/v1/node", { signal: AbortSignal.timeout(4000) });
    const node = answer.ok ? await answer.json() : { sources: [], notes: ["no snapshot yet"] };
    const failing = node.sources.filter((source) => !source.ok);
    lines = [
      ...failing.map((source) => ({ bad: true, text: `${source.source}: ${source.reason?.replaceAll("_", " ")}: ${source.detail}; ${lastGood(source)}` })),
      ...node.notes.map((text) => ({ bad: false, text })),
    ];
    if (failing.length === 0) lines.unshift({ bad: false, text: node.sources.length ? `All ${node.sources.length} sources answer.` : "No sources of its own." });
  } catch {
    lines = [{ bad: true, text: "Unknown: the daemon does not answer." }];
  }
  keyed(byId("troubles-list"), lines, (line) => line.text, () => h("li"), (element, line) => {
    setText(element, line.text);
    setClass(element, "bad", line.bad);
  });
}

function lastGood(source) {
  return f.known(source.last_success) ? `last answered ${f.moment(source.last_success, Date.now() / 1000)}` : "never answered";
}
