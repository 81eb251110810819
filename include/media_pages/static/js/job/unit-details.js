// @ts-check
/** What is known of one unit. */

import { h, write } from "../dom.js";
import { number, t, timecode } from "../i18n.js";
import { airflowLink, badge, isNumber, label, setAirflow, setBadge, setFacts } from "./parts.js";

/** @typedef {import("./strip-layout.js").Placed} Placed */

/** `Chunk 6 of 12` @param {Placed} placed */
export const title = ({ unit, number: at, of }) => t(`job.unit.title.${unit.kind}`, { number: at, count: of });

/** Where in the film it lies: `1:00.0–1:09.8`. @param {any} unit */
export const place = (unit) => (isNumber(unit.start) && isNumber(unit.end) ? `${timecode(unit.start, true)}–${timecode(unit.end, true)}` : "");

/** All of it in one line, for a screen reader. @param {Placed} placed */
export function spoken(placed) {
  const { unit } = placed;
  const state = unit.state === "running" ? t("job.unit.running", { progress: unit.progress }) : t(`job.unit.state.${unit.state}`);
  return [title(placed), state, place(unit), unit.error].filter(Boolean).join(", ");
}

/** The line below the strip. */
export class UnitDetails {
  constructor() {
    this.hint = label("p", "job.units.hint", { class: "muted" });
    this.name = h("strong", null);
    this.state = badge("waiting");
    this.log = airflowLink("job.log", { class: "unit-log" });
    this.facts = h("dl", { class: "unit-facts" });
    this.error = h("p", { class: "failure break" });
    this.body = h("div", { hidden: true }, h("div", { class: "unit-head" }, this.name, this.state, this.log), this.facts, this.error);
    this.element = h("div", { class: "unit-details", id: "unit-details" }, this.hint, this.body);
  }

  /** @param {Placed | undefined} placed */
  show(placed) {
    this.hint.hidden = Boolean(placed);
    this.body.hidden = !placed;
    if (!placed) return;
    const { unit } = placed;
    write(this.name, title(placed));
    setBadge(this.state, unit.state, unit.state === "running" ? t("job.unit.running", { progress: unit.progress }) : t(`job.unit.state.${unit.state}`));
    setFacts(this.facts, [
      ["job.unit.place", place(unit)],
      ["job.unit.frames", isNumber(unit.frames) && number(unit.frames)],
      ["job.unit.fps", isNumber(unit.fps) && number(unit.fps, { maximumFractionDigits: 1 })],
      ["job.unit.attempt", isNumber(unit.attempt) && number(unit.attempt)],
    ]);
    this.error.hidden = !unit.error;
    write(this.error, unit.error ?? "");
    setAirflow(this.log, unit.log_path);
  }
}
