// @ts-check
/** Elements, made and kept. Data become text nodes or properties, never markup. */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "g", "circle", "rect", "line", "polyline", "title"]);

/**
 * @param {string} tag
 * @param {Record<string, any> | null} [props] attributes; `on: {click: f}`, `dataset: {…}`, `style: {"--x": "1"}` (not as an
 *   attribute: the CSP forbids that), `class`; true is an attribute without value; null, undefined and false leave it out
 * @param {...any} children elements, texts, numbers, arrays of them; null, undefined and false are left out
 * @returns {any} the element
 */
export function h(tag, props, ...children) {
  const element = SVG_TAGS.has(tag) && tag !== "title" ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {any} element @param {string} name @param {any} value */
function set(element, name, value) {
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  } else if (name === "dataset") {
    for (const [key, text] of Object.entries(value)) if (text !== null && text !== undefined) element.dataset[key] = text;
  } else if (name === "style") {
    for (const [key, text] of Object.entries(value)) element.style.setProperty(key, String(text));
  } else if (name === "value" || name === "checked" || name === "selected" || name === "muted") {
    element[name] = value;
  } else if (value === true) {
    element.setAttribute(name, "");
  } else if (value !== null && value !== undefined && value !== false) {
    element.setAttribute(name, String(value));
  }
}

/** Change a text only where it differs: screen readers and selections notice. @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set, or remove where null, undefined or false. @param {Element} element @param {string} name @param {string | number | boolean | null | undefined} value */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value === true ? "" : value)) element.setAttribute(name, value === true ? "" : String(value));
}

/** @type {WeakMap<Element, Map<string, any>>} */
const kept = new WeakMap();

/**
 * Make a parent's children those of `items`, keeping the element of each key (its `data-key`): what has the focus
 * keeps it, nothing is made twice.
 * @template T
 * @param {Element} parent has no other children
 * @param {readonly T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => Element} make
 * @param {(element: any, item: T) => void} [update] called for new elements, too
 */
export function keyed(parent, items, key, make, update = () => {}) {
  const before = kept.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const name = key(item);
    if (after.has(name)) continue;
    const element = before.get(name) ?? make(item);
    element.dataset.key = name;
    update(element, item);
    after.set(name, element);
  }
  const focused = parent.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
  for (const [name, element] of before) if (!after.has(name)) element.remove();
  let place = parent.firstElementChild;
  for (const element of after.values()) {
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  kept.set(parent, after);
  // An element that was moved has lost the focus.
  if (focused && focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** @param {string} selector @param {ParentNode} [root] @returns {any} the element, which must be there */
export function find(selector, root = document) {
  const element = root.querySelector(selector);
  if (!element) throw new Error(`no element: ${selector}`);
  return element;
}
