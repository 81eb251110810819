// @ts-check
/** How a live stream goes: how long it is, how fast, what was lost, and each target. */

import { h, keyed, write } from "../dom.js";
import { bitRate, duration, number, t } from "../i18n.js";
import { card, isNumber } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** @returns {import("./parts.js").Section} */
export function liveSection() {
  const on = h("span", { class: "live-on" });
  const values = h("dl", { class: "live-values" });
  const error = h("p", { class: "notice", dataset: { kind: "failed" } });
  const element = card("live", [values, error], on);

  /** @param {Job} job */
  function update(job) {
    element.hidden = !job.live;
    if (!job.live) return;
    const unit = job.units.find((/** @type {any} */ one) => one.kind === "live");
    on.hidden = job.state !== "running";
    write(on, t("job.live.on"));
    /** @type {[string, string][]} */
    const rows = [["seconds", duration(job.live.seconds)]];
    if (isNumber(job.live.bit_rate)) rows.push(["bitRate", bitRate(job.live.bit_rate)]);
    if (isNumber(job.live.dropped)) rows.push(["dropped", number(job.live.dropped)]);
    if (unit && isNumber(unit.fps)) rows.push(["fps", number(unit.fps, { maximumFractionDigits: 1 })]);
    if (unit && unit.attempt > 1) rows.push(["attempt", number(unit.attempt)]);
    keyed(values, rows, ([key]) => key, ([key]) => h("div", { dataset: { live: key } }, h("dt", null), h("dd", { class: "number" })), (row, [key, text]) => {
      write(row.children[0], t(`job.live.${key}`));
      write(row.children[1], text);
      row.toggleAttribute("data-warn", key === "dropped" && job.live.dropped > 0);
    });
    error.hidden = !unit?.error;
    write(error, unit?.error ?? "");
  }

  return { element, update };
}
