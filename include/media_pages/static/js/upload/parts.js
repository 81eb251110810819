// @ts-check
/** The parts of an upload as a strip: which have arrived, which are on their way. */

import { attribute, h, keyed } from "../dom.js";
import { t } from "../i18n.js";

const MOST_CELLS = 100;

/** @typedef {{state: "waiting" | "running" | "sent" | "done" | "failed", share: number}} Cell */

/**
 * @param {{start: number, end: number, complete: boolean, error?: string}[]} parts
 * @param {Map<number, number>} sent bytes of each part that have left
 * @returns {Cell[]} one a part, or one for several neighbours where there are many
 */
export function cellsOf(parts, sent) {
  const each = Math.ceil(parts.length / MOST_CELLS);
  const cells = [];
  for (let from = 0; from < parts.length; from += each) {
    const group = parts.slice(from, from + each);
    const size = group[group.length - 1].end - group[0].start;
    const left = group.reduce((sum, part, n) => sum + (part.complete ? part.end - part.start : (sent.get(from + n) ?? 0)), 0);
    cells.push({ state: stateOf(group, left, size), share: left / size });
  }
  return cells;
}

/** @param {any[]} group @param {number} left @param {number} size @returns {Cell["state"]} */
function stateOf(group, left, size) {
  if (group.some((part) => part.error)) return "failed";
  if (group.every((part) => part.complete)) return "done";
  if (left >= size) return "sent";
  return left > 0 ? "running" : "waiting";
}

/** @returns {HTMLElement} */
export const strip = () => h("div", { class: "parts", role: "img" });

/**
 * @param {HTMLElement} element of {@link strip}
 * @param {any} upload as the API tells it
 * @param {Map<number, number>} sent
 */
export function drawStrip(element, upload, sent) {
  const cells = cellsOf(upload.parts, sent).map((cell, n) => ({ ...cell, n }));
  keyed(element, cells, (cell) => String(cell.n), () => h("span", { class: "part" }), (part, cell) => {
    attribute(part, "data-state", cell.state);
    part.style.setProperty("--share", `${Math.round(cell.share * 100)}%`);
  });
  const arrived = upload.parts.filter((part) => part.complete).length;
  attribute(element, "aria-label", t("upload.parts", { arrived, count: upload.parts.length }));
}
