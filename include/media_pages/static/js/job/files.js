// @ts-check
/** What can be downloaded, and other jobs that belong to this one. */

import { attribute, h, keyed, write } from "../dom.js";
import { bytes, t } from "../i18n.js";
import { icon } from "../icons.js";
import { address, card, isNumber, jobLink, label } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** So many are shown at first: an HLS ladder has hundreds. */
const FIRST = 12;

/** @returns {import("./parts.js").Section} */
export function filesSection() {
  const list = h("ul", { class: "files" });
  const more = h("button", { type: "button", class: "button quiet", on: { click: showAll } });
  const element = card("files", [list, more]);
  let all = false;
  /** @type {Job | null} */
  let job = null;

  function showAll() {
    all = true;
    if (job) update(job);
    // The button is gone: go on with the first of those that came.
    /** @type {HTMLElement} */ (list.children[FIRST].querySelector("a")).focus();
  }

  /** @param {Job} next */
  function update(next) {
    job = next;
    element.hidden = !next.files.length;
    keyed(list, all ? next.files : next.files.slice(0, FIRST), (one) => one.key, () => h("li", null, h("a", { class: "break", download: true }, icon("download"), h("span", null)), h("span", { class: "muted number" })), (row, one) => {
      // Signed anew now and then: a link may change while it has the focus.
      attribute(row.firstElementChild, "href", address(one.url));
      attribute(row.firstElementChild, "title", one.key);
      write(row.firstElementChild.lastElementChild, one.name);
      write(row.lastElementChild, isNumber(one.bytes) ? bytes(one.bytes) : "");
    });
    more.hidden = all || next.files.length <= FIRST;
    write(more, t("job.files.all", { count: next.files.length }));
  }

  return { element, update };
}

/** @returns {import("./parts.js").Section} */
export function relatedSection() {
  const list = h("ul", { class: "related" });
  const element = card("related", [list]);

  /** @param {Job} job */
  function update(job) {
    element.hidden = !job.related.length;
    keyed(list, job.related, (one) => `${one.dag_id} ${one.run_id} ${one.title}`, (one) => h("li", null, h("a", { class: "break", ...jobLink(one.dag_id, one.run_id) }, one.title), label("span", `common.kind.${one.kind}`, { class: "tag" })));
  }

  return { element, update };
}
