// @ts-check
/** A form made of the schema that the API itself reads the request with. */

import { ApiError, post } from "../api.js";
import { find, h, write } from "../dom.js";
import { t } from "../i18n.js";
import { reason } from "../shell.js";
import { makeField, tell } from "./field.js";
import { perField } from "./refusals.js";
import { fieldsOf, hint, valueOf } from "./schema.js";

/** @typedef {import("./schema.js").Field} Field */

/** Fires `change` when a value has, and `sent` with `{body, answer}`. */
export class JobForm extends EventTarget {
  /**
   * @param {string} name of the form
   * @param {any} schema
   * @param {{path: string, action: string, fixed?: Record<string, any>, presets?: Record<string, string>}} options `path` takes the
   *   request; `action` is the key of the button's word; `fixed` fields are not shown, and sent as they are
   */
  constructor(name, schema, { path, action, fixed = {}, presets = {} }) {
    super();
    this.name = name;
    this.path = path;
    this.action = action;
    this.fixed = fixed;
    this.fields = fieldsOf(schema).filter((field) => !(field.name in fixed));
    /** @type {Map<string, string>} */
    this.values = new Map(this.fields.map((field) => [field.name, presets[field.name] ?? String(field.preset ?? "")]));
    this.enabled = true;
    this.more = false;
    /** @type {Map<string, HTMLElement>} */
    this.elements = new Map();
  }

  /** @returns {HTMLFormElement} drawn anew, with the values that it had */
  draw() {
    this.elements = new Map(this.fields.map((field) => [field.name, makeField(this.name, field, this.values.get(field.name) ?? "")]));
    const [first, rest] = [false, true].map((nullable) => this.fields.filter((field) => field.nullable === nullable).map(({ name }) => this.elements.get(name)));
    const more = h("details", { class: "more", open: this.more, on: { toggle: (/** @type {any} */ event) => { this.more = event.target.open; } } },
      h("summary", null, t("new.more")), h("div", { class: "fields" }, rest));
    this.element = h(
      "form",
      { class: "card job-form", novalidate: true, id: this.name, "aria-label": t(`new.kind.${this.name}`) },
      h("p", { class: "muted" }, t(`new.about.${this.name}`)),
      h("div", { class: "fields" }, first),
      rest.length ? more : null,
      h("p", { class: "notice refusal", role: "alert", dataset: { kind: "failed" }, hidden: true }, h("span", null)),
      h("div", { class: "form-actions" }, h("button", { type: "submit", class: "button primary", disabled: !this.enabled }, t(this.action))),
    );
    this.element.addEventListener("input", (/** @type {any} */ event) => this.#changed(event.target));
    this.element.addEventListener("focusout", (/** @type {any} */ event) => {
      if (event.target.value) this.#check(event.target.name);
    });
    this.element.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.send();
    });
    return this.element;
  }

  /** @returns {Record<string, any>} the request as the form has it */
  get body() {
    const given = this.fields.map((field) => [field.name, valueOf(field, this.values.get(field.name) ?? "")]);
    return { ...Object.fromEntries(given.filter(([, value]) => value !== undefined)), ...this.fixed };
  }

  /** Send the request; what is wrong with it is put where it belongs. @param {Record<string, any>} [more] fields beside the form's */
  async send(more = {}) {
    // What the server said of the last request may be true no longer.
    for (const element of this.elements.values()) tell(element, "");
    if (this.fields.filter((field) => this.#check(field.name)).length) return this.#toFirst();
    const button = find("button[type=submit]", this.element);
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    this.#refuse("");
    const body = { ...this.body, ...more };
    try {
      // A folder's files, or a video's head, are looked at before the answer comes.
      const answer = await post(this.path, body, { seconds: 120 });
      this.dispatchEvent(new CustomEvent("sent", { detail: { body, answer } }));
    } catch (error) {
      this.#refused(error);
    } finally {
      button.disabled = !this.enabled;
      button.removeAttribute("aria-busy");
    }
  }

  /** @param {any} error */
  #refused(error) {
    const words = error instanceof ApiError && error.status >= 400 && error.status < 500 && ![401, 403].includes(error.status);
    const { fields, rest } = words ? perField(error.message, this.fields.map(({ name }) => name)) : { fields: new Map(), rest: reason(error) };
    for (const [name, message] of fields) tell(/** @type {HTMLElement} */ (this.elements.get(name)), message);
    this.#refuse(rest);
    this.#toFirst();
  }

  /** @param {string} message that belongs to no field */
  #refuse(message) {
    const place = find(".refusal", this.element);
    place.hidden = !message;
    write(find("span", place), message);
  }

  #toFirst() {
    const wrong = this.element?.querySelector("[aria-invalid=true]");
    wrong?.closest("details")?.setAttribute("open", "");
    /** @type {HTMLElement | null} */ (wrong)?.focus();
  }

  /** @param {HTMLInputElement | HTMLSelectElement} control */
  #changed(control) {
    this.values.set(control.name, control.value);
    tell(/** @type {HTMLElement} */ (this.elements.get(control.name)), "");
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} name @returns {string} what is wrong */
  #check(name) {
    const field = this.fields.find((one) => one.name === name);
    if (!field) return "";
    const message = hint(field, this.values.get(name) ?? "");
    if (message) tell(/** @type {HTMLElement} */ (this.elements.get(name)), message);
    return message;
  }
}
