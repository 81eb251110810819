// @ts-check
/** The flow: one row a step, with where in the run's time it lay. */

import { attribute, h, keyed, write } from "../dom.js";
import { duration, has, t, time } from "../i18n.js";
import { airflowLink, badge, card, setAirflow, setBadge, span } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** @returns {import("./parts.js").Section} */
export function flowSection() {
  const list = h("ol", { class: "flow" });
  const element = card("flow", [list]);

  /** @param {Job} job */
  function update(job) {
    element.hidden = !job.steps.length;
    const times = job.steps.flatMap((/** @type {any} */ step) => [step.started_at, step.ended_at]).filter(Boolean).map((/** @type {string} */ at) => new Date(at).getTime());
    const moving = job.steps.some((/** @type {any} */ step) => step.state === "running");
    const from = Math.min(...times);
    const to = Math.max(...times, moving ? Date.now() : -Infinity);
    keyed(list, job.steps, (step) => step.name, make, (row, step) => change(row, step, from, Math.max(to - from, 1)));
  }

  return { element, update };
}

/** @param {any} step */
function make(step) {
  return h(
    "li",
    { class: "step", dataset: { step: step.name } },
    h("div", { class: "step-name" }, h("strong", null), h("span", { class: "muted" })),
    badge(step.state),
    h("div", { class: "step-time", "aria-hidden": "true" }, h("div", { class: "step-bar" })),
    h("span", { class: "step-took number" }),
    airflowLink("job.log", { class: "step-log" }),
  );
}

/** @param {HTMLElement} row @param {any} step @param {number} from @param {number} length of the whole flow, milliseconds */
function change(row, step, from, length) {
  const [names, state, place, took, log] = /** @type {HTMLElement[]} */ ([...row.children]);
  attribute(row, "data-state", step.state);
  const known = `job.step.${step.name}`;
  write(names.children[0], has(known) ? t(known) : step.name);
  const detail = step.units !== null ? t("job.step.units", { done: step.units_done ?? 0, count: step.units }) : has(`${known}.text`) ? t(`${known}.text`) : "";
  write(names.children[1], detail);
  setBadge(state, step.state, t(`job.state.${step.state}`));
  const seconds = step.state === "waiting" || step.state === "skipped" ? null : span(step.started_at, step.ended_at);
  write(took, seconds === null || (!step.ended_at && step.state !== "running") ? "" : duration(seconds));
  attribute(took, "title", step.started_at && (step.ended_at ? t("job.step.when", { start: time(step.started_at), end: time(step.ended_at) }) : t("job.step.begun", { start: time(step.started_at) })));
  const bar = /** @type {HTMLElement} */ (place.firstElementChild);
  bar.hidden = seconds === null;
  if (seconds !== null) {
    const start = new Date(step.started_at).getTime() - from;
    bar.style.setProperty("--from", String(Math.min(1, start / length)));
    bar.style.setProperty("--length", String(Math.min(1, (seconds * 1000) / length)));
  }
  setAirflow(log, step.log_path);
  // "Log" alone says nothing in a list of links.
  attribute(log, "aria-label", t("job.log.of", { name: names.children[0].textContent ?? step.name }));
}
