// @ts-check
/** The page New job. */

import { get } from "../api.js";
import { find } from "../dom.js";
import { onLocale, t, use } from "../i18n.js";
import messages from "../messages/new.js";
import { reason, shell, toast } from "../shell.js";
import { JobForm } from "./form.js";
import { Transcodes } from "./transcodes.js";
import { Upscales } from "./upscales.js";

/** @typedef {"video_transcode" | "super_resolution"} Kind */

/** @type {Kind[]} */
const KINDS = ["video_transcode", "super_resolution"];

use(messages);
shell("new");

const given = new URLSearchParams(location.search);
/** @type {Kind} */
let shown = given.get("kind") === "super_resolution" ? "super_resolution" : "video_transcode";
/** @type {Record<Kind, {form: JobForm, result: Transcodes | Upscales}> | null} */
let kinds = null;

/** Now, as the contract's own example has it: an output of its own for each second. */
const stamp = () => new Date().toISOString().replace(/\D/g, "").slice(0, 14);

/** @param {any} schemas */
function make(schemas) {
  const presets = Object.fromEntries(given);
  const transcode = new JobForm("video_transcode", schemas.video_transcode, {
    path: "prod/videoTranscode", action: "new.test", fixed: { testflag: "test" }, presets: { time: stamp(), ...presets },
  });
  const upscale = new JobForm("super_resolution", schemas.super_resolution, { path: "prod/", action: "new.start.super_resolution", presets });
  return { video_transcode: { form: transcode, result: new Transcodes(transcode) }, super_resolution: { form: upscale, result: new Upscales(upscale) } };
}

function draw() {
  for (const kind of KINDS) {
    const tab = find(`#tab-${kind}`);
    tab.setAttribute("aria-selected", String(kind === shown));
    tab.tabIndex = kind === shown ? 0 : -1;
  }
  const panel = find("#panel");
  panel.setAttribute("aria-labelledby", `tab-${shown}`);
  if (!kinds) return;
  const { form, result } = kinds[shown];
  result.draw();
  panel.replaceChildren(form.draw(), result.element);
}

/** @param {Kind} kind */
function show(kind) {
  shown = kind;
  const address = new URL(location.href);
  address.searchParams.set("kind", kind);
  history.replaceState(null, "", address);
  draw();
  find(`#tab-${kind}`).focus();
}

for (const kind of KINDS) find(`#tab-${kind}`).addEventListener("click", () => show(kind));
find(".tabs").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) show(KINDS[(KINDS.indexOf(shown) + step + KINDS.length) % KINDS.length]);
});
onLocale(draw);
draw();

try {
  const [schemas, viewer] = await Promise.all([get("data/forms"), get("data/me")]);
  kinds = make(schemas);
  if (!viewer.can_start) {
    find("#not-allowed").hidden = false;
    for (const kind of KINDS) kinds[kind].form.enabled = false;
  }
  draw();
} catch (error) {
  toast(t("new.no-forms", { reason: reason(error) }), "failed");
}
