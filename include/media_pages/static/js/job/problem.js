// @ts-check
/** Why the job has failed, in words, and what to do. */

import { attribute, h, write } from "../dom.js";
import { has, t } from "../i18n.js";
import { icon } from "../icons.js";
import { airflowLink, setAirflow } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** @returns {import("./parts.js").Section} */
export function problemSection() {
  const heading = h("h2", { id: "problem-heading" });
  const said = h("p", { class: "problem-said break" });
  const advice = h("p", { class: "problem-advice" });
  const again = h("p", { class: "muted" });
  const log = airflowLink("job.problem.log", { class: "button", id: "problem-log" });
  const code = h("span", { class: "tag mono" });
  const element = h(
    "section",
    { class: "job-problem", id: "problem", "aria-labelledby": "problem-heading", hidden: true },
    icon("warning"),
    h("div", { class: "problem-words" }, h("header", null, heading, code), said, h("h3", { class: "visually-hidden", dataset: { i18n: "job.problem.advice" } }, t("job.problem.advice")), advice, again),
    h("div", { class: "problem-actions" }, log),
  );

  /** @param {Job} job */
  function update(job) {
    const problem = problemOf(job);
    element.hidden = problem === null;
    if (!problem) return;
    attribute(element, "data-state", job.state);
    const key = has(`job.advice.${problem.code}`) ? problem.code : "Unknown";
    write(heading, t(`job.error.${key}`));
    write(code, problem.code);
    write(said, problem.message);
    write(advice, t(`job.advice.${key}`));
    write(again, job.state === "failed" ? t(problem.retryable ? "job.problem.retryable" : "job.problem.final") : "");
    again.hidden = job.state !== "failed";
    setAirflow(log, failedLog(job));
  }

  return { element, update };
}

/** @param {Job} job */
function problemOf(job) {
  if (job.problem) return job.problem;
  if (job.state === "cancelled") return { code: "Cancelled", message: job.error ?? "", retryable: false };
  if (job.state === "failed") return { code: "Unknown", message: job.error ?? "", retryable: false };
  return null;
}

/** The log that is most likely to say more: of the first unit that has failed, or of the first step. @param {Job} job */
function failedLog(job) {
  const failed = (/** @type {any} */ one) => one.state === "failed" && one.log_path;
  return (job.units.find(failed) ?? job.steps.find(failed))?.log_path ?? null;
}
