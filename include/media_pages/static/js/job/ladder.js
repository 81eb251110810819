// @ts-check
/** The renditions that are made: sizes, bit rates and how near they are to the source. */

import { attribute, h, keyed, write } from "../dom.js";
import { bitRate, bytes, number, t } from "../i18n.js";
import { card, isNumber, label, scrolling } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** @type {{key: string, text: (one: any) => string | null, number?: boolean}[]} a column is shown where a rendition has it */
const COLUMNS = [
  { key: "picture", text: (one) => `${one.width} × ${one.height}`, number: true },
  { key: "rate", text: (one) => one.frame_rate && framesASecond(one.frame_rate), number: true },
  { key: "codec", text: (one) => one.codec },
  { key: "size", text: (one) => (isNumber(one.bytes) ? bytes(one.bytes) : null), number: true },
  { key: "target", text: (one) => (isNumber(one.target_bit_rate) ? bitRate(one.target_bit_rate) : null), number: true },
  { key: "average", text: (one) => (isNumber(one.average_bit_rate) ? bitRate(one.average_bit_rate) : null), number: true },
  { key: "psnr", text: (one) => (isNumber(one.psnr) ? t("job.ladder.decibel", { value: number(one.psnr, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) }) : null), number: true },
  { key: "ssim", text: (one) => (isNumber(one.ssim) ? number(one.ssim, { minimumFractionDigits: 3, maximumFractionDigits: 3 }) : null), number: true },
  { key: "vmaf", text: (one) => (isNumber(one.vmaf) ? number(one.vmaf, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) : null), number: true },
];

/** A rational rate as people write it: 29.97. @param {string} rate */
export function framesASecond(rate) {
  const [over, under = "1"] = rate.split("/");
  const value = Number(over) / Number(under);
  return Number.isFinite(value) ? number(value, { maximumFractionDigits: 3 }) : rate;
}

/** @returns {import("./parts.js").Section} */
export function ladderSection() {
  const head = h("tr", null, label("th", "job.ladder.name", { scope: "col" }), COLUMNS.map(({ key, number: right }) => label("th", `job.ladder.${key}`, { scope: "col", class: right ? "right" : null })));
  const body = h("tbody", null);
  const table = h("table", { class: "table ladder" }, h("thead", null, head), body);
  const note = label("p", "job.ladder.note", { class: "muted note" });
  const element = card("ladder", [scrolling(table, "job.ladder.table"), note]);

  /** @param {Job} job */
  function update(job) {
    element.hidden = !job.renditions.length;
    const shown = COLUMNS.map((column) => job.renditions.some((/** @type {any} */ one) => column.text(one) !== null));
    [...head.children].slice(1).forEach((cell, at) => { cell.hidden = !shown[at]; });
    keyed(body, job.renditions, (one) => one.name, () => h("tr", null, h("th", { scope: "row" }), COLUMNS.map((column) => h("td", { class: column.number ? "number right" : null }))), (row, one) => {
      write(row.children[0], one.name);
      COLUMNS.forEach((column, at) => {
        const cell = row.children[at + 1];
        const text = column.text(one);
        cell.hidden = !shown[at];
        write(cell, text ?? "–");
        attribute(cell, "class", [column.number && "number right", text === null && "muted"].filter(Boolean).join(" ") || null);
      });
    });
    // What PSNR and SSIM are of.
    note.hidden = !job.renditions.some((/** @type {any} */ one) => isNumber(one.psnr) || isNumber(one.ssim) || isNumber(one.vmaf));
  }

  return { element, update };
}
