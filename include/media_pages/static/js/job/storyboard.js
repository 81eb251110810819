// @ts-check
/**
 * The film as a row of its pictures. The pointer, or the slider below them, shows the picture of a place; the player, where there is one,
 * goes there.
 */

import { attribute, h, keyed, write } from "../dom.js";
import { t, timecode } from "../i18n.js";
import { setImage } from "./parts.js";

/** @typedef {{start: number, end: number, sheet: number, x: number, y: number, width: number, height: number}} Tile */

/** Pixels that a picture of the row is high. */
const HEIGHT = 54;

/** A picture cut out of its sheet, scaled to its box. */
class Cut {
  /** @param {string} name of the class */
  constructor(name) {
    this.image = /** @type {HTMLImageElement} */ (h("img", { alt: "", draggable: "false" }));
    this.element = h("div", { class: `cut ${name}` }, this.image);
  }

  /** @param {Tile} tile @param {string} sheet its address @param {number} height to show it at */
  show(tile, sheet, height) {
    const scale = height / tile.height;
    this.element.style.setProperty("width", `${tile.width * scale}px`);
    this.element.style.setProperty("height", `${height}px`);
    this.image.style.setProperty("transform", `scale(${scale}) translate(${-tile.x}px, ${-tile.y}px)`);
    setImage(this.image, sheet);
  }
}

/** @type {WeakMap<Element, Cut>} */
const cuts = new WeakMap();

export class Storyboard {
  /** @param {{seek: (seconds: number) => void}} options */
  constructor({ seek }) {
    this.seek = seek;
    /** @type {Tile[]} */
    this.tiles = [];
    /** @type {string[]} */
    this.sheets = [];
    this.seconds = 0;
    this.row = h("div", { class: "board-row", "aria-hidden": "true" });
    this.head = h("div", { class: "board-head", "aria-hidden": "true" });
    this.preview = new Cut("board-picture");
    this.clock = h("span", { class: "board-time number" });
    this.bubble = h("div", { class: "board-preview", "aria-hidden": "true", hidden: true }, this.preview.element, this.clock);
    this.slider = /** @type {HTMLInputElement} */ (
      h("input", { type: "range", class: "slider", id: "scrubber", min: "0", step: "0.1", dataset: { i18nAttr: "aria-label:job.player.place" }, "aria-label": t("job.player.place") })
    );
    this.slider.value = "0";
    const film = h("div", { class: "board-film" }, this.row, this.head, this.bubble);
    this.element = h("div", { class: "board", hidden: true }, film, this.slider);
    film.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.#point(event, film));
    film.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      film.setPointerCapture(event.pointerId);
      this.#go(this.#point(event, film));
    });
    film.addEventListener("pointerleave", () => this.#hide());
    this.slider.addEventListener("input", () => {
      this.#look(Number(this.slider.value));
      this.#go(Number(this.slider.value));
    });
    this.slider.addEventListener("blur", () => this.#hide());
    new ResizeObserver(() => this.#draw()).observe(this.row);
  }

  /** @param {{sheets: string[], tiles: Tile[]} | null} board @param {number | null | undefined} seconds of the film */
  update(board, seconds) {
    this.element.hidden = !board?.tiles.length;
    if (!board?.tiles.length) return;
    this.tiles = board.tiles;
    this.sheets = board.sheets;
    this.seconds = Math.max(board.tiles.at(-1)?.end ?? 0, seconds ?? 0);
    attribute(this.slider, "max", this.seconds);
    this.#said();
    this.#draw();
  }

  /** Where the player is. @param {number} seconds */
  follow(seconds) {
    if (!this.seconds) return;
    this.head.style.setProperty("--at", String(Math.min(1, seconds / this.seconds)));
    if (document.activeElement !== this.slider) this.slider.value = String(seconds);
    this.#said();
  }

  #said() {
    attribute(this.slider, "aria-valuetext", t("job.player.at", { time: timecode(Number(this.slider.value)), length: timecode(this.seconds) }));
  }

  /** @param {number} seconds */
  #go(seconds) {
    this.slider.value = String(seconds);
    this.head.style.setProperty("--at", String(seconds / this.seconds));
    this.#said();
    this.seek(seconds);
  }

  /** @param {PointerEvent} event @param {HTMLElement} film @returns {number} seconds */
  #point(event, film) {
    const box = film.getBoundingClientRect();
    const seconds = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * this.seconds;
    this.#look(seconds);
    if (event.buttons && event.type === "pointermove") this.#go(seconds);
    return seconds;
  }

  /** @param {number} seconds @returns {Tile} */
  #tile(seconds) {
    let found = this.tiles[0];
    for (const tile of this.tiles) if (tile.start <= seconds) found = tile;
    return found;
  }

  /** Show the picture of a place above it. @param {number} seconds */
  #look(seconds) {
    const tile = this.#tile(seconds);
    this.preview.show(tile, this.sheets[tile.sheet], tile.height);
    write(this.clock, timecode(seconds));
    this.bubble.hidden = false;
    const width = this.row.clientWidth;
    const half = Math.min(tile.width / 2 + 5, width / 2);
    this.bubble.style.setProperty("left", `${Math.max(half, Math.min(width - half, (seconds / this.seconds) * width))}px`);
  }

  #hide() {
    this.bubble.hidden = true;
  }

  /** As many pictures as find room, each that of the middle of its stretch. */
  #draw() {
    const width = this.row.clientWidth;
    if (!width || !this.tiles.length) return;
    const [{ width: wide, height: high }] = this.tiles;
    const count = Math.max(1, Math.min(this.tiles.length, Math.ceil(width / ((wide * HEIGHT) / high))));
    const places = Array.from({ length: count }, (_, at) => ((at + 0.5) / count) * this.seconds);
    keyed(this.row, places, (place) => String(places.indexOf(place)), () => {
      const cut = new Cut("board-cell");
      const cell = h("div", { class: "board-place" }, cut.element);
      cuts.set(cell, cut);
      return cell;
    }, (cell, place) => {
      const tile = this.#tile(place);
      cuts.get(cell)?.show(tile, this.sheets[tile.sheet], HEIGHT);
    });
  }
}
