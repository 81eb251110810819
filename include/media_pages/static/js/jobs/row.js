// @ts-check
/** One job as a row of the table; the same elements are a card on a narrow screen. */

import { jobPath, shortName } from "../actions.js";
import { mount } from "../api.js";
import { attribute, find, h, write } from "../dom.js";
import { airflowPath } from "../frame.js";
import { bitRate, duration, number, percent, t } from "../i18n.js";
import { icon } from "../icons.js";
import { refreshTimes, when } from "../when.js";

const ICONS = { transcode: "film", super_resolution: "sparkle", task: "fan", upload: "upload", folder: "folder", ingest: "inbox" };

/**
 * @param {any} job
 * @param {(job: any, action: "stop" | "retry") => void} act
 * @returns {any} the row; the roles are told again because a card is no table for the browser
 */
export function makeRow(job, act) {
  const button = (/** @type {"stop" | "retry"} */ action) =>
    h("button", { type: "button", class: "button quiet icon-only", dataset: { action }, on: { click: () => act(row.job, action) } }, icon(action));
  const row = h(
    "tr",
    { role: "row", class: "job" },
    h(
      "th",
      { role: "rowheader", scope: "row", class: "cell-job" },
      h(
        "div",
        { class: "subject" },
        h("span", { class: "kind" }, icon(ICONS[job.kind] ?? "file")),
        h("div", { class: "names" }, h("a", { class: "title break" }), h("div", { class: "to muted break" }), h("div", { class: "why break" })),
      ),
    ),
    h("td", { role: "cell", class: "cell-kind muted" }),
    h("td", { role: "cell", class: "cell-state" }, h("span", { class: "badge" })),
    h("td", { role: "cell", class: "cell-progress" }, h("progress", { class: "bar", max: 100 }), h("span", { class: "rate number" })),
    h("td", { role: "cell", class: "cell-from" }, h("span", { class: "break" }), h("span", { class: "muted break" })),
    h("td", { role: "cell", class: "cell-when number" }, when(job.created_at)),
    h("td", { role: "cell", class: "cell-actions" }, h("div", null, button("stop"), button("retry"), h("a", { class: "button quiet icon-only", dataset: { action: "airflow" } }, icon("airflow")))),
  );
  return row;
}

/** Say what has changed, and nothing else. @param {any} row @param {any} job */
export function updateRow(row, job) {
  row.job = job;
  const name = shortName(job.title);
  attribute(row, "data-state", job.state);
  title(find(".title", row), job, name);
  write(find(".to", row), job.destination ? `→\u00a0${job.destination}` : "");
  write(find(".why", row), job.state === "failed" ? (job.error ?? "") : "");
  write(find(".cell-kind", row), t(`common.kind.${job.kind}`));
  const badge = find(".badge", row);
  attribute(badge, "data-state", job.state);
  write(badge, t(`common.state.${job.state}`));
  progress(row, job, name);
  const [provider, client] = find(".cell-from", row).children;
  write(provider, job.content_provider ?? job.client ?? "");
  write(client, job.content_provider && job.client ? t("jobs.by", { client: job.client }) : "");
  refreshTimes(row);
  actions(row, job, name);
}

/** @param {any} link @param {any} job @param {string} name */
function title(link, job, name) {
  attribute(link, "href", new URL(jobPath(job), mount).href);
  if (link.textContent === job.title) return;
  const at = job.title.lastIndexOf(name);
  link.replaceChildren(h("span", { class: "folder" }, job.title.slice(0, at)), h("span", { class: "name" }, job.title.slice(at)));
}

/** @param {any} row @param {any} job @param {string} name */
function progress(row, job, name) {
  const bar = find(".bar", row);
  // How far a job came that has ended early is worth a bar; that a finished one came to its end is not.
  bar.hidden = Boolean(job.live) || (job.state !== "running" && !(job.progress && ["failed", "cancelled"].includes(job.state)));
  attribute(bar, "aria-label", t("jobs.progressOf", { name }));
  attribute(bar, "data-state", job.state);
  // Without a value it is not known how far; that is no 0 percent.
  attribute(bar, "value", job.progress);
  write(find(".rate", row), facts(job).map(whole).join(" · "));
}

/** A text that is not broken into lines. @param {string} text */
const whole = (text) => text.replaceAll(" ", "\u00a0");

/** What is known of how it goes. @param {any} job @returns {string[]} */
function facts(job) {
  const said = [];
  const now = Date.now();
  const since = (/** @type {string} */ from, /** @type {string | number} */ to) => duration((new Date(to).getTime() - new Date(from).getTime()) / 1000);
  if (job.live) {
    said.push(t("jobs.onAir", { time: duration(job.live.seconds) }));
    if (job.live.bit_rate) said.push(bitRate(job.live.bit_rate));
    if (job.live.dropped) said.push(t("jobs.dropped", { count: job.live.dropped }));
  } else if (job.state === "queued") {
    said.push(t("jobs.waits", { time: since(job.created_at, now) }));
  } else if (job.state === "running") {
    if (job.progress !== null && job.progress !== undefined) said.push(percent(job.progress));
    if (job.fps) said.push(t("common.fps", { value: number(job.fps, { maximumFractionDigits: job.fps < 100 ? 1 : 0 }) }));
    if (job.started_at) said.push(since(job.started_at, now));
  } else if (job.started_at && job.ended_at) {
    said.push(t(job.state === "done" ? "jobs.took" : "jobs.after", { time: since(job.started_at, job.ended_at) }));
  }
  return said;
}

/** @param {any} row @param {any} job @param {string} name */
function actions(row, job, name) {
  for (const [action, may] of [["stop", job.can_stop], ["retry", job.can_retry]]) {
    const button = find(`[data-action=${action}]`, row);
    label(button, t(`jobs.${action}`, { name }), t(`common.${action}`));
    if (button.hidden === !may) continue;
    const had = button === document.activeElement;
    button.hidden = !may;
    // Whoever pressed it goes on from the same job.
    if (had && !may) find(".title", row).focus({ preventScroll: true });
  }
  const link = find("[data-action=airflow]", row);
  label(link, t("jobs.airflow", { name }), t("common.openInAirflow"));
  attribute(link, "href", airflowPath(job.run_path));
  attribute(link, "data-airflow", job.run_path);
}

/** @param {any} element @param {string} name @param {string} tip */
function label(element, name, tip) {
  attribute(element, "aria-label", name);
  attribute(element, "title", tip);
}
