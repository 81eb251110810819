// @ts-check
/** Small drawings of 16 by 16, in the colour of the text around them; for the eye only. */

import { h } from "./dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  jobs: "M2.5 4h1M6 4h7.5M2.5 8h1M6 8h7.5M2.5 12h1M6 12h7.5",
  upload: "M8 10.5V2.5M4.8 5.5 8 2.3l3.2 3.2M2.5 10.5v2.2a.8.8 0 0 0 .8.8h9.4a.8.8 0 0 0 .8-.8v-2.2",
  new: "M8 3v10M3 8h10",
  stop: "M4 4h8v8H4z",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2.3V5h-2.7",
  airflow: "M6.5 3H3v10h10V9.5M9 2.8h4.2V7M13 3 7.5 8.5",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9M10.3 10.3 13.5 13.5",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3 8.5 6.5 12 13 4.5",
  warning: "M8 2.3 14.3 13.3H1.7zM8 6.5v3.3M8 11.5v.2",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M8 4.7V8l2.3 1.5",
  play: "M5 3.2v9.6L12.5 8z",
  pause: "M5.2 3.5v9M10.8 3.5v9",
  download: "M8 2.5v8M4.8 7.5 8 10.7l3.2-3.2M2.5 13.5h11",
  file: "M4 1.8h5.2L12.5 5v9.2H4zM9 2v3.2h3.2",
  film: "M2.5 3.5h11v9h-11zM5 3.5v9M11 3.5v9M2.5 6.5H5M2.5 9.5H5M11 6.5h2.5M11 9.5h2.5",
  sparkle: "M8 2.5 9.4 6.6 13.5 8 9.4 9.4 8 13.5 6.6 9.4 2.5 8 6.6 6.6z",
  fan: "M3 8h3.5M6.5 8 12.5 3.5M6.5 8h6M6.5 8 12.5 12.5",
  folder: "M2 4.2h4.3l1.4 1.6H14v7H2z",
  inbox: "M2.5 9.5 4.3 3.5h7.4l1.8 6v3.2h-11zM2.5 9.5h3.3l.8 1.5h2.8l.8-1.5h3.3",
  moon: "M13 9.7A5.5 5.5 0 1 1 6.3 3a4.5 4.5 0 0 0 6.7 6.7",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6M8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
};

/** @param {keyof typeof PATHS} name @returns {SVGElement} */
export function icon(name) {
  return h(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    h("path", { d: PATHS[name], fill: "none", stroke: "currentColor", "stroke-width": "1.4", "stroke-linejoin": "round", "stroke-linecap": "round" }),
  );
}
