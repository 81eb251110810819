// @ts-check
/** The page of one job: asks how it goes, and lets each section show what is known of it. */

import { get, mount } from "../api.js";
import { h } from "../dom.js";
import { onLocale, t, use } from "../i18n.js";
import { icon } from "../icons.js";
import messages from "../messages/job.js";
import advice from "../messages/job-advice.js";
import media from "../messages/job-media.js";
import units from "../messages/job-units.js";
import { poll } from "../poll.js";
import { announce, reason, shell, showStale } from "../shell.js";
import { compareSection } from "./compare.js";
import { destinationsSection, partsSection } from "./delivery.js";
import { filesSection, relatedSection } from "./files.js";
import { flowSection } from "./flow.js";
import { headSection } from "./head.js";
import { ladderSection } from "./ladder.js";
import { liveSection } from "./live.js";
import { playerSection } from "./player.js";
import { problemSection } from "./problem.js";
import { sourceSection } from "./source.js";
import { thumbnailsSection } from "./thumbnails.js";
import { unitsSection } from "./units.js";

/** @typedef {import("./parts.js").Job} Job */
/** @typedef {import("./parts.js").Section} Section */

/** Seconds between two questions: while something moves, and afterwards (another attempt may be started elsewhere). */
const SECONDS = { queued: 3, running: 2, done: 30, failed: 15, cancelled: 15 };

for (const words of [messages, units, media, advice]) use(words);
shell("job");

const [dag = "", run = ""] = location.pathname.slice(mount.pathname.length).split("/").slice(1).map(decodeURIComponent);
const path = `data/jobs/${encodeURIComponent(dag)}/${encodeURIComponent(run)}`;
const main = /** @type {HTMLElement} */ (document.querySelector("#main"));

/** @type {Job | null} */
let job = null;
/** @type {Section[] | null} */
let sections = null;
/** @type {any} what the first answer was, where it was none */
let refusal = null;

function showLoading() {
  main.setAttribute("aria-busy", "true");
  main.replaceChildren(
    h("h1", { class: "visually-hidden" }, t("job.title")),
    h("p", { class: "visually-hidden", role: "status" }, t("common.loading")),
    h("div", { class: "job-loading", "aria-hidden": "true" }, ["44%", "70%", "100%", "100%"].map((width) => h("div", { class: "skeleton", style: { width } }))),
  );
}

/** @param {Job} first */
function build(first) {
  const head = headSection({ refresh: () => polling.now() });
  const player = playerSection();
  const work = [liveSection(), unitsSection(), partsSection(), flowSection()];
  const result = [player, compareSection(), thumbnailsSection(player), ladderSection()];
  // Of what is done people want to see the result. Later on nothing moves: it would stop the film.
  const column = [...(first.state === "done" ? [...result, ...work] : [...work, ...result]), relatedSection()];
  const side = [destinationsSection(), sourceSection(), filesSection()];
  const problem = problemSection();
  main.removeAttribute("aria-busy");
  main.replaceChildren(
    head.element,
    problem.element,
    h("div", { class: "job-columns" }, h("div", { class: "job-column" }, column.map((one) => one.element)), h("div", { class: "job-side" }, side.map((one) => one.element))),
  );
  return [head, problem, ...column, ...side];
}

/** @param {Job} next */
function show(next) {
  const before = job;
  job = next;
  refusal = null;
  sections ??= build(next);
  for (const section of sections) section.update(next);
  const progress = next.state === "running" && next.progress !== null ? `${next.progress} % · ` : "";
  document.title = `${progress}${next.title.split("/").pop() || next.title} – ${t("common.product")}`;
  if (before && before.state !== next.state) announce(t("job.announce", { state: t(`common.state.${next.state}`) }));
}

/** There is nothing to show, and why. @param {any} error */
function showRefusal(error) {
  refusal = error;
  job = null;
  sections = null;
  const kind = { 403: "forbidden", 404: "unknown", 422: "foreign" }[/** @type {403 | 404 | 422} */ (error.status)] ?? "failed";
  const again = h("button", { type: "button", class: "button", on: { click: () => polling.now() } }, icon("retry"), t("common.again"));
  const jobs = h("a", { class: "button", href: mount.href }, icon("jobs"), t("job.toJobs"));
  main.removeAttribute("aria-busy");
  main.replaceChildren(
    h(
      "div",
      { class: "empty", id: "refusal", dataset: { kind } },
      icon(kind === "foreign" ? "film" : "warning"),
      h("h1", null, t(`job.refused.${kind}`)),
      h("p", null, kind === "failed" ? reason(error) : t(`job.refused.${kind}.text`)),
      kind === "failed" ? again : jobs,
    ),
  );
}

showLoading();

const polling = poll(async (signal) => show(await get(path, { signal })), {
  seconds: () => SECONDS[/** @type {keyof typeof SECONDS} */ (job?.state)] ?? 10,
  onState: (state) => {
    const status = /** @type {any} */ (state.error)?.status;
    const refused = state.stale && [403, 404, 422].includes(status);
    showStale(refused || !job ? { ...state, stale: false } : state);
    // Once something is shown, an answer that fails leaves it there; that the run is gone does not.
    if (state.stale && (refused || (!job && status !== 401)) && refusal?.status !== status) showRefusal(state.error);
  },
});

onLocale(() => {
  if (job) show(job);
  else if (refusal) showRefusal(refusal);
});
