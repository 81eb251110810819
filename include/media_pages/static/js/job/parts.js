// @ts-check
/** What the sections of the page are made of. */

import { mount } from "../api.js";
import { attribute, h, write } from "../dom.js";
import { airflowPath, inTab } from "../frame.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";

/**
 * A JobDetail of `include/media_pages/models.py`.
 * @typedef {Record<string, any>} Job
 * @typedef {{element: HTMLElement, update: (job: Job) => void}} Section `update` shows, changes or hides it; whatever has words writes them
 */

/** An element whose text is that of a key, in whatever language. @param {string} tag @param {string} key @param {Record<string, any>} [props] */
export const label = (tag, key, props = {}) => h(tag, { ...props, dataset: { ...props.dataset, i18n: key } }, t(key));

/**
 * A section with its heading; `aside` stands at the heading's end.
 * @param {string} name id of the element; the heading is the text `job.<name>`
 * @param {any[]} children @param {any} [aside]
 */
export function card(name, children, aside) {
  const heading = label("h2", `job.${name}`, { id: `${name}-heading` });
  return h(
    "section",
    { class: `card job-${name}`, id: name, "aria-labelledby": `${name}-heading`, hidden: true },
    h("header", { class: "card-head" }, heading, aside),
    children,
  );
}

/** @param {string} state @returns {HTMLElement} */
export const badge = (state) => h("span", { class: "badge", dataset: { state } });

/** @param {HTMLElement} element @param {string} state @param {string} text */
export function setBadge(element, state, text) {
  attribute(element, "data-state", state);
  write(element, text);
}

/** A link that opens a page of Airflow's UI around us. @param {string} key of its text @param {Record<string, any>} [props] */
export function airflowLink(key, props = {}) {
  return h("a", { ...props, hidden: true }, icon("airflow"), label("span", key));
}

/** @param {HTMLElement} link @param {string | null | undefined} path as `log_path` has it; the link is hidden where there is none */
export function setAirflow(link, path) {
  link.hidden = !path;
  attribute(link, "data-airflow", path);
  attribute(link, "href", path && airflowPath(path));
}

/**
 * The attributes of a link to another job's page. In the tab of a run it is the tab of the other run, not a strange page in this one's.
 * @param {string} dag @param {string} run
 */
export function jobLink(dag, run) {
  const address = `${encodeURIComponent(dag)}/${encodeURIComponent(run)}`;
  if (!inTab) return { href: new URL(`jobs/${address}`, mount).href };
  const path = `/dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}/plugin/media-job`;
  return { href: airflowPath(path), "data-airflow": path };
}

/** An address of a JobDetail: whole, or relative to where the pages are mounted. @param {string} url */
export const address = (url) => new URL(url, mount).href;

/** What stays of an address when it is signed anew: where it leads, and behind a # which version that is. @param {string} url */
export const identity = (url) => address(url).replace(/\?[^#]*/s, "");

/** @type {WeakMap<HTMLImageElement, string>} the newest address of each picture */
const newest = new WeakMap();

/**
 * Show a picture, and load it again only where it is another one; its address may be signed anew with every answer. One that could not be
 * loaded is tried again once there is a newer address.
 * @param {HTMLImageElement} image @param {string} url
 */
export function setImage(image, url) {
  const next = address(url);
  if (!newest.has(image)) {
    image.addEventListener("error", () => {
      image.dataset.broken = image.src;
      const latest = newest.get(image);
      if (latest && latest !== image.src) image.src = latest;
    });
    image.addEventListener("load", () => delete image.dataset.broken);
  }
  const other = !image.src || identity(newest.get(image) ?? "") !== identity(url);
  newest.set(image, next);
  if (other || (image.dataset.broken && image.dataset.broken !== next)) image.src = next;
}

/**
 * A box for a table that is wider than the page: it scrolls, by the keyboard, too.
 * @param {HTMLElement} table @param {string} name key of the name of the region
 */
export function scrolling(table, name) {
  const box = h("div", { class: "table-wrap", dataset: { i18nAttr: `aria-label:${name}` }, "aria-label": t(name) }, table);
  const look = () => {
    const wider = box.scrollWidth > box.clientWidth + 1;
    attribute(box, "tabindex", wider ? 0 : null);
    attribute(box, "role", wider ? "region" : "group");
  };
  new ResizeObserver(look).observe(box);
  new ResizeObserver(look).observe(table);
  look();
  return box;
}

/**
 * Rows of `<dt>` and `<dd>`; those without a value are left out.
 * @param {HTMLElement} list @param {[string, string | null | undefined | false][]} rows key of the name, and the value
 */
export function setFacts(list, rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "");
  const signature = JSON.stringify(shown.map(([key]) => key));
  if (list.dataset.rows !== signature) {
    list.dataset.rows = signature;
    list.replaceChildren(...shown.map(([key]) => h("div", { class: "fact" }, h("dt", null), h("dd", { dataset: { fact: key } }))));
  }
  shown.forEach(([key, value], at) => {
    const row = list.children[at];
    write(row.children[0], t(key));
    write(row.children[1], String(value));
  });
}

/** Seconds from one time to another, or to now. @param {string | null | undefined} start @param {string | null | undefined} [end] */
export function span(start, end) {
  if (!start) return null;
  return Math.max(0, ((end ? new Date(end).getTime() : Date.now()) - new Date(start).getTime()) / 1000);
}

/** @param {any} value */
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
