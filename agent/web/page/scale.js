// Colours of values: scales that people with any colour vision can tell apart, and whose order survives in grey.

const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const AROUND = ["#b35806", "#e08214", "#fdb863", "#fee0b6", "#f7f7f7", "#d1e5f0", "#92c5de", "#4393c3", "#2166ac"];

function channels(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

function along(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const first = Math.min(Math.floor(place), stops.length - 2);
  const from = channels(stops[first]);
  const to = channels(stops[first + 1]);
  return from.map((value, i) => Math.round(value + (to[i] - value) * (place - first)));
}

function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function sequential(low, high) {
  return { low, high, stops: CIVIDIS };
}

export function diverging(low, high) {
  return { low, high, stops: AROUND };
}

// {fill, ink}: the colour of a value and a text colour that can be read on it.
export function colour(scale, value) {
  const span = scale.high - scale.low;
  const rgb = along(scale.stops, span > 0 ? (value - scale.low) / span : 0.5);
  return { fill: `rgb(${rgb.join(",")})`, ink: luminance(rgb) > 0.179 ? "#000" : "#fff" };
}

export function gradient(scale) {
  return `linear-gradient(to right, ${scale.stops.join(",")})`;
}

// The next round number at or above a value: 1, 2, 2.5, 5 times a power of ten.
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]) if (step * power >= value * (1 - 1e-9)) return step * power;
  return 10 * power;
}

export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
