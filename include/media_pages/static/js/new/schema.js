// @ts-check
/** Reads a JSON schema of a request: which fields there are, what they take, what is wrong with a value. */

import { number, t } from "../i18n.js";

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {"text" | "whole" | "number" | "choice"} type
 * @property {boolean} required
 * @property {boolean} nullable whether it may be left out, and is then found out or has no effect
 * @property {string} title
 * @property {string} description
 * @property {any} [preset] the default
 * @property {any[]} choices
 * @property {any[]} examples
 * @property {number} [minimum]
 * @property {number} [above] it has to be greater than this
 * @property {number} [maximum]
 * @property {number} [shortest]
 * @property {number} [longest]
 * @property {string} [pattern]
 */

/** @param {any} schema of an object @returns {Field[]} in its order */
export function fieldsOf(schema) {
  return Object.entries(schema.properties).map(([name, property]) => fieldOf(name, property, (schema.required ?? []).includes(name)));
}

/** @param {string} name @param {any} property @param {boolean} required @returns {Field} */
function fieldOf(name, property, required) {
  const kinds = property.anyOf ?? [property];
  const kind = kinds.find((/** @type {any} */ one) => one.type !== "null");
  const choices = kind.enum ?? (kind.const === undefined ? [] : [kind.const]);
  const type = choices.length ? "choice" : kind.type === "integer" ? "whole" : kind.type === "number" ? "number" : "text";
  return {
    name,
    type,
    required,
    nullable: kinds.length > 1,
    title: property.title ?? name,
    description: property.description ?? "",
    preset: property.default ?? undefined,
    choices,
    examples: property.examples ?? [],
    minimum: kind.minimum,
    above: kind.exclusiveMinimum,
    maximum: kind.maximum,
    shortest: kind.minLength,
    longest: kind.maxLength,
    pattern: kind.pattern,
  };
}

/**
 * @param {Field} field
 * @param {string} text as it stands in the form
 * @returns {any} as the API takes it; undefined where it is left out
 */
export function valueOf(field, text) {
  if (text === "" || (field.type !== "text" && !text.trim())) return undefined;
  if (field.type === "choice") return field.choices.find((choice) => String(choice) === text);
  // What is no number is sent as it is, and refused by the server in its words.
  if (field.type !== "text") return Number.isFinite(Number(text)) ? Number(text) : text;
  return text;
}

/**
 * What is wrong with a value, by the schema; the server knows more.
 * @param {Field} field
 * @param {string} text
 * @returns {string} empty where nothing is
 */
export function hint(field, text) {
  const value = valueOf(field, text);
  if (value === undefined) return field.required ? t("new.hint.required") : "";
  if (field.type === "text") return textHint(field, text);
  if (field.type === "choice") return "";
  if (typeof value !== "number") return t("new.hint.number");
  if (field.type === "whole" && !Number.isInteger(value)) return t("new.hint.whole");
  if (field.above !== undefined && value <= field.above) return t("new.hint.above", { value: field.above });
  if (field.minimum !== undefined && value < field.minimum) return t("new.hint.minimum", { value: field.minimum });
  if (field.maximum !== undefined && value > field.maximum) return t("new.hint.maximum", { value: number(field.maximum) });
  return "";
}

/** @param {Field} field @param {string} text */
function textHint(field, text) {
  // Python counts characters, JavaScript counts halves of some.
  const length = [...text].length;
  if (field.longest !== undefined && length > field.longest) return t("new.hint.longest", { count: field.longest });
  if (field.shortest !== undefined && length < field.shortest) return t("new.hint.shortest", { count: field.shortest });
  if (field.pattern && !new RegExp(field.pattern, "u").test(text)) return t("new.hint.pattern", { pattern: field.pattern });
  return "";
}
