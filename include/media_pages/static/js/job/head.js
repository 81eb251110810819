// @ts-check
/** The top of the page: what the job is, how far it is, and what can be done to it. */

import { act } from "../actions.js";
import { attribute, h, write } from "../dom.js";
import { duration, number, percent, t, time } from "../i18n.js";
import { icon } from "../icons.js";
import { airflowLink, badge, isNumber, label, setAirflow, setBadge, setFacts, span } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

const ICONS = { transcode: "film", super_resolution: "sparkle", task: "fan", upload: "upload", folder: "folder", ingest: "inbox" };

/**
 * @param {{refresh: () => Promise<void>}} options `refresh` asks how the job goes
 * @returns {import("./parts.js").Section}
 */
export function headSection({ refresh }) {
  const folder = h("span", { class: "job-folder" });
  const name = h("span", { class: "job-name" });
  const title = h("h1", { tabindex: "-1", class: "break" }, folder, name);
  const state = badge("queued");
  const kind = h("span", { class: "job-kind" });
  const airflow = airflowLink("common.openInAirflow", { class: "button", id: "airflow" });
  const stop = action("stop", "stop");
  const retry = action("retry", "retry");
  const bar = h("progress", { class: "bar", max: 100, dataset: { i18nAttr: "aria-label:common.progress" }, "aria-label": t("common.progress") });
  const done = h("strong", { class: "number", id: "progress" });
  const pace = h("span", { class: "muted number", id: "pace" });
  const going = h("div", { class: "job-progress" }, bar, h("p", null, done, pace));
  const facts = h("dl", { class: "job-facts" });
  const element = h(
    "div",
    { class: "job-head" },
    h("div", { class: "page-head" }, h("div", { class: "job-title" }, h("p", { class: "job-line" }, kind, state), title), h("div", { class: "actions" }, airflow, stop, retry)),
    going,
    facts,
  );
  /** @type {Job | null} */
  let job = null;

  /** @param {"stop" | "retry"} what @param {string} drawing */
  function action(what, drawing) {
    return h("button", { type: "button", class: what === "stop" ? "button" : "button primary", id: what, hidden: true, on: { click: () => press(what) } }, icon(drawing), label("span", `common.${what}`));
  }

  /** @param {"stop" | "retry"} what */
  async function press(what) {
    const button = what === "stop" ? stop : retry;
    if (!job || button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      // The answer only says that it was taken: what becomes of it is asked for, also where somebody else was faster.
      if ((await act(/** @type {any} */ (job), what)) !== false) await refresh();
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  /** Hide a button; where it had the focus, the heading gets it. @param {HTMLElement} button @param {boolean} shown */
  function offer(button, shown) {
    if (!shown && document.activeElement === button) title.focus({ preventScroll: true });
    button.hidden = !shown;
  }

  /** @param {Job} next */
  function update(next) {
    job = next;
    const cut = next.title.replace(/\/+$/, "").lastIndexOf("/") + 1;
    write(folder, next.title.slice(0, cut));
    write(name, next.title.slice(cut));
    setBadge(state, next.state, t(`common.state.${next.state}`));
    if (kind.dataset.kind !== next.kind) {
      kind.dataset.kind = next.kind;
      kind.replaceChildren(icon(ICONS[/** @type {keyof typeof ICONS} */ (next.kind)]), h("span", null));
    }
    write(kind.lastElementChild, t(`common.kind.${next.kind}`));
    setAirflow(airflow, next.run_path);
    offer(stop, next.can_stop);
    offer(retry, next.can_retry);
    retry.classList.toggle("primary", next.problem?.retryable !== false);
    showProgress(next);
    setFacts(facts, [
      ["job.fact.destination", next.destination],
      ["job.fact.client", next.client],
      ["job.fact.provider", next.content_provider],
      ["job.fact.created", time(next.created_at)],
      ["job.fact.ended", next.ended_at && time(next.ended_at)],
      ["job.fact.took", next.ended_at && next.started_at && duration(span(next.started_at, next.ended_at) ?? 0)],
      ["job.fact.cpu", isNumber(next.cpu_seconds) && duration(next.cpu_seconds)],
    ]);
  }

  /** @param {Job} next */
  function showProgress(next) {
    const known = isNumber(next.progress) && !next.live;
    going.hidden = next.state === "done" || (!known && next.state !== "running") || (next.state === "queued" && !next.progress);
    // A stream has no end that it could be near to.
    bar.hidden = Boolean(next.live);
    bar.dataset.state = next.state;
    // Without a value it moves to and fro; with the same one again nothing is told to screen readers.
    attribute(bar, "value", known ? next.progress : null);
    write(done, known ? percent(next.progress) : "");
    const words = [];
    if (next.state === "running" && isNumber(next.fps)) words.push(t("common.fps", { value: number(next.fps, { maximumFractionDigits: 1 }) }));
    const since = next.state === "running" ? span(next.started_at) : null;
    if (since !== null) words.push(t("job.since", { time: duration(since) }));
    write(pace, words.join(" · "));
  }

  return { element, update };
}
