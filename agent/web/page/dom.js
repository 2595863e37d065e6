// Elements are made here and filled as text only: names that come from outside are never markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

export function byId(id) {
  return document.getElementById(id);
}

// Writes only what differs, so that a page of a thousand nodes costs little each second.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setClass(element, name, on) {
  if (element.classList.contains(name) !== on) element.classList.toggle(name, on);
}

// Keeps one child per key in the order of the items; children are made once and then updated.
export function keyed(parent, items, keyOf, make, update) {
  parent.keyed ??= new Map();
  const before = parent.keyed;
  const now = new Map();
  let place = null;
  for (const item of items) {
    const key = keyOf(item);
    if (now.has(key)) continue;
    const child = before.get(key) ?? make(item);
    now.set(key, child);
    update(child, item);
    const next = place === null ? parent.firstChild : place.nextSibling;
    if (next !== child) parent.insertBefore(child, next);
    place = child;
  }
  for (const [key, child] of before) if (!now.has(key)) child.remove();
  parent.keyed = now;
}

export function remembered(key, otherwise) {
  try { return localStorage.getItem(`rackwatt-${key}`) ?? otherwise; } catch { return otherwise; }
}

export function remember(key, value) {
  try { localStorage.setItem(`rackwatt-${key}`, value); } catch { /* storage is denied: forgotten at the next visit */ }
}
