// @ts-check
/**
 * The strip: a listbox whose options lie where their units lie in the film. One tab stop; arrow keys, Home, End, Page Up and
 * Page Down go from unit to unit, the pointer shows the one below it, a click keeps it.
 */

import { attribute, h, keyed, write } from "../dom.js";
import { locale, t, timecode } from "../i18n.js";
import { ticks, unitAt } from "./strip-layout.js";
import { spoken } from "./unit-details.js";

/** @typedef {import("./strip-layout.js").Layout} Layout */
/** @typedef {import("./strip-layout.js").Placed} Placed */
/** @typedef {import("./strip-layout.js").Track} Track */

/** Narrower units than this have no room for a gap, and fill from below. */
const NARROW = 10;
const PAGE = 10;

/** @param {Placed} placed */
const keyOf = ({ unit }) => `unit-${unit.kind}-${unit.index}`;

export class Strip {
  /** @param {{look: (placed: Placed | undefined) => void}} options `look` is told which unit is looked at, anew with each change */
  constructor({ look }) {
    this.look = look;
    /** @type {Layout} */
    this.layout = { tracks: [], seconds: null };
    /** @type {Placed[]} */
    this.placed = [];
    /** @type {string | null} the one that was chosen */
    this.chosen = null;
    /** @type {string | null} the one below the pointer */
    this.pointed = null;
    this.cursor = h("div", { class: "strip-cursor", "aria-hidden": "true", hidden: true });
    this.tracks = h("div", {
      class: "strip-tracks",
      role: "listbox",
      tabindex: "0",
      id: "strip",
      dataset: { i18nAttr: "aria-label:job.units.strip" },
      "aria-label": t("job.units.strip"),
      on: { keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event), focus: () => this.#focused() },
    });
    this.axis = h("div", { class: "strip-axis number", "aria-hidden": "true" });
    this.element = h("div", { class: "strip" }, this.tracks, this.cursor, this.axis);
    this.element.addEventListener("pointermove", (event) => this.#point(event));
    this.element.addEventListener("pointerdown", (event) => this.#point(event));
    this.element.addEventListener("pointerleave", () => this.#pointAt(null));
    this.element.addEventListener("click", (event) => {
      const found = this.#below(event);
      if (found) this.choose(found);
    });
    new ResizeObserver(() => this.#measure()).observe(this.tracks);
  }

  /** @param {Layout} layout */
  update(layout) {
    this.layout = layout;
    this.placed = layout.tracks.flatMap((track) => track.placed);
    keyed(this.tracks, layout.tracks, (track) => track.name, makeTrack, changeTrack);
    this.#measure();
    this.#show();
  }

  /** @param {Placed | undefined} placed */
  choose(placed) {
    this.chosen = placed ? keyOf(placed) : null;
    this.#show();
  }

  /** Choose the next unit in a state, from the chosen one on and round. @param {string} state */
  next(state) {
    const start = this.placed.findIndex((one) => keyOf(one) === this.chosen) + 1;
    const found = [...this.placed.slice(start), ...this.placed.slice(0, start)].find((one) => one.unit.state === state);
    if (!found) return;
    this.choose(found);
    // From here the arrow keys go on, and a screen reader says which one it is.
    this.tracks.focus({ preventScroll: true });
  }

  #focused() {
    if (!this.chosen) this.choose(this.placed[0]);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const at = this.placed.findIndex((one) => keyOf(one) === this.chosen);
    const last = this.placed.length - 1;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, PageDown: at + PAGE, PageUp: at - PAGE, Home: 0, End: last }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.pointed = null;
    this.choose(this.placed[Math.max(0, Math.min(last, to))]);
  }

  /** @param {MouseEvent} event @returns {Placed | undefined} the unit below the pointer, or the nearest one of its lane */
  #below(event) {
    for (const [at, track] of this.layout.tracks.entries()) {
      const box = this.tracks.children[at].lastElementChild?.getBoundingClientRect();
      if (!box || event.clientY < box.top - 3 || event.clientY > box.bottom + 3) continue;
      const lane = Math.min(track.lanes - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * track.lanes)));
      return unitAt(track, (event.clientX - box.left) / box.width, lane);
    }
    return undefined;
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const found = this.#below(event);
    this.#pointAt(found ? keyOf(found) : null);
  }

  /** @param {string | null} key */
  #pointAt(key) {
    if (key === this.pointed) return;
    this.pointed = key;
    this.#show();
  }

  /** Show which unit is looked at: the one below the pointer, else the chosen one. */
  #show() {
    const chosen = this.placed.find((one) => keyOf(one) === this.chosen);
    const shown = this.placed.find((one) => keyOf(one) === this.pointed) ?? chosen;
    const before = this.tracks.querySelector('[aria-selected="true"]');
    const option = chosen ? document.getElementById(keyOf(chosen)) : null;
    if (before !== option) before?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    attribute(this.tracks, "aria-activedescendant", option?.id);
    this.cursor.hidden = !shown;
    if (shown) {
      this.cursor.style.setProperty("--from", String(shown.from));
      this.cursor.style.setProperty("--to", String(shown.to));
      const unit = document.getElementById(keyOf(shown));
      const lanes = /** @type {HTMLElement | null} */ (unit?.offsetParent);
      if (unit && lanes) this.cursor.style.setProperty("top", `${lanes.offsetTop + unit.offsetTop - 9}px`);
    }
    this.look(shown);
  }

  /** What depends on how wide the strip is. */
  #measure() {
    const width = this.tracks.clientWidth;
    if (!width) return;
    for (const [at, track] of this.layout.tracks.entries()) {
      this.tracks.children[at]?.toggleAttribute("data-narrow", (width * track.lanes) / track.placed.length < NARROW);
    }
    const { seconds } = this.layout;
    const marks = seconds === null ? [] : ticks(seconds, width);
    keyed(this.axis, marks, (mark) => String(mark), (mark) => h("span", null, timecode(mark)), (element, mark) => element.style.setProperty("--at", String(mark / (seconds ?? 1))));
    this.axis.hidden = !marks.length;
  }
}

/** @param {Track} track */
function makeTrack(track) {
  return h("div", { class: "strip-track", role: "group", dataset: { track: track.name } }, h("div", { class: "strip-name", "aria-hidden": "true" }), h("div", { class: "strip-lanes", role: "presentation" }));
}

/** @param {HTMLElement} element @param {Track} track */
function changeTrack(element, track) {
  const [name, lanes] = /** @type {HTMLElement[]} */ ([...element.children]);
  write(name, t(`job.units.track.${track.name}`));
  attribute(element, "aria-label", t(`job.units.track.${track.name}`));
  lanes.style.setProperty("--lanes", String(track.lanes));
  keyed(lanes, track.placed, keyOf, (one) => h("div", { class: "unit", role: "option", id: keyOf(one), "aria-selected": "false" }), changeUnit);
}

/** @param {HTMLElement} element @param {Placed} placed */
function changeUnit(element, placed) {
  const { unit, from, to, lane } = placed;
  // With a thousand units, only those that changed are touched.
  const signature = [locale(), unit.state, unit.progress, unit.error, from, to, lane, placed.of].join();
  if (element.dataset.is === signature) return;
  element.dataset.is = signature;
  element.dataset.state = unit.state;
  for (const [name, value] of Object.entries({ "--from": from, "--length": to - from, "--lane": lane, "--reached": unit.progress / 100 })) element.style.setProperty(name, String(value));
  element.setAttribute("aria-label", spoken(placed));
}
