// @ts-check
/** The form of a new upload: which files, where they go, what YouTube is told of them. */

import { attribute, find, h, keyed, write } from "../dom.js";
import { bytes, t } from "../i18n.js";
import { icon } from "../icons.js";
import { defaultAtom, isAtom } from "./atom.js";

/** @typedef {import("./list.js").Chosen} Chosen */
/** @typedef {Chosen & {n: number, title: string}} Row */

export class Form {
  /** @param {(rows: Row[], atom: string, fields: (row: Row) => any) => Promise<void>} start */
  constructor(start) {
    this.form = /** @type {HTMLFormElement} */ (find("#new"));
    /** @type {Row[]} */
    this.rows = [];
    this.count = 0;
    this.start = start;
    this.atom = /** @type {HTMLInputElement} */ (find("#atom"));
    this.atomIsOurs = true;
    this.atom.addEventListener("input", () => { this.atomIsOurs = false; });
    this.form.addEventListener("change", () => this.draw());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    find("#clear").addEventListener("click", () => {
      this.clear();
      find("#choose").focus();
    });
  }

  /** @param {Chosen[]} chosen */
  add(chosen) {
    for (const one of chosen) {
      if (this.rows.some(({ file }) => file.name === one.file.name && file.size === one.file.size && file.lastModified === one.file.lastModified)) continue;
      this.rows.push({ ...one, n: (this.count += 1), title: titleOf(one.file.name) });
    }
    if (this.atomIsOurs && this.rows.length) this.atom.value = defaultAtom(this.rows[0].file.name);
    this.draw();
  }

  clear() {
    this.rows = [];
    this.atomIsOurs = true;
    this.form.reset();
    for (const name of ["atom", "places", "tags", "description"]) this.#tell(name, "");
    this.draw();
  }

  draw() {
    find("#settings").hidden = !this.rows.length;
    this.form.dataset.filled = String(this.rows.length > 0);
    const youtube = this.destinations.includes("youtube");
    find("#youtube").hidden = !youtube;
    keyed(find("#chosen"), this.rows, (row) => String(row.n), (row) => this.#row(row), (element, row) => {
      const title = find(".field", element);
      title.hidden = !youtube;
      write(find("label", title), t("upload.youtube-title"));
      attribute(find("button", element), "aria-label", t("upload.remove", { name: row.file.name }));
      write(find(".size", element), bytes(row.file.size));
    });
    write(find("#start"), t("upload.start", { count: this.rows.length }));
  }

  /** @returns {string[]} */
  get destinations() {
    return Array.from(this.form.querySelectorAll("input[name=destination]:checked"), (box) => /** @type {HTMLInputElement} */ (box).value);
  }

  /** @param {Row} row */
  #row(row) {
    const id = `title-${row.n}`;
    const remove = () => {
      this.rows = this.rows.filter((one) => one !== row);
      this.draw();
      (this.form.querySelector("#chosen button") ?? find("#choose")).focus();
    };
    return h(
      "li",
      null,
      h("div", { class: "file" }, icon("film"), h("span", { class: "break" }, row.file.name), h("span", { class: "muted number size" }),
        h("button", { type: "button", class: "button quiet icon-only", on: { click: remove } }, icon("close"))),
      h("div", { class: "field" }, h("label", { for: id }),
        h("input", { class: "input", id, value: row.title, maxlength: 100, autocomplete: "off", on: { input: (/** @type {any} */ event) => { row.title = event.target.value; } } })),
    );
  }

  async #submit() {
    const { destinations } = this;
    const text = (/** @type {string} */ id) => find(`#${id}`).value.trim();
    const tags = text("tags").split(/[,，]/).map((tag) => tag.trim()).filter(Boolean);
    const youtube = destinations.includes("youtube");
    const checks = [
      this.#tell("places", destinations.length ? "" : t("upload.error.places")),
      this.#tell("atom", isAtom(text("atom")) ? "" : t("upload.error.atom")),
      // YouTube's own bounds, which the server keeps, too.
      this.#tell("description", youtube && new TextEncoder().encode(text("description")).length > 5000 ? t("upload.error.description") : ""),
      this.#tell("tags", youtube && tags.join(",").length > 500 ? t("upload.error.tags") : ""),
    ];
    if (checks.includes(false)) {
      /** @type {HTMLElement | null} */ (this.form.querySelector("[aria-invalid=true]"))?.focus();
      return;
    }
    const rows = this.rows;
    const atom = text("atom");
    const more = youtube ? { description: text("description"), tags, privacy: find("#privacy").value } : {};
    this.clear();
    await this.start(rows, atom, (row) => ({ destinations, ...more, ...(youtube && row.title.trim() ? { title: row.title.trim() } : {}) }));
  }

  /** Put a message to a field. @param {string} name @param {string} message @returns {boolean} whether there is none */
  #tell(name, message) {
    const place = find(`#${name}-error`);
    write(place, message);
    place.hidden = !message;
    const field = name === "places" ? find("input[name=destination]") : find(`#${name}`);
    attribute(field, "aria-invalid", message ? "true" : null);
    return !message;
  }
}

/** A title for YouTube: the file's name without what the name of a file needs. @param {string} name */
function titleOf(name) {
  const title = name.replace(/\.[^.]+$/, "").replace(/[<>]/g, "_").replace(/_+/g, " ").trim();
  // Half of a character is no text that the server takes.
  return title.slice(0, 100).replace(/[\uD800-\uDBFF]$/, "");
}
