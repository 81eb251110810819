// @ts-check
/** Where the job delivers to, and the parts in which an upload comes. */

import { attribute, h, keyed, write } from "../dom.js";
import { bytes, has, percent, t } from "../i18n.js";
import { badge, card, isNumber, setBadge } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** The contracts' words for how it goes with a destination, as states of ours. @type {Record<string, string>} */
const STATES = {
  waiting: "waiting", upload: "running", transcoding: "running", complete: "done", failed: "failed",
  PENDING: "waiting", RUNNING: "running", SUCCESS: "done", FAILED: "failed", CANCELLED: "cancelled",
  sending: "running", retrying: "running", done: "done",
};

const NAMES = { youtube: "YouTube", s3Bucket: "Amazon S3" };

/** @returns {import("./parts.js").Section} */
export function destinationsSection() {
  const list = h("ul", { class: "destinations" });
  const element = card("destinations", [list]);

  /** @param {Job} job */
  function update(job) {
    element.hidden = !job.destinations.length;
    const items = job.destinations.map((/** @type {any} */ one, /** @type {number} */ at) => ({ ...one, at }));
    keyed(list, items, (one) => `${one.at} ${one.name}`, makeDestination, changeDestination);
  }

  return { element, update };
}

const makeDestination = () =>
  h("li", null, h("div", { class: "destination-head" }, h("strong", { class: "break" }), badge("waiting")), h("progress", { class: "bar", max: 100 }), h("p", { class: "muted break" }), h("p", { class: "failure break" }));

/** @param {HTMLElement} row @param {any} one a Destination */
function changeDestination(row, one) {
  const [head, bar, details, error] = /** @type {HTMLElement[]} */ ([...row.children]);
  const state = STATES[one.status] ?? "waiting";
  const name = NAMES[/** @type {keyof typeof NAMES} */ (one.name)] ?? one.name;
  write(head.children[0], name);
  setBadge(/** @type {HTMLElement} */ (head.children[1]), state, has(`job.status.${one.status}`) ? t(`job.status.${one.status}`) : one.status);
  const moving = state === "running" && isNumber(one.progress);
  bar.hidden = !moving;
  bar.dataset.state = state;
  attribute(bar, "value", moving ? one.progress : null);
  attribute(bar, "aria-label", t("job.destination.progress", { name }));
  write(details, [moving ? percent(one.progress) : null, one.details].filter(Boolean).join(" · "));
  details.hidden = !details.textContent;
  error.hidden = !one.error;
  write(error, one.error ?? "");
}

/** Cells for more parts than this would be too small to see. */
const CELLS = 400;

/** @returns {import("./parts.js").Section} */
export function partsSection() {
  const summary = h("p", { id: "parts-summary" });
  const cells = h("div", { class: "parts", role: "img", "aria-labelledby": "parts-summary" });
  const failures = h("ul", { class: "failures" });
  const element = card("parts", [summary, cells, failures]);

  /** @param {Job} job */
  function update(job) {
    element.hidden = !job.parts.length;
    if (!job.parts.length) return;
    const complete = job.parts.filter((/** @type {any} */ one) => one.complete);
    const size = (/** @type {any[]} */ parts) => bytes(parts.reduce((sum, one) => sum + one.bytes, 0));
    write(summary, t("job.parts.summary", { done: complete.length, count: job.parts.length, bytes: size(complete), all: size(job.parts) }));
    cells.hidden = job.parts.length > CELLS;
    keyed(cells, cells.hidden ? [] : job.parts, (one) => `${one.index}`, () => h("span", null), (cell, one) => attribute(cell, "data-state", one.complete ? "done" : one.error ? "failed" : "waiting"));
    const failed = job.parts.filter((/** @type {any} */ one) => one.error);
    failures.hidden = !failed.length;
    keyed(failures, failed, (one) => `${one.index}`, () => h("li", { class: "failure break" }), (row, one) => write(row, one.error));
  }

  return { element, update };
}
