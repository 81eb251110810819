// @ts-check
/** The page Jobs: all kinds in one list, kept true while one looks. */

import { act } from "./actions.js";
import { mount } from "./api.js";
import { attribute, find, h, keyed, write } from "./dom.js";
import { apply, onLocale, t, use } from "./i18n.js";
import { icon } from "./icons.js";
import { chips, clear, filters, suggest, wanted } from "./jobs/filters.js";
import { JobList, keyOf } from "./jobs/list.js";
import { makeRow, updateRow } from "./jobs/row.js";
import messages from "./messages/jobs.js";
import { poll } from "./poll.js";
import { announce, reason, shell, showStale, toast } from "./shell.js";
import { refreshTimes } from "./when.js";

use(messages);

const form = find("#filters");
const table = find("#jobs");
const rows = find("#rows");
const older = find("#older");
const count = find("#count");
const place = find("#place");
const list = new JobList(wanted);
let reading = new AbortController();

shell("jobs");
filters(form, changed);

const polling = poll(read, { seconds: () => list.seconds, onState: showState });

/** @param {AbortSignal} signal */
async function read(signal) {
  const was = list.asked;
  const isFirst = !list.isLoaded;
  await list.refresh(signal);
  draw();
  if (isFirst) return;
  if (was !== list.asked) announce(summary());
  else if (list.fresh.length) announce(t("jobs.new", { count: list.fresh.length }));
}

/** Other jobs are asked for: those that are shown stay, pale, until they are there. */
function changed() {
  reading.abort();
  reading = new AbortController();
  attribute(table, "aria-busy", "true");
  void polling.now();
}

function draw() {
  const held = [holdFocus(), holdPlace()];
  keyed(rows, list.jobs, keyOf, (job) => makeRow(job, change), updateRow);
  for (const hold of held) hold();
  for (const key of list.fresh) rows.querySelector(`[data-key="${CSS.escape(key)}"]`)?.classList.add("fresh");
  attribute(table, "aria-busy", null);
  find("#table").hidden = !list.jobs.length;
  older.hidden = !list.next;
  write(count, list.jobs.length ? summary() : "");
  showPlace(null);
  suggest(form, list.jobs);
}

/** When the job that has the focus leaves the list, the one in its place gets it. @returns {() => void} */
function holdFocus() {
  const row = document.activeElement?.closest("#rows > tr");
  const at = row ? [...rows.children].indexOf(row) : -1;
  return () => {
    if (!row || row.isConnected) return;
    const next = rows.children[Math.min(at, rows.children.length - 1)];
    (next?.querySelector(".title") ?? find("#main")).focus({ preventScroll: true });
  };
}

/** What one reads stays where it is when rows come above it; browsers do not do that with rows of a table. @returns {() => void} */
function holdPlace() {
  const top = (/** @type {Element} */ row) => row.getBoundingClientRect().top;
  const first = [...rows.children].find((row) => row.getBoundingClientRect().bottom > 0);
  const row = document.activeElement?.closest("#rows > tr") ?? first;
  // At the top of the list one waits for what is new.
  if (!row || scrollY === 0 || (row === rows.firstElementChild && top(row) >= 0)) return () => {};
  const before = top(row);
  return () => {
    if (row.isConnected) scrollBy({ top: top(row) - before, behavior: "instant" });
  };
}

const summary = () => t(list.next ? "jobs.shownMore" : "jobs.shown", { count: list.jobs.length });

/** What stands in the place of the table while there is nothing in it. @param {Error | null} error */
function showPlace(error) {
  const isWaiting = !list.isLoaded && !error;
  find("#loading").hidden = !isWaiting;
  place.hidden = isWaiting || list.jobs.length > 0;
  if (place.hidden) return;
  const button = (/** @type {string} */ text, /** @type {() => void} */ click) => h("button", { type: "button", class: "button", on: { click } }, text);
  const link = (/** @type {string} */ page, /** @type {string} */ text) => h("a", { class: "button", href: new URL(page, mount).href }, icon(page), text);
  const said = !list.isLoaded
    ? { drawing: "warning", title: t("jobs.failed.title"), text: reason(error), actions: [button(t("common.again"), () => void polling.now())] }
    : wanted().size
      ? { drawing: "search", title: t("jobs.noMatch.title"), text: t(list.next ? "jobs.noMatch.older" : "jobs.noMatch.text"), actions: [button(t("jobs.clear"), () => clear(form, changed))] }
      : { drawing: "jobs", title: t("jobs.none.title"), text: t("jobs.none.text"), actions: [link("upload", t("common.nav.upload")), link("new", t("common.nav.new"))] };
  if (place.dataset.said === `${said.title} ${said.text}`) return;
  place.dataset.said = `${said.title} ${said.text}`;
  place.replaceChildren(icon(said.drawing), h("h2", null, said.title), h("p", null, said.text), h("div", { class: "row" }, said.actions));
}

/** @param {import("./poll.js").PollState} state */
function showState(state) {
  if (list.isLoaded) showStale(state);
  attribute(table, "aria-busy", null);
  if (state.error) showPlace(state.error);
}

/** @param {any} job @param {"stop" | "retry"} action */
async function change(job, action) {
  const now = await act(job, action);
  if (!now) return;
  list.replace(now);
  draw();
  void polling.now();
}

older.addEventListener("click", async () => {
  if (older.getAttribute("aria-busy")) return;
  attribute(older, "aria-busy", "true");
  try {
    const came = await list.older(reading.signal);
    list.fresh = [];
    draw();
    announce(t("jobs.olderCame", { count: came.length }));
    // The button is gone at the end: go on with what it has brought.
    if (older.hidden) rows.children[list.jobs.length - came.length]?.querySelector(".title")?.focus({ preventScroll: true });
  } catch (error) {
    if (!reading.signal.aborted) toast(t("jobs.olderFailed", { reason: reason(error) }), "failed");
  }
  attribute(older, "aria-busy", null);
});

onLocale(() => {
  chips(form);
  apply(table);
  delete place.dataset.said;
  if (list.isLoaded) draw();
});
setInterval(() => refreshTimes(rows), 30_000);
