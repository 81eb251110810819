// @ts-check
/** The units over the film's length, and what is known of the one that is looked at. */

import { attribute, h, keyed, write } from "../dom.js";
import { number, t } from "../i18n.js";
import { card, label } from "./parts.js";
import { Strip } from "./strip.js";
import { STATES, counts, layout } from "./strip-layout.js";
import { UnitDetails, place, title } from "./unit-details.js";

/** @typedef {import("./parts.js").Job} Job */
/** @typedef {import("./strip-layout.js").Placed} Placed */

/** @returns {import("./parts.js").Section} */
export function unitsSection() {
  const summary = h("p", { class: "muted number" });
  const legend = h("ul", { class: "legend", dataset: { i18nAttr: "aria-label:job.units.legend" }, "aria-label": t("job.units.legend") });
  const details = new UnitDetails();
  const strip = new Strip({ look: (placed) => details.show(placed) });
  const unplaced = label("p", "job.units.unplaced", { class: "muted note", hidden: true });
  const body = h("tbody", null);
  const all = h(
    "details",
    { class: "units-all", on: { toggle: () => draw() } },
    h("summary", null, label("span", "job.units.table")),
    h("div", { class: "table-wrap units-table", tabindex: "0", role: "region", dataset: { i18nAttr: "aria-label:job.units.table" }, "aria-label": t("job.units.table") },
      h("table", { class: "table" },
        h("thead", null, h("tr", null, ["unit", "state", "place", "frames", "fps", "attempt", "error"].map((key) => label("th", `job.unit.${key}`, { scope: "col" })))), body)),
  );
  const element = card("units", [legend, strip.element, unplaced, details.element, all], summary);
  /** @type {Placed[]} */
  let placed = [];
  let looked = false;

  /** @param {Job} job */
  function update(job) {
    const found = layout(job.units, job.source?.seconds);
    placed = found.tracks.flatMap((track) => track.placed);
    element.hidden = !placed.length;
    const units = placed.map((one) => one.unit);
    const count = counts(units);
    write(summary, t("job.units.summary", { done: count.done + count.reused, count: units.length }));
    const states = STATES.filter((state) => count[state] || state !== "reused");
    keyed(legend, states, (state) => state, makeEntry, (entry, state) => changeEntry(entry, state, count[state]));
    strip.update(found);
    unplaced.hidden = found.seconds !== null;
    // What went wrong is what people come to see.
    if (!looked && job.state === "failed" && count.failed) strip.choose(placed.find((one) => one.unit.state === "failed"));
    looked = true;
    draw();
  }

  /** @param {string} state */
  function makeEntry(state) {
    return h("li", null, h("button", { type: "button", class: "legend-entry", dataset: { state }, on: { click: () => strip.next(state) } }, h("span", { class: "swatch", "aria-hidden": "true" }), h("span", null), h("strong", { class: "number" })));
  }

  /** @param {HTMLElement} entry @param {string} state @param {number} count */
  function changeEntry(entry, state, count) {
    const button = /** @type {HTMLElement} */ (entry.firstElementChild);
    write(button.children[1], t(`job.unit.state.${state}`));
    write(button.children[2], number(count));
    attribute(button, "aria-label", t("job.units.next", { state: t(`job.unit.state.${state}`), count }));
    attribute(button, "aria-disabled", count ? null : "true");
  }

  /** The table is made only where it is open: it may have a thousand rows. */
  function draw() {
    if (!all.open) return;
    keyed(body, placed, (one) => `${one.unit.kind} ${one.unit.index}`, () => h("tr", null, h("th", { scope: "row" }), ...Array.from({ length: 6 }, () => h("td", null))), (row, one) => {
      const { unit } = one;
      const cells = [title(one), stateOf(unit), place(unit), unit.frames, unit.fps, unit.attempt, unit.error];
      cells.forEach((value, at) => write(row.children[at], value === null || value === undefined ? "" : typeof value === "number" ? number(value, { maximumFractionDigits: 1 }) : value));
    });
  }

  return { element, update };
}

/** @param {any} unit */
const stateOf = (unit) => (unit.state === "running" ? t("job.unit.running", { progress: unit.progress }) : t(`job.unit.state.${unit.state}`));
