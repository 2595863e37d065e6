// What each reason and flag means: the daemon's own glossary, so that page and documentation say the same.

let words = {};

export async function load() {
  try {
    const answer = await fetch("page/words.json");
    if (answer.ok) words = await answer.json();
  } catch { /* the codes themselves are shown instead */ }
}

function plain(code) {
  return code.replaceAll("_", " ");
}

export function reason(code) {
  const meaning = words.Invalid?.[code];
  return meaning ? `${plain(code)}: ${meaning}` : plain(code);
}

export function flag(code) {
  const meaning = words.Flag?.[code];
  return meaning ? `${plain(code)}: ${meaning}` : plain(code);
}

export function meaning(kind, code) {
  return words[kind]?.[code] ?? "";
}

export function short(codes) {
  return codes.map(plain).join(", ");
}

export function boundary(name) {
  return words.Boundary?.[name] ?? "";
}
