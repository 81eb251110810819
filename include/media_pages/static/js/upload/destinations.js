// @ts-check
/** How far an upload has come at each of its destinations. */

import { attribute, find, h, keyed, write } from "../dom.js";
import { percent, t } from "../i18n.js";

const STATES = { waiting: "waiting", upload: "running", transcoding: "running", complete: "done", failed: "failed" };

export const destinations = () => h("ul", { class: "destinations" });

/**
 * @param {HTMLElement} list of {@link destinations}
 * @param {any[]} items as the API tells them
 */
export function drawDestinations(list, items) {
  keyed(list, items, (item) => item.type, make, (row, item) => {
    const name = t(`upload.to.${item.type}`);
    write(find(".to", row), name);
    const badge = find(".badge", row);
    attribute(badge, "data-state", STATES[item.status]);
    write(badge, t(`upload.status.${item.type}.${item.status}`));
    const bar = find("progress", row);
    bar.hidden = STATES[item.status] !== "running";
    attribute(bar, "data-state", STATES[item.status]);
    attribute(bar, "aria-label", name);
    bar.value = item.progress;
    write(find(".far", row), bar.hidden ? "" : percent(item.progress));
    const details = find(".details", row);
    write(details, item.error ?? item.details ?? "");
    details.classList.toggle("error", Boolean(item.error));
  });
}

function make() {
  return h(
    "li",
    null,
    h("span", { class: "to" }),
    h("span", { class: "badge" }),
    h("progress", { class: "bar", max: 100 }),
    h("span", { class: "far number" }),
    h("p", { class: "details break" }),
  );
}
