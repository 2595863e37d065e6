// The live page: one link to the daemon, and views that draw what it last said.

import { Cost } from "./cost.js";
import { byId, remember, remembered, setClass, setText } from "./dom.js";
import { Figures, noticesOf } from "./figures.js";
import * as f from "./format.js";
import { Incidents, inOrder, stands } from "./incidents.js";
import { Link } from "./link.js";
import { Past, Plots } from "./plots.js";
import { RackView } from "./rack.js";
import { showTroubles, Tables } from "./tables.js";
import * as words from "./words.js";

const ANNOUNCE_SECONDS = 5;
const TROUBLES_SECONDS = 5;

const past = new Past();
const views = { figures: new Figures(), incidents: new Incidents(), rack: new RackView(), plots: new Plots(past), cost: new Cost(), tables: new Tables() };
let rack = null;

function draw() {
  if (rack === null || document.hidden) return;
  setText(byId("rack-name"), rack.of_one ? rack.members[0]?.node || rack.rack : rack.rack);
  setText(byId("rack-title"), rack.of_one ? "GPUs of this node" : `Rack ${rack.rack}`);
  document.title = `${f.tokensPerSecond(rack.tokens_per_second.output).text} · ${rack.rack} · rackwatt`;
  for (const view of Object.values(views)) view.show(rack);
}

function take(fresh) {
  rack = fresh;
  document.body.classList.remove("waiting");
  past.add(fresh);
  draw();
  announce();
}

// The state of the link, plainly: live, or since when not.
function tellLink({ age, connected, stale, partial }) {
  setClass(document.body, "stale", stale);
  const banner = byId("stale");
  banner.hidden = !stale;
  if (stale) {
    const why = connected ? "the daemon answers but has no new figures" : "the connection is lost; reconnecting";
    setText(banner, `Stale: last figures ${f.duration(age)} ago (${f.clock(rack.at)}): ${why}.`);
  }
  const text = age === null ? (connected ? "connected, waiting for the first figures" : "connecting")
    : stale ? `stale for ${f.duration(age)}` : `live, each second${partial ? ", nodes each 5 s" : ""} · ${f.clock(rack.at)}`;
  setText(byId("link-text"), text);
}

let announced = "";
let announcedAt = -Infinity;

// For screen readers: only what has changed in kind, and not more often than every few seconds.
function announce() {
  const now = performance.now() / 1000;
  const wrong = inOrder(rack.incidents).filter(stands);
  const state = [...noticesOf(rack).map((notice) => notice.key), ...wrong.map((each) => `${each.id} ${each.cause}`)].join("|");
  if (state === announced || now - announcedAt < ANNOUNCE_SECONDS) return;
  const { nodes } = rack;
  announced = state;
  announcedAt = now;
  const missing = nodes.missing.length ? `Missing: ${nodes.missing.slice(0, 5).join(", ")}.` : "No node is missing.";
  const valid = rack.valid ? "Figures are valid." : `Figures are not valid: ${words.short(rack.reasons)}.`;
  const incidents = wrong.length ? ` ${wrong.length} incident${wrong.length > 1 ? "s" : ""}: ${wrong[0].summary}.` : "";
  setText(byId("announcer"), `${nodes.reporting} of ${nodes.expected} nodes report. ${missing} ${valid}${incidents}`);
}

const THEMES = ["system", "light", "dark"];

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText(byId("theme"), `Theme: ${theme}`);
}

function start() {
  setTheme(THEMES.includes(remembered("theme", "system")) ? remembered("theme", "system") : "system");
  byId("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % THEMES.length];
    remember("theme", next);
    setTheme(next);
  });
  document.addEventListener("visibilitychange", draw);
  setInterval(() => { if (!document.hidden) showTroubles(); }, TROUBLES_SECONDS * 1000);
  showTroubles();
  words.load().then(draw);
  new Link({ history: (history) => past.restart(history), rack: take, state: tellLink });
}

start();
