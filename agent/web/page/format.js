// Numbers and times for people. Unknown is a dash, never 0; what is cut off is never rounded up to "all".

export const DASH = "–";
export const NARROW = "\u202f";
const LARGE = ["", "k", "M", "G", "T", "P", "E"];
const SMALL = ["", "m", "µ", "n"];
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 6, maximumSignificantDigits: 15 });

export function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function threeDigits(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  return size < 0.9995 ? value.toPrecision(3) : value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

// {number, unit, text, exact}: "1.10", "M tok/s", "1.10 M tok/s", "1,100,948.3 tok/s".
export function quantity(value, unit) {
  if (!known(value)) return { number: DASH, unit: "", text: DASH, exact: "unknown" };
  const exact = `${grouped.format(value)} ${unit}`.trim();
  let scaled = value;
  let step = 0;
  let prefixes = LARGE;
  if (Math.abs(value) >= 999.5) {
    while (Math.abs(scaled) >= 999.5 && step < LARGE.length - 1) { scaled /= 1000; step += 1; }
  } else if (value !== 0 && !unit.startsWith("tok")) {
    prefixes = SMALL;
    while (Math.abs(scaled) < 0.9995 && step < SMALL.length - 1) { scaled *= 1000; step += 1; }
  }
  const number = threeDigits(scaled);
  const shown = `${prefixes[step]}${unit}`.replace(/^([kMGTPE])tok/, "$1 tok");
  return { number, unit: shown, text: `${number}${NARROW}${shown}`.trim(), exact };
}

// A share cut (not rounded) to one decimal: 99.97 % is never shown as all of it.
export function percent(ratio, decimals = 1) {
  if (!known(ratio)) return DASH;
  const factor = 100 * 10 ** decimals;
  return `${(Math.floor(ratio * factor + 1e-9) / 10 ** decimals).toFixed(decimals)}${NARROW}%`;
}

export function coverage(ratio) {
  if (!known(ratio)) return DASH;
  return ratio >= 1 ? `100${NARROW}%` : percent(ratio);
}

export function tokensPerSecond(value) { return quantity(value, "tok/s"); }
export function watts(value) { return quantity(value, "W"); }
export function tokensPerJoule(value) { return plainNumber(value, "tok/J"); }
export function joules(value) { return quantity(value, "J"); }
export function joulesPerToken(efficiency) {
  return quantity(known(efficiency) && efficiency > 0 ? 1 / efficiency : null, "J");
}
export function tokens(value) {
  const told = quantity(value, "tokens");
  told.unit = told.unit.replace(/^([kMGTPE])tokens/, "$1 tokens");
  told.text = `${told.number}${NARROW}${told.unit}`.trim();
  return told;
}
export function grams(value) { return quantity(value, "g"); }

// "0.00227 USD", "237.60 USD", "12,345 USD".
export function money(value, currency) {
  if (!known(value)) return { number: DASH, unit: "", text: DASH, exact: "unknown" };
  const number = value >= 999.5 ? Math.round(value).toLocaleString("en") : value >= 9.995 || value === 0 ? value.toFixed(2) : value.toPrecision(3);
  return { number, unit: currency, text: `${number}${NARROW}${currency}`, exact: `${value.toPrecision(6)} ${currency}` };
}
export function celsius(value) { return plainNumber(value, "°C", 0); }

export function plainNumber(value, unit, decimals = null) {
  if (!known(value)) return { number: DASH, unit: "", text: DASH, exact: "unknown" };
  const number = decimals === null ? threeDigits(value) : value.toFixed(decimals);
  return { number, unit, text: `${number}${NARROW}${unit}`, exact: `${grouped.format(value)} ${unit}` };
}

export function duration(seconds) {
  if (!known(seconds)) return "an unknown time";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}${NARROW}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${NARROW}min ${whole % 60}${NARROW}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}${NARROW}h ${Math.floor((whole % 3600) / 60)}${NARROW}min`;
  return `${Math.floor(whole / 86400)}${NARROW}d ${Math.floor((whole % 86400) / 3600)}${NARROW}h`;
}

export function clock(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleTimeString("en-GB");
}

// "12:03:11", with the date when it was not within the last twelve hours.
export function moment(unixSeconds, nowUnixSeconds) {
  const far = Math.abs(nowUnixSeconds - unixSeconds) > 43200;
  const date = new Date(unixSeconds * 1000);
  return far ? date.toLocaleString("en-GB") : date.toLocaleTimeString("en-GB");
}

export function naturally(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}
