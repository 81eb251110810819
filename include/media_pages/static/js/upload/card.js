// @ts-check
/** One upload of the list. */

import { mount } from "../api.js";
import { attribute, find, h, write } from "../dom.js";
import { bytes, duration, locale, percent, t } from "../i18n.js";
import { icon } from "../icons.js";
import { destinations, drawDestinations } from "./destinations.js";
import { drawStrip, strip } from "./parts.js";
import { explain } from "./words.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {"pause" | "resume" | "again" | "abort" | "dismiss"} Action */

/** @type {Record<import("./transfer.js").TransferState, {state: string, actions: Action[]}>} */
const LOOKS = {
  queued: { state: "queued", actions: ["abort"] },
  sending: { state: "running", actions: ["pause", "abort"] },
  paused: { state: "cancelled", actions: ["resume", "abort"] },
  absent: { state: "cancelled", actions: ["resume", "abort"] },
  stopped: { state: "failed", actions: ["again", "abort"] },
  sent: { state: "running", actions: [] },
  over: { state: "done", actions: ["dismiss"] },
  gone: { state: "cancelled", actions: ["dismiss"] },
};
const ICONS = /** @type {const} */ ({ pause: "pause", resume: "play", again: "retry", abort: "close", dismiss: "check" });

/** @type {Partial<Record<Action, string>>} */
const CLASSES = { abort: "button quiet", resume: "button primary", again: "button primary" };

/** @param {(action: Action, transfer: Transfer) => void} act @param {Transfer} transfer */
export function makeCard(act, transfer) {
  const actions = h("div", {
    class: "card-actions",
    on: {
      click: (/** @type {MouseEvent} */ event) => {
        const button = event.target instanceof Element ? event.target.closest("button") : null;
        if (button) act(/** @type {Action} */ (button.dataset.action), transfer);
      },
    },
  });
  return h(
    "li",
    { class: "card transfer" },
    h(
      "header",
      null,
      icon("film"),
      h("div", { class: "about" }, h("h3", { class: "break" }, transfer.record.name), h("p", { class: "muted facts-line" })),
      h("span", { class: "badge" }),
    ),
    strip(),
    h("p", { class: "far number muted" }),
    h("p", { class: "note", role: "status" }),
    destinations(),
    h("footer", null, h("a", { class: "job" }), actions),
  );
}

/** @param {any} card @param {Transfer} transfer */
export function drawCard(card, transfer) {
  const { record, upload, state } = transfer;
  const failed = state === "over" && upload.destinations.some((/** @type {any} */ at) => at.status === "failed");
  const look = LOOKS[state];
  card.dataset.state = failed ? "failed" : look.state;
  const badge = find("header .badge", card);
  attribute(badge, "data-state", card.dataset.state);
  write(badge, t(failed ? "upload.state.failed" : `upload.state.${state}`));
  const to = record.fields.destinations.map((type) => t(`upload.to.${type}`)).join(", ");
  write(find(".facts-line", card), `${bytes(record.size)} · ${record.atom} · ${to}`);
  const parts = find(".parts", card);
  parts.hidden = !upload || state === "over" || state === "gone";
  if (!parts.hidden) drawStrip(parts, upload, transfer.uploader?.sent ?? new Map());
  const far = find(":scope > .far", card);
  write(far, howFar(transfer));
  far.hidden = !far.textContent;
  drawActions(find(".card-actions", card), look.actions);
  drawNote(find(".note", card), transfer);
  const places = find(".destinations", card);
  places.hidden = !upload || state === "gone" || !(record.sent || upload.destinations.some((/** @type {any} */ at) => at.status !== "waiting"));
  if (!places.hidden) drawDestinations(places, upload.destinations);
  const job = find(".job", card);
  job.hidden = !transfer.jobPath || state === "gone";
  if (!job.hidden) {
    attribute(job, "href", new URL(/** @type {string} */ (transfer.jobPath), mount).href);
    write(job, t("upload.job"));
  }
}

/** @param {Transfer} transfer */
function howFar(transfer) {
  const { record, state } = transfer;
  if (state === "queued" && !transfer.bytes) return t("upload.turn");
  if (!["sending", "paused", "stopped", "queued", "absent"].includes(state)) return "";
  const words = [percent((100 * transfer.bytes) / record.size), t("upload.of", { sent: bytes(transfer.bytes), size: bytes(record.size) })];
  const rate = state === "sending" ? transfer.speed.rate() : null;
  if (rate !== null) words.push(t("upload.rate", { rate: bytes(rate) }));
  if (transfer.left !== null) words.push(t("upload.left", { time: duration(Math.ceil(transfer.left)) }));
  return words.join(" · ");
}

/** @param {HTMLElement} place @param {Action[]} actions */
function drawActions(place, actions) {
  const wanted = `${actions.join()} ${locale()}`;
  if (place.dataset.now === wanted) return;
  place.dataset.now = wanted;
  const hadFocus = place.contains(document.activeElement);
  place.replaceChildren(
    ...actions.map((action) =>
      h("button", { type: "button", class: CLASSES[action] ?? "button", dataset: { action } }, icon(ICONS[action]), t(`upload.action.${action}`)),
    ),
  );
  if (hadFocus) place.querySelector("button")?.focus();
}

/** Why it does not go on, or what else is to be known. @param {HTMLElement} place @param {Transfer} transfer */
function drawNote(place, transfer) {
  const { record, state, error, trouble, refused } = transfer;
  let text = "";
  let kind = "failed";
  if (refused) text = t(`upload.other.${refused}`, { name: record.name, size: bytes(record.size) });
  else if (state === "stopped") text = explain(error);
  else if (state === "sending" && trouble) {
    kind = "warning";
    text = `${explain(trouble.error)} ${t("upload.trying")}`;
  } else if (state === "absent") {
    kind = "plain";
    text = transfer.reopens ? t("upload.reopen") : t("upload.choose-again", { name: record.name });
  } else if (state === "gone") {
    kind = "plain";
    text = t("upload.gone");
  } else if (transfer.restarted && state === "sending") {
    kind = "plain";
    text = t("upload.restarted");
  }
  write(place, text);
  place.hidden = !text;
  place.dataset.kind = kind;
}
