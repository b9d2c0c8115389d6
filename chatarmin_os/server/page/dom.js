// Building and updating nodes, and texts of values. Data is shown as text, never as HTML.

const MAX_JSON_CHARACTERS = 20_000;
const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** Return a new element: `make("p.quiet", "text", node)`. */
export function make(selector, ...children) {
  const [tag, ...classes] = selector.split(".");
  const node = document.createElement(tag);
  node.className = classes.join(" ");
  node.append(...children.filter((child) => child !== null && child !== undefined).map(visible));
  return node;
}

/** Return a new element of SVG: `draw("line", { x1: 0 })`. */
export function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.map(visible));
  return node;
}

/** Return a button that runs an action, once at a time. A disabled one would lose the focus. */
export function button(text, action, classes = "") {
  const node = make(`button.small${classes}`, text);
  node.type = "button";
  node.addEventListener("click", async () => {
    if (node.ariaDisabled === "true") return;
    node.ariaDisabled = "true";
    await action();
    node.ariaDisabled = "false";
  });
  return node;
}

/** Draw; if the element with the focus is gone then, move the focus to the heading of its section. */
export function keepingFocus(drawNow) {
  const section = document.activeElement.closest("main section");
  const focused = document.activeElement;
  drawNow();
  if (section && !(focused.isConnected && focused.checkVisibility())) focusOn(section.querySelector("h2"));
}

/** Move the focus to a heading, where a reader of the screen goes on. */
export function focusOn(heading) {
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

/** Return a link within the page. */
export function link(selector, href, ...children) {
  const node = make(selector, ...children);
  node.href = href;
  return node;
}

/** Return an element with a name that may be cut on the screen; its title has the whole name. */
export function named(selector, name, href) {
  const node = href ? link(selector, href, name) : make(selector, name);
  node.title = name;
  return node;
}

/** Return the items of a description list; those without a value are left out. */
export function terms(pairs) {
  return pairs.flatMap(([name, value]) => (value ? [make("dt", name), make("dd", value)] : []));
}

/** Show one node for each item, in their order; nodes that exist stay, with their focus and whether they are open. */
export function show(list, items, keyOf, create, update) {
  list.shown ??= new Map();
  const keys = new Set(items.map(keyOf));
  for (const [key, { node }] of list.shown) {
    if (!keys.has(key)) {
      node.remove();
      list.shown.delete(key);
    }
  }
  let next = list.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let kept = list.shown.get(key);
    if (!kept) {
      kept = { node: create(item), content: null };
      list.shown.set(key, kept);
    }
    const content = JSON.stringify(item);
    if (content !== kept.content) {
      kept.content = content;
      update(kept.node, item);
    }
    if (kept.node === next) next = next.nextElementSibling;
    else list.insertBefore(kept.node, next);
  }
}

/** Remove the nodes of a list. */
export function clear(list) {
  list.replaceChildren();
  list.shown = new Map();
}

/** Offer these values in a select, and keep the chosen one. */
export function offer(select, options) {
  const offered = JSON.stringify(options);
  if (select.offered === offered) return;
  select.offered = offered;
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => Object.assign(make("option", text), { value })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // would turn the text after them around

/** Return text with its marks of direction written out; a node stays. */
export function visible(value) {
  return typeof value === "string" ? value.replace(DIRECTIONS, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`) : value;
}

export function json(value) {
  const text = visible(JSON.stringify(value, null, 2) ?? "nothing");
  return text.length > MAX_JSON_CHARACTERS ? `${text.slice(0, MAX_JSON_CHARACTERS)}\n… and ${text.length - MAX_JSON_CHARACTERS} characters more` : text;
}

/** Return minor units of a currency as text. */
export function money(minor, currency) {
  if (!currency) return String(minor);
  try {
    const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch {
    return `${minor} ${currency}`;
  }
}

const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 6 });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exactMoments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const amount = (number) => numbers.format(number);
export const bound = (number) => (number === null ? "none" : amount(number));
export const moment = (text) => moments.format(new Date(text));
export const exactMoment = (text) => exactMoments.format(new Date(text));

/** Return a time element. */
export function time(text) {
  const node = make("time", exactMoment(text));
  node.dateTime = text;
  return node;
}
