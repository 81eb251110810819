// @ts-check
/** Which jobs are shown: a form, and the page's address, which say the same. */

import { attribute, find, h } from "../dom.js";
import { keepSearch } from "../frame.js";
import { number, t } from "../i18n.js";
import { icon } from "../icons.js";

export const STATES = ["queued", "running", "done", "failed", "cancelled"];
export const KINDS = ["transcode", "super_resolution", "task", "upload", "folder", "ingest"];
const TEXTS = ["q", "provider", "client"];
const TYPING = 300;

/** What the address asks for, without what it cannot. */
export function wanted() {
  const asked = new URLSearchParams(location.search);
  const clean = new URLSearchParams();
  for (const state of STATES) if (asked.getAll("state").includes(state)) clean.append("state", state);
  for (const kind of KINDS) if (asked.getAll("kind").includes(kind)) clean.append("kind", kind);
  for (const name of TEXTS) {
    const text = asked.get(name)?.trim().slice(0, 200);
    if (text) clean.set(name, text);
  }
  return clean;
}

/**
 * Draw the form and listen to it.
 * @param {HTMLFormElement} form
 * @param {() => void} changed called when `wanted()` has changed
 */
export function filters(form, changed) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  const read = () => {
    clearTimeout(typing);
    const before = wanted().toString();
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (String(value).trim()) asked.append(name, String(value).trim());
    keepSearch(asked.size ? `?${asked}` : "");
    show(form);
    if (wanted().toString() !== before) changed();
  };
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    const typed = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (typed) typing = setTimeout(read, TYPING);
    else read();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    read();
  });
  find("#clear", form).addEventListener("click", () => clear(form, changed));
  const toggle = find("#filters-toggle", form);
  toggle.addEventListener("click", () => attribute(toggle, "aria-expanded", toggle.getAttribute("aria-expanded") !== "true" ? "true" : "false"));
  chips(form);
  show(form);
}

/** Ask for all jobs. @param {HTMLFormElement} form @param {() => void} changed */
export function clear(form, changed) {
  keepSearch("");
  show(form);
  changed();
  find("#q", form).focus();
}

/** Draw the choices, in the viewer's language. @param {HTMLFormElement} form */
export function chips(form) {
  for (const [name, values] of /** @type {[string, string[]][]} */ ([["state", STATES], ["kind", KINDS]])) {
    const chosen = wanted().getAll(name);
    find(`#${name}-choices`, form).replaceChildren(
      ...values.map((value) =>
        h(
          "label",
          { class: "chip", dataset: name === "state" ? { state: value } : {} },
          h("input", { type: "checkbox", name, value, checked: chosen.includes(value) }),
          h("span", null, t(`common.${name}.${value}`)),
        ),
      ),
    );
  }
  show(form);
}

/** Let the form say what the address says. @param {HTMLFormElement} form */
function show(form) {
  const now = wanted();
  for (const box of form.querySelectorAll("input[type=checkbox]")) {
    const input = /** @type {HTMLInputElement} */ (box);
    input.checked = now.getAll(input.name).includes(input.value);
  }
  for (const name of TEXTS) {
    const input = find(`#${name}`, form);
    if (input !== document.activeElement || !now.has(name)) input.value = now.get(name) ?? "";
  }
  const hidden = [...now.keys()].filter((name) => name !== "q").length;
  find("#clear", form).hidden = now.size === 0;
  find("#filters-toggle", form).replaceChildren(icon("filter"), t("jobs.filters"), hidden ? h("span", { class: "count" }, number(hidden)) : "");
}

/** Suggest what the shown jobs have. @param {HTMLFormElement} form @param {readonly any[]} jobs */
export function suggest(form, jobs) {
  for (const [list, field] of [["providers", "content_provider"], ["clients", "client"]]) {
    const element = find(`#${list}`, form);
    const known = new Set([...element.children].map((option) => option.value));
    for (const job of jobs) {
      const value = job[field];
      if (value && !known.has(value)) {
        known.add(value);
        element.append(h("option", { value }));
      }
    }
  }
}
