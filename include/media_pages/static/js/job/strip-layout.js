// @ts-check
/** Where in the strip each unit lies: pure, in shares of the film's length. */

import { isNumber } from "./parts.js";

/**
 * @typedef {Record<string, any>} Unit of `include/media_pages/models.py`
 * @typedef {{unit: Unit, number: number, of: number, from: number, to: number, lane: number}} Placed `number` of `of` of its kind; `from` and `to` from 0 to 1
 * @typedef {{name: "picture" | "audio", placed: Placed[], lanes: number}} Track
 * @typedef {{tracks: Track[], seconds: number | null}} Layout `seconds` are null where the units' places are not known
 */

/** The states in the order of the legend. */
export const STATES = ["done", "reused", "running", "waiting", "failed"];

/**
 * @param {readonly Unit[]} units
 * @param {number | null | undefined} length of the film, seconds
 * @returns {Layout}
 */
export function layout(units, length) {
  const shown = units.filter((unit) => unit.kind !== "live");
  const ends = shown.map((unit) => unit.end).filter(isNumber);
  const placed = shown.every((unit) => unit.kind === "audio" || (isNumber(unit.start) && isNumber(unit.end) && unit.end > unit.start));
  const seconds = placed && (length || ends.length) ? Math.max(length ?? 0, ...ends) : null;
  /** @type {Track[]} */
  const tracks = [];
  for (const [name, of] of /** @type {[Track["name"], Unit[]][]} */ ([
    ["picture", shown.filter((unit) => unit.kind !== "audio")],
    ["audio", shown.filter((unit) => unit.kind === "audio")],
  ])) {
    if (of.length) tracks.push(track(name, of, seconds));
  }
  return { tracks, seconds };
}

/** @param {Track["name"]} name @param {Unit[]} units @param {number | null} seconds @returns {Track} */
function track(name, units, seconds) {
  /** @type {number[]} where each lane is free again */
  const lanes = [];
  const placed = units.map((unit, at) => {
    // Without places they stand side by side; sound without one is that of the whole film.
    const whole = name === "audio" && !isNumber(unit.start);
    const [from, to] =
      seconds === null ? [at / units.length, (at + 1) / units.length] : whole ? [0, 1] : [unit.start / seconds, Math.min(1, (unit.end ?? seconds) / seconds)];
    // Ends and beginnings are rounded: what overlaps by less than a hair does not.
    let lane = lanes.findIndex((free) => free <= from + 1e-4);
    if (lane < 0) lane = lanes.length;
    lanes[lane] = to;
    return { unit, number: at + 1, of: units.length, from, to, lane };
  });
  return { name, placed, lanes: lanes.length };
}

/**
 * The unit at a place, or the nearest one of the lane.
 * @param {Track} track @param {number} share @param {number} [lane]
 * @returns {Placed | undefined}
 */
export function unitAt(track, share, lane = 0) {
  let best;
  let distance = Infinity;
  for (const one of track.placed) {
    if (one.lane !== lane) continue;
    const away = share < one.from ? one.from - share : share > one.to ? share - one.to : 0;
    if (away < distance) [best, distance] = [one, away];
  }
  return best;
}

/** How many units are in each state. @param {readonly Unit[]} units @returns {Record<string, number>} */
export function counts(units) {
  /** @type {Record<string, number>} */
  const found = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const unit of units) found[unit.state] += 1;
  return found;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000, 86400];

/**
 * Times to write below a strip: round ones, not nearer than so many pixels.
 * @param {number} seconds @param {number} width pixels @param {number} [apart] pixels
 */
export function ticks(seconds, width, apart = 90) {
  const step = STEPS.find((one) => (one / seconds) * width >= apart) ?? seconds;
  const times = [];
  for (let time = 0; time <= seconds - step * 0.4; time += step) times.push(time);
  return [...times, seconds];
}
