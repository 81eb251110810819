// @ts-check
/** Times that stay true while one looks: `3 minutes ago`, and the exact one beneath. */

import { h, write } from "./dom.js";
import { ago, brief, time } from "./i18n.js";

/** @param {string} iso @returns {HTMLElement} */
export function when(iso) {
  const element = h("span", { class: "when", dataset: { when: iso } }, h("span", null), h("time", { datetime: iso, class: "muted number" }));
  refresh(element);
  return element;
}

/** @param {any} element */
function refresh(element) {
  const iso = element.dataset.when;
  write(element.firstChild, ago(iso));
  write(element.lastChild, brief(iso));
  element.lastChild.title = time(iso);
}

/** Write all times anew. @param {ParentNode} root */
export function refreshTimes(root = document) {
  for (const element of root.querySelectorAll("[data-when]")) refresh(element);
}
