// @ts-check
/** One field of a form, drawn from its description in the schema. */

import { attribute, find, h, write } from "../dom.js";
import { has, locale, t } from "../i18n.js";
import { translated } from "./translations.js";

/** @typedef {import("./schema.js").Field} Field */

/**
 * @param {string} form
 * @param {Field} field
 * @param {string} value
 * @returns {HTMLElement}
 */
export function makeField(form, field, value) {
  const id = `${form}-${field.name}`;
  const label = has(`new.field.${field.name}`) ? t(`new.field.${field.name}`) : field.title;
  const optional = field.nullable ? h("span", { class: "muted optional" }, t("new.optional")) : null;
  return h(
    "div",
    { class: "field", dataset: { name: field.name } },
    h("label", { for: id }, label, " ", optional),
    control(id, field, value),
    field.examples.length > 1 ? h("datalist", { id: `${id}-examples` }, field.examples.map((one) => h("option", { value: one }))) : null,
    h("p", { class: "hint", id: `${id}-hint` }, ...code(translated(field.description, locale()))),
    h("p", { class: "error", id: `${id}-error`, role: "alert", hidden: true }),
  );
}

/** @param {string} id @param {Field} field @param {string} value */
function control(id, field, value) {
  const common = { id, name: field.name, "aria-describedby": `${id}-hint ${id}-error`, "aria-required": field.required ? "true" : null };
  if (field.type === "choice") {
    const none = field.nullable || (field.required && field.preset === undefined) ? [h("option", { value: "" }, t(field.nullable ? "new.unset" : "new.choose"))] : [];
    const options = field.choices.map((choice) => h("option", { value: choice }, choiceName(field.name, choice)));
    const select = h("select", { ...common, class: "select" }, none, options);
    select.value = value;
    return select;
  }
  return h("input", {
    ...common,
    class: "input",
    type: "text",
    inputmode: { whole: "numeric", number: "decimal", text: null }[field.type],
    autocomplete: "off",
    spellcheck: "false",
    placeholder: field.examples[0] ?? null,
    list: field.examples.length > 1 ? `${id}-examples` : null,
    value,
  });
}

/** @param {string} field @param {any} choice */
function choiceName(field, choice) {
  const key = `new.choice.${field}.${choice}`;
  return has(key) ? t(key) : String(choice);
}

/** Words between backquotes are code. @param {string} text */
function code(text) {
  return text.split("`").map((part, n) => (n % 2 ? h("code", null, part) : part));
}

/** Say what is wrong with a field, or nothing. @param {HTMLElement} element of {@link makeField} @param {string} message */
export function tell(element, message) {
  const place = find(".error", element);
  write(place, message);
  place.hidden = !message;
  attribute(find("input, select", element), "aria-invalid", message ? "true" : null);
}
