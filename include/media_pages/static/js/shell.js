// @ts-check
/** What all pages have: a header with the way to the others, notices, and a voice for screen readers. */

import { mount, session } from "./api.js";
import { attribute, find, h, write } from "./dom.js";
import { framed, inTab, signIn } from "./frame.js";
import { apply, choose, locale, onLocale, t, use } from "./i18n.js";
import { icon } from "./icons.js";
import common from "./messages/common.js";

use(common);

/** @typedef {"jobs" | "job" | "upload" | "new"} PageName */

/** @type {{name: PageName, path: string, icon: string}[]} */
const PAGES = [
  { name: "jobs", path: "", icon: "jobs" },
  { name: "upload", path: "upload", icon: "upload" },
  { name: "new", path: "new", icon: "new" },
];

/**
 * Draw the header into `<header id="shell">`, put words into what says `data-i18n`, and watch the session. The page's title is
 * the text `<page>.title`.
 * @param {PageName} page
 */
export function shell(page) {
  const header = find("#shell");
  const draw = () => {
    document.title = `${t(`${page}.title`)} – ${t("common.product")}`;
    header.replaceChildren(...parts(page));
  };
  apply();
  draw();
  onLocale(draw);
  document.addEventListener("themechange", draw);
  document.documentElement.classList.toggle("framed", framed);
  document.body.append(voice, toasts);
  session.addEventListener("signedout", showSignedOut);
  session.addEventListener("signedin", () => document.querySelector("#signed-out")?.remove());
  document.documentElement.dataset.ready = "";
}

/** @param {PageName} page */
function parts(page) {
  const skip = h("a", { class: "skip", href: "#main" }, t("common.skip"));
  // A tab of a run is no place of ours: the run's own page is around it.
  if (inTab) return [skip];
  const links = PAGES.map((item) =>
    h(
      "li",
      null,
      h("a", { href: new URL(item.path, mount).href, "aria-current": item.name === page ? "page" : null }, icon(item.icon), t(`common.nav.${item.name}`)),
    ),
  );
  const nav = h("nav", { "aria-label": t("common.nav") }, h("ul", null, links));
  return framed ? [skip, nav] : [skip, h("span", { class: "brand" }, t("common.product")), nav, h("div", { class: "choices" }, languageButton(), themeButton())];
}

function languageButton() {
  const other = locale() === "en" ? "zh-CN" : "en";
  const name = { en: "English", "zh-CN": "简体中文" }[other];
  return h("button", { type: "button", class: "button quiet", id: "language", lang: other, on: { click: () => switchTo(() => choose(other), "#language") } }, name);
}

function themeButton() {
  const dark = document.documentElement.dataset.theme === "dark";
  const change = () => {
    localStorage.setItem("theme", dark ? "light" : "dark");
    document.dispatchEvent(new Event("themechange"));
  };
  return h(
    "button",
    { type: "button", class: "button quiet icon-only", id: "theme", "aria-label": t(dark ? "common.theme.light" : "common.theme.dark"), on: { click: () => switchTo(change, "#theme") } },
    icon(dark ? "sun" : "moon"),
  );
}

/** The header is drawn anew: the focus stays on its button. @param {() => void} change @param {string} button */
function switchTo(change, button) {
  change();
  find(button).focus();
}

const voice = h("div", { class: "visually-hidden", role: "status", id: "voice" });
const toasts = h("div", { class: "toasts", id: "toasts" });

/** Say something to those who do not see it. Sparingly. @param {string} text */
export function announce(text) {
  // The same words again are said again only when they are other words in between.
  voice.textContent = "";
  setTimeout(() => write(voice, text), 50);
}

/**
 * Show a line for some seconds, and say it. Failures stay until they are closed.
 * @param {string} text
 * @param {"done" | "failed"} [kind]
 */
export function toast(text, kind = "done") {
  const close = h("button", { type: "button", class: "button quiet icon-only", "aria-label": t("common.close"), on: { click: () => line.remove() } }, icon("close"));
  const line = h("div", { class: "toast", dataset: { kind }, role: kind === "failed" ? "alert" : "status", "aria-live": kind === "failed" ? null : "off" }, icon(kind === "failed" ? "warning" : "check"), h("span", null, text), close);
  toasts.append(line);
  if (kind === "done") {
    announce(text);
    setTimeout(() => line.remove(), 6000);
  }
}

/**
 * Say above the page's content that its data are old, or nothing.
 * @param {import("./poll.js").PollState} state
 */
export function showStale(state) {
  const signedOut = /** @type {any} */ (state.error)?.status === 401;
  let notice = document.querySelector("#stale");
  if (!state.stale || signedOut) {
    notice?.remove();
    return;
  }
  if (!notice) {
    notice = h("div", { class: "notice", id: "stale", role: "status", dataset: { kind: "warning" } }, icon("warning"), h("span", null));
    find("#main").before(notice);
  }
  write(find("span", notice), state.since ? t("common.stale", { time: new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(state.since) }) : reason(state.error));
  attribute(notice, "data-failures", state.failures);
}

/** An error in the viewer's words. @param {any} error */
export function reason(error) {
  if (error?.status === 0) return t(error.message === "timeout" ? "common.error.timeout" : "common.error.network");
  if (error?.status === 401) return t("common.signedout");
  if (error?.status === 403) return t("common.error.forbidden");
  if (error?.status >= 500) return t("common.error.server");
  return error?.message || t("common.error.server");
}

function showSignedOut() {
  if (document.querySelector("#signed-out")) return;
  const button = h("button", { type: "button", class: "button primary", on: { click: signIn } }, t("common.signin"));
  find("#main").before(
    h("div", { class: "notice", id: "signed-out", role: "alert", dataset: { kind: "warning" } }, icon("warning"), h("span", null, t("common.signedout")), button),
  );
}
