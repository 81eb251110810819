// @ts-check
/** Plays what was made. The element stays as it is while the page is told anew what there is. */

import { attribute, h, write } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { address, card, identity } from "./parts.js";
import { Storyboard } from "./storyboard.js";

/** @typedef {import("./parts.js").Job} Job */

const HLS = "application/vnd.apple.mpegurl";

/** @returns {import("./parts.js").Section & {seek: (seconds: number) => void, canPlay: () => boolean}} */
export function playerSection() {
  const video = /** @type {HTMLVideoElement} */ (h("video", { controls: true, preload: "metadata", playsinline: true, dataset: { i18nAttr: "aria-label:job.player.video" }, "aria-label": t("job.player.video") }));
  const broken = h("p", { class: "notice", role: "alert", dataset: { kind: "failed" }, hidden: true }, icon("warning"), h("span", null));
  const unable = h("p", { class: "notice", id: "player-unable", hidden: true }, icon("film"), h("span", null));
  const kind = h("span", { class: "tag" });
  const storyboard = new Storyboard({ seek });
  const element = card("player", [h("div", { class: "player-screen" }, video), broken, unable, storyboard.element], kind);
  /** What is played, as far as it stays the same. */
  let playing = "";
  /** The newest address of it. */
  let newest = "";
  let isHls = false;
  /** Where it has stopped, until it goes on there. @type {{at: number, play: boolean} | null} */
  let stopped = null;

  video.addEventListener("error", () => {
    if (!video.getAttribute("src")) return;
    if (stopped) {
      // It was opened anew already: nothing but a newer address can help.
      broken.hidden = false;
      write(broken.lastElementChild, t("job.player.broken"));
      return;
    }
    // Signed addresses run out: go on with the newest one where this one ended.
    stopped = { at: video.currentTime, play: !video.paused };
    open(stopped);
  });
  video.addEventListener("timeupdate", () => storyboard.follow(video.currentTime));
  video.addEventListener("loadedmetadata", () => { broken.hidden = true; });
  for (const goesOn of ["playing", "seeked"]) video.addEventListener(goesOn, () => { stopped = null; });

  /** @param {{at?: number, play?: boolean}} from seconds */
  function open({ at = 0, play = false } = {}) {
    // Chromium takes segments of another origin, which the store is, by CORS only.
    video.crossOrigin = isHls ? "anonymous" : null;
    video.src = newest;
    if (at) video.addEventListener("loadedmetadata", () => { video.currentTime = at; }, { once: true });
    if (play) video.play().catch(() => {});
  }

  /** @param {number} seconds */
  function seek(seconds) {
    if (!canPlay()) return;
    if (video.readyState) video.currentTime = seconds;
    else video.addEventListener("loadedmetadata", () => { video.currentTime = seconds; }, { once: true });
  }

  const canPlay = () => Boolean(playing) && unable.hidden;

  /** @param {Job} job */
  function update(job) {
    const { player } = job;
    element.hidden = !player && !job.storyboard;
    storyboard.update(job.storyboard, job.source?.seconds);
    const plays = player && video.canPlayType(player.type) !== "";
    /** @type {HTMLElement} */ (video.parentElement).hidden = !plays;
    unable.hidden = !player || plays;
    kind.hidden = !player;
    if (!player) return;
    write(kind, player.type === HLS ? "HLS" : player.type.replace("video/", "").toUpperCase());
    write(unable.lastElementChild, t(player.type === HLS ? "job.player.noHls" : "job.player.unable", { type: player.type }));
    isHls = player.type === HLS;
    newest = address(player.url);
    if (!plays) {
      playing = "";
      return;
    }
    const now = `${identity(player.url)} ${job.started_at}`;
    if (now === playing) {
      // It could not be played: try once with each newer address.
      if (!broken.hidden && newest !== video.src) open(stopped ?? {});
      return;
    }
    playing = now;
    stopped = null;
    broken.hidden = true;
    if (player.poster) attribute(video, "poster", address(player.poster));
    open();
  }

  return { element, update, seek, canPlay };
}
