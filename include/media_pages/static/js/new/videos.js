// @ts-check
/** What a request for transcodes comes to: a line for each of its files. */

import { find, h, keyed, attribute, write } from "../dom.js";
import { percent, t } from "../i18n.js";

/** @typedef {{src: string, dst?: string, status?: "transcode" | "exist" | "done" | "failed", error: string, progress?: number}} Video */

/** @param {Video} video @returns {"would" | "started" | "exist" | "skipped" | "done" | "failed"} */
export function outcome(video) {
  if (!video.status) return "skipped";
  if (video.status === "transcode") return video.error === "test" ? "would" : "started";
  return video.status;
}

const STATES = { would: "queued", started: "running", exist: "reused", skipped: "cancelled", done: "done", failed: "failed" };

/** @param {readonly Video[]} videos @returns {string} how many of each */
export function summary(videos) {
  const counts = new Map();
  for (const video of videos) counts.set(outcome(video), (counts.get(outcome(video)) ?? 0) + 1);
  return [...counts].map(([what, count]) => t(`new.count.${what}`, { count })).join(" · ") || t("new.nothing");
}

export const videoList = () => h("ul", { class: "videos" });

/** @param {HTMLElement} list of {@link videoList} @param {readonly Video[]} videos */
export function drawVideos(list, videos) {
  keyed(list, videos, (video) => video.src, () => h("li", null, h("span", { class: "src mono break" }), h("span", { class: "badge" }), h("p", { class: "dst break" })), (row, video) => {
    const what = outcome(video);
    write(find(".src", row), video.src);
    const badge = find(".badge", row);
    attribute(badge, "data-state", STATES[what]);
    const far = what === "started" && video.progress !== undefined ? ` ${percent(video.progress)}` : "";
    write(badge, t(`new.outcome.${what}`) + far);
    const dst = find(".dst", row);
    const why = what === "skipped" || what === "failed";
    write(dst, why ? (video.error === "not .mp4" ? t("new.why.not-mp4") : video.error) : `→ ${video.dst}`);
    dst.classList.toggle("mono", !why);
  });
}
