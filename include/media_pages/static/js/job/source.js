// @ts-check
/** What the probe found in the source. */

import { h, keyed, write } from "../dom.js";
import { bitRate, bytes, duration, number, t, timecode } from "../i18n.js";
import { icon } from "../icons.js";
import { framesASecond } from "./ladder.js";
import { card, isNumber, label, setFacts } from "./parts.js";

/** @typedef {import("./parts.js").Job} Job */

/** What ffprobe's readers are called by people. @type {Record<string, string>} */
const CONTAINERS = { "mov,mp4,m4a,3gp,3g2,mj2": "MP4 / MOV", "matroska,webm": "Matroska / WebM", mpegts: "MPEG-TS", mpeg: "MPEG-PS", avi: "AVI", flv: "FLV", mxf: "MXF", asf: "ASF / WMV", ogg: "Ogg", nut: "NUT" };

/** @returns {import("./parts.js").Section} */
export function sourceSection() {
  const facts = h("dl", { class: "facts" });
  const heading = label("h3", "job.source.streams");
  const streams = h("ul", { class: "streams" });
  const damaged = h("div", { class: "damage" }, icon("warning"), h("div", null, label("h3", "job.source.damage"), h("ul", null)));
  const element = card("source", [facts, heading, streams, damaged]);

  /** @param {Job} job */
  function update(job) {
    const source = job.source;
    element.hidden = !source;
    if (!source) return;
    const rate = source.frame_rate && t("common.fps", { value: framesASecond(source.frame_rate) });
    setFacts(facts, [
      ["job.source.container", source.container && (CONTAINERS[source.container] ?? source.container)],
      ["job.source.length", isNumber(source.seconds) && `${timecode(source.seconds, true)} (${duration(source.seconds)})`],
      ["job.source.picture", isNumber(source.width) && isNumber(source.height) && `${source.width} × ${source.height}`],
      ["job.source.rate", rate && (source.is_variable ? t("job.source.variable", { rate }) : rate)],
      ["job.source.frames", isNumber(source.frames) && number(source.frames)],
      ["job.source.size", isNumber(source.bytes) && bytes(source.bytes)],
      ["job.source.bitRate", isNumber(source.bit_rate) && bitRate(source.bit_rate)],
      ["job.source.color", [source.color, source.pixel_format].filter(Boolean).join(", ")],
      ["job.source.rotation", source.rotation ? `${source.rotation}°` : null],
      ["job.source.scan", source.interlaced ? t("job.source.interlaced") : null],
    ]);
    heading.hidden = streams.hidden = !source.streams.length;
    keyed(streams, source.streams.map((/** @type {any} */ one, /** @type {number} */ at) => ({ ...one, at })), (one) => `${one.at}`, makeStream, changeStream);
    damaged.hidden = !source.damage.length;
    keyed(damaged.lastElementChild.lastElementChild, source.damage, (line) => line, (line) => h("li", null, line));
  }

  return { element, update };
}

const makeStream = () => h("li", null, h("strong", null), h("span", null), h("span", { class: "stream-dropped" }));

/** @param {HTMLElement} row @param {any} one a SourceStream */
function changeStream(row, one) {
  const [kind, words, dropped] = /** @type {HTMLElement[]} */ ([...row.children]);
  write(kind, t(`job.stream.${one.kind}`));
  const channels = one.layout ?? (isNumber(one.channels) ? t("job.stream.channels", { count: one.channels }) : null);
  const rate = isNumber(one.sample_rate) ? t("job.stream.kilohertz", { value: number(one.sample_rate / 1000, { maximumFractionDigits: 1 }) }) : null;
  write(words, [one.codec, one.language, channels, rate].filter(Boolean).join(" · "));
  dropped.hidden = !one.dropped;
  write(dropped, one.dropped ? t("job.stream.dropped", { reason: one.dropped }) : "");
}
