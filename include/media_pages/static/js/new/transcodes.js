// @ts-check
/** What would be done (contract 1's test), the button that does it, and how it goes then. */

import { get, mount } from "../api.js";
import { find, h, write } from "../dom.js";
import { t } from "../i18n.js";
import { poll } from "../poll.js";
import { announce } from "../shell.js";
import { drawVideos, outcome, summary, videoList } from "./videos.js";

export class Transcodes {
  /** @param {import("./form.js").JobForm} form */
  constructor(form) {
    this.form = form;
    /** @type {any} the answer to a request */
    this.answer = null;
    /** @type {Record<string, any>} the request */
    this.body = {};
    this.isOld = false;
    /** @type {ReturnType<typeof poll> | null} */
    this.polling = null;
    form.addEventListener("change", () => {
      this.isOld = true;
      this.draw();
    });
    form.addEventListener("sent", (event) => this.#sent(/** @type {CustomEvent} */ (event).detail));
    this.list = videoList();
    this.words = h("p", null);
    this.start = h("button", { type: "button", class: "button primary", id: "start", on: { click: () => this.#start() } });
    this.link = h("a", { class: "button", id: "job-link" });
    this.empty = h("div", { class: "empty" }, h("p", null));
    this.heading = h("h2", { id: "result-heading", tabindex: -1 });
    this.element = h("section", { "aria-labelledby": "result-heading", class: "result" }, this.heading, this.empty,
      h("div", { class: "card" }, h("div", { class: "verdict" }, this.words, this.start, this.link), this.list));
  }

  #sent({ body, answer }) {
    this.polling?.stop();
    this.answer = answer;
    this.body = body;
    this.isOld = false;
    this.draw();
    announce(summary(answer.videos));
    this.heading.focus();
    const going = answer.run_id && answer.videos.some((/** @type {any} */ video) => outcome(video) === "started");
    if (going) this.polling = poll((signal) => this.#look(signal), { seconds: 3 });
  }

  /** @param {AbortSignal} signal */
  async #look(signal) {
    this.answer = { ...this.answer, ...(await get(`prod/videoTranscode/${this.answer.run_id}`, { signal })) };
    if (!this.answer.videos.some((/** @type {any} */ video) => outcome(video) === "started")) this.polling?.stop();
    this.draw();
  }

  #start() {
    void this.form.send({ testflag: "no" });
  }

  draw() {
    const { answer } = this;
    const real = Boolean(answer?.run_id);
    const would = (answer?.videos ?? []).filter((/** @type {any} */ video) => outcome(video) === "would").length;
    write(this.heading, t(real ? "new.result.real" : "new.result.test"));
    write(find("p", this.empty), t("new.result.none"));
    this.empty.hidden = Boolean(answer);
    find(".card", this.element).hidden = !answer;
    if (!answer) return;
    write(this.words, this.isOld && !real ? t("new.old") : summary(answer.videos));
    this.start.hidden = real || !would;
    this.start.disabled = this.isOld || !this.form.enabled;
    write(this.start, t("new.start.video_transcode", { count: would }));
    // A file that is there already has no run.
    this.link.hidden = !real || answer.videos.every((/** @type {any} */ video) => ["exist", "skipped"].includes(outcome(video)));
    const dag = this.body.src?.endsWith("/") ? "video_transcode" : "transcode";
    if (real) this.link.href = new URL(`jobs/${dag}/${encodeURIComponent(answer.run_id)}`, mount).href;
    write(this.link, t("new.job"));
    drawVideos(this.list, answer.videos);
  }
}
