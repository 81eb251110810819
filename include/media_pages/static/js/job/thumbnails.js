// @ts-check
/** Pictures of the film. Where it can be played, each is a button that goes there. */

import { attribute, h, keyed, write } from "../dom.js";
import { t, timecode } from "../i18n.js";
import { card, setImage } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** So many are shown at first: a film has one every ten seconds. */
const FIRST = 12;

/**
 * @param {{element: HTMLElement, seek: (seconds: number) => void, canPlay: () => boolean}} player
 * @returns {import("./parts.js").Section}
 */
export function thumbnailsSection(player) {
  const list = h("ul", { class: "thumbnails" });
  const more = h("button", { type: "button", class: "button quiet", on: { click: showAll } });
  const element = card("thumbnails", [list, more]);
  /** @type {Job | null} */
  let job = null;
  let all = false;

  function showAll() {
    all = true;
    if (job) update(job);
    list.children[FIRST].querySelector("button")?.focus();
  }

  /** @param {number} seconds */
  function go(seconds) {
    player.seek(seconds);
    player.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {Job} next */
  function update(next) {
    job = next;
    element.hidden = !next.thumbnails.length;
    const playable = player.canPlay();
    const shown = all ? next.thumbnails : next.thumbnails.slice(0, FIRST);
    keyed(list, shown, (one) => `${playable} ${one.time}`, (one) => {
      const image = h("img", { loading: "lazy", alt: "" });
      const time = h("span", { class: "number" });
      return h("li", null, playable ? h("button", { type: "button", on: { click: () => go(one.time) } }, image, time) : h("div", { class: "thumbnail" }, image, time));
    }, (row, one) => {
      const [image, time] = row.firstElementChild.children;
      setImage(image, one.url);
      write(time, timecode(one.time));
      attribute(row.firstElementChild, playable ? "aria-label" : "title", t(playable ? "job.thumbnails.play" : "job.thumbnails.at", { time: timecode(one.time) }));
    });
    more.hidden = all || next.thumbnails.length <= FIRST;
    write(more, t("job.thumbnails.all", { count: next.thumbnails.length }));
  }

  return { element, update };
}
