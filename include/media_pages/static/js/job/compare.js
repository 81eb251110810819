// @ts-check
/**
 * The same frame before and after upscaling, one over the other, with an edge between them that is moved by pointer, touch or the slider
 * below. As a whole, or with each pixel of the result as one of the screen.
 */

import { attribute, h, keyed, write } from "../dom.js";
import { percent, t, timecode } from "../i18n.js";
import { card, label, setImage } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** @returns {import("./parts.js").Section} */
export function compareSection() {
  const view = new View();
  const stills = h("fieldset", { class: "stills" }, label("legend", "job.compare.stills", { class: "visually-hidden" }));
  const list = h("div", { class: "stills-list" });
  stills.append(list);
  const size = h("span", { class: "muted number" });
  const zoom = h("button", { type: "button", class: "button", id: "zoom", "aria-pressed": "false", dataset: { i18n: "job.compare.pixels" }, on: { click: () => attribute(zoom, "aria-pressed", String(view.zoom())) } }, t("job.compare.pixels"));
  const element = card("compare", [view.element, h("div", { class: "compare-below" }, view.slider, zoom), stills], size);
  /** @type {any[]} */
  let comparisons = [];
  let chosen = 0;

  function show() {
    const one = comparisons[chosen];
    if (!one) return;
    view.show(one);
    write(size, t("job.compare.size", { width: one.width, height: one.height, time: timecode(one.time, true) }));
  }

  /** @param {Job} job */
  function update(job) {
    comparisons = job.comparisons;
    element.hidden = !comparisons.length;
    chosen = Math.max(0, Math.min(chosen, comparisons.length - 1));
    stills.hidden = comparisons.length < 2;
    keyed(list, comparisons.map((one, at) => ({ ...one, at })), (one) => `${one.at} ${one.time}`, makeStill, (still, one) => {
      setImage(still.querySelector("img"), one.before);
      attribute(still.querySelector("input"), "aria-label", t("job.compare.still", { time: timecode(one.time, true) }));
      write(still.lastElementChild, timecode(one.time, true));
    });
    show();
  }

  /** @param {any} one a Comparison, and `at` which */
  function makeStill(one) {
    const radio = h("input", { type: "radio", name: "still", class: "visually-hidden", checked: one.at === chosen });
    radio.addEventListener("change", () => {
      chosen = one.at;
      show();
    });
    return h("label", { class: "still" }, radio, h("img", { alt: "", loading: "lazy" }), h("span", { class: "number", "aria-hidden": "true" }));
  }

  return { element, update };
}

/** Both pictures and the edge between them. */
class View {
  constructor() {
    this.after = h("img", { class: "compare-after", draggable: "false" });
    this.before = h("img", { class: "compare-before", draggable: "false" });
    this.stage = h("div", { class: "compare-stage" }, this.after, this.before);
    this.port = h("div", { class: "compare-port" }, this.stage);
    this.edge = h("div", { class: "compare-edge", "aria-hidden": "true" }, h("span", { class: "compare-grip" }));
    const names = ["before", "after"].map((name) => label("span", `job.compare.${name}`, { class: `compare-name ${name}`, "aria-hidden": "true" }));
    this.element = h("div", { class: "compare" }, this.port, this.edge, names);
    this.slider = /** @type {HTMLInputElement} */ (
      h("input", { type: "range", class: "slider", id: "edge", min: "0", max: "100", step: "1", dataset: { i18nAttr: "aria-label:job.compare.edge" }, "aria-label": t("job.compare.edge") })
    );
    this.slider.value = "50";
    /** Where the edge is, of the part that is seen: 0 to 1. */
    this.at = 0.5;
    this.pixels = false;
    /** @type {any} */
    this.one = null;
    /** @type {{x: number, y: number} | null} where the pointer was, that moves the picture */
    this.dragged = null;
    this.slider.addEventListener("input", () => this.#move(Number(this.slider.value) / 100));
    this.element.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#grab(event));
    this.element.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.#drag(event));
    this.port.addEventListener("scroll", () => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(this.port);
  }

  /** @param {any} one a Comparison */
  show(one) {
    this.one = one;
    setImage(this.after, one.after);
    setImage(this.before, one.before);
    attribute(this.after, "alt", t("job.compare.afterAt", { time: timecode(one.time, true) }));
    attribute(this.before, "alt", t("job.compare.beforeAt", { time: timecode(one.time, true) }));
    this.#size();
    this.#said();
  }

  /** One pixel of the result is one of the screen, or all of it is seen; the middle stays the middle. @returns {boolean} */
  zoom() {
    const { port } = this;
    const middle = [(port.scrollLeft + port.clientWidth / 2) / port.scrollWidth, (port.scrollTop + port.clientHeight / 2) / port.scrollHeight];
    this.pixels = !this.pixels;
    this.element.toggleAttribute("data-pixels", this.pixels);
    this.#size();
    port.scrollTo(middle[0] * port.scrollWidth - port.clientWidth / 2, middle[1] * port.scrollHeight - port.clientHeight / 2);
    this.#draw();
    return this.pixels;
  }

  #size() {
    const { width, height } = this.one;
    this.element.style.setProperty("--shape", `${width} / ${height}`);
    this.stage.style.setProperty("width", this.pixels ? `${width / devicePixelRatio}px` : "100%");
    // What scrolls can be scrolled by the keyboard.
    attribute(this.port, "tabindex", this.pixels ? 0 : null);
    attribute(this.port, "role", this.pixels ? "region" : null);
    attribute(this.port, "aria-label", this.pixels ? t("job.compare.port") : null);
    this.#draw();
  }

  /** @param {number} at */
  #move(at) {
    this.at = Math.max(0, Math.min(1, at));
    this.slider.value = String(Math.round(this.at * 100));
    this.#said();
    this.#draw();
  }

  #said() {
    attribute(this.slider, "aria-valuetext", t("job.compare.at", { before: percent(this.at * 100), after: percent((1 - this.at) * 100) }));
  }

  /** @param {PointerEvent} event */
  #grab(event) {
    if (event.button) return;
    const onEdge = Boolean(/** @type {Element} */ (event.target).closest(".compare-edge"));
    // A finger pans by scrolling; a mouse drags the picture, or the edge.
    if (this.pixels && !onEdge) {
      if (event.pointerType !== "mouse") return;
      this.dragged = { x: event.clientX, y: event.clientY };
    } else {
      this.dragged = null;
      this.#follow(event);
    }
    this.element.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    if (!this.element.hasPointerCapture(event.pointerId)) return;
    if (!this.dragged) {
      this.#follow(event);
      return;
    }
    this.port.scrollBy(this.dragged.x - event.clientX, this.dragged.y - event.clientY);
    this.dragged = { x: event.clientX, y: event.clientY };
  }

  /** @param {PointerEvent} event */
  #follow(event) {
    const box = this.port.getBoundingClientRect();
    this.#move((event.clientX - box.left) / box.width);
  }

  #draw() {
    const { port } = this;
    const wide = this.stage.clientWidth || 1;
    const place = port.scrollLeft + this.at * port.clientWidth;
    this.before.style.setProperty("clip-path", `inset(0 ${Math.max(0, wide - place)}px 0 0)`);
    this.edge.style.setProperty("left", `${this.at * port.clientWidth}px`);
  }
}
