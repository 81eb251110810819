// @ts-check
/** Words, numbers and times in the viewer's language: the one that Airflow's UI is in, English or 简体中文. */

/** @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>>} Message a text, or one for each plural of `count` */
/** @typedef {Record<string, Message>} Messages */

const KEY = "i18nextLng";
/** @type {Record<string, Messages>} */
const texts = { en: {}, "zh-CN": {} };

/** @returns {"en" | "zh-CN"} */
export function locale() {
  const wanted = localStorage.getItem(KEY) || navigator.languages[0] || "en";
  return /^zh\b/i.test(wanted) ? "zh-CN" : "en";
}

/** Add messages. @param {{en: Messages, "zh-CN": Messages}} messages */
export function use(messages) {
  Object.assign(texts.en, messages.en);
  Object.assign(texts["zh-CN"], messages["zh-CN"]);
}

/**
 * The text of a key in the viewer's language; `{name}` stands for a parameter, numbers are written as the language does.
 * @param {string} key
 * @param {Record<string, string | number>} [params] `count` chooses the plural
 */
export function t(key, params = {}) {
  const message = texts[locale()][key] ?? texts.en[key];
  if (message === undefined) {
    console.error(`no text: ${key}`);
    return key;
  }
  const text =
    typeof message === "string" ? message : (message[new Intl.PluralRules(locale()).select(Number(params.count))] ?? message.other ?? key);
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = params[name];
    return typeof value === "number" ? number(value) : String(value ?? "");
  });
}

/** @param {string} key */
export const has = (key) => texts[locale()][key] !== undefined || texts.en[key] !== undefined;

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function number(value, options = {}) {
  const key = `${locale()}${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.NumberFormat(locale(), options)));
  return format.format(value);
}

/** @param {number} value of a hundred */
export const percent = (value) => number(value / 100, { style: "percent", maximumFractionDigits: 0 });

/** @param {number} value @param {string[]} units of a thousand each */
function scaled(value, units) {
  let size = value;
  let at = 0;
  while (size >= 999.5 && at < units.length - 1) {
    size /= 1000;
    at += 1;
  }
  return number(size, { style: "unit", unit: units[at], unitDisplay: "short", maximumSignificantDigits: size >= 100 ? 4 : 3 });
}

/** E.g. `734 MB`. @param {number} value */
export const bytes = (value) => scaled(value, ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"]);

const BIT_RATES = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
/** E.g. `1.73 Mbit/s`. @param {number} value bits a second */
export function bitRate(value) {
  const at = Math.max(0, Math.min(BIT_RATES.length - 1, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  return `${number(value / 1000 ** at, { maximumSignificantDigits: 3 })} ${BIT_RATES[at]}`;
}

/** How long, in the two largest units that are not nought: `1h 4m`, `1小时4分钟`. @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, seconds);
  if (whole < 10) return unit(Math.round(whole * 10) / 10, "second");
  const all = Math.round(whole);
  const parts = [
    [Math.floor(all / 86400), "day"],
    [Math.floor(all / 3600) % 24, "hour"],
    [Math.floor(all / 60) % 60, "minute"],
    [all % 60, "second"],
  ];
  const first = parts.findIndex(([value]) => value);
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value)
    .map(([value, name]) => unit(Number(value), String(name)))
    .join(locale() === "en" ? " " : "");
}

/** @param {number} value @param {string} name */
const unit = (value, name) => number(value, { style: "unit", unit: name, unitDisplay: "narrow" });

/** A place in a film: `1:02:03`, with tenths where `exact`. @param {number} seconds @param {boolean} [exact] */
export function timecode(seconds, exact = false) {
  const tenths = Math.round(seconds * 10);
  const all = exact ? Math.floor(tenths / 10) : Math.floor(seconds);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const hours = Math.floor(all / 3600);
  const clock = `${hours ? `${hours}:${two(Math.floor(all / 60) % 60)}` : Math.floor(all / 60)}:${two(all % 60)}`;
  return exact ? `${clock}.${tenths % 10}` : clock;
}

/** Date and time to the second, in the viewer's zone. @param {string | number | Date} value */
export const time = (value) => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "medium" }).format(new Date(value));

/** As short as can be without doubt: the time of today, else with the day. @param {string | number | Date} value */
export function brief(value) {
  const date = new Date(value);
  const now = new Date();
  const today = date.toDateString() === now.toDateString();
  const year = date.getFullYear() === now.getFullYear() ? undefined : "numeric";
  const day = /** @type {const} */ ({ year, month: "short", day: "numeric" });
  return new Intl.DateTimeFormat(locale(), { ...(today ? {} : day), hour: "2-digit", minute: "2-digit", ...(today ? { second: "2-digit" } : {}) }).format(date);
}

/** How long ago: `3 minutes ago`. @param {string | number | Date} value @param {number} [now] */
export function ago(value, now = Date.now()) {
  const seconds = Math.round((new Date(value).getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "auto" });
  if (Math.abs(seconds) < 45) return format.format(0, "second");
  for (const [name, size] of /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([["minute", 60], ["hour", 3600], ["day", 86400]])) {
    const count = Math.round(seconds / size);
    if (Math.abs(count) < { minute: 60, hour: 24, day: 30 }[String(name)]) return format.format(count, name);
  }
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(new Date(value));
}

/**
 * Fill what says `data-i18n="key"` (its text) or `data-i18n-attr="aria-label:key; placeholder:key2"` (attributes).
 * @param {Document | Element} [root]
 */
export function apply(root = document) {
  if (root === document) {
    document.documentElement.lang = locale();
    document.documentElement.dir = "ltr";
  }
  for (const element of root.querySelectorAll("[data-i18n]")) {
    element.textContent = t(/** @type {HTMLElement} */ (element).dataset.i18n ?? "");
  }
  for (const element of root.querySelectorAll("[data-i18n-attr]")) {
    for (const pair of (/** @type {HTMLElement} */ (element).dataset.i18nAttr ?? "").split(";")) {
      const [name, key] = pair.split(":").map((part) => part.trim());
      if (name && key) element.setAttribute(name, t(key));
    }
  }
}

/** Choose a language, as Airflow does. @param {string} code */
export function choose(code) {
  localStorage.setItem(KEY, code);
  changed();
}

/** Call when the language changes, here or in Airflow around us: draw again what has words. @param {() => void} listener */
export const onLocale = (listener) => document.addEventListener("localechange", listener);

function changed() {
  apply();
  document.dispatchEvent(new Event("localechange"));
}

addEventListener("storage", (event) => {
  if (event.key === KEY || event.key === null) changed();
});
