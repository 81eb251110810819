// @ts-check
/** The upscales that were started from this page, newest first. */

import { mount } from "../api.js";
import { h, write } from "../dom.js";
import { t } from "../i18n.js";
import { announce } from "../shell.js";

export class Upscales {
  /** @param {import("./form.js").JobForm} form */
  constructor(form) {
    /** @type {any[]} */
    this.answers = [];
    this.heading = h("h2", { id: "result-heading", tabindex: -1 });
    this.place = h("div", { class: "started" });
    this.element = h("section", { "aria-labelledby": "result-heading", class: "result" }, this.heading, this.place);
    form.addEventListener("sent", (event) => {
      const { answer } = /** @type {CustomEvent} */ (event).detail;
      this.answers = [answer, ...this.answers.filter((one) => one.run_id !== answer.run_id)];
      this.draw();
      announce(t("new.started", { key: answer.output_key }));
      this.heading.focus();
    });
  }

  draw() {
    write(this.heading, t("new.result.started"));
    const cards = this.answers.map((answer) =>
      h("div", { class: "card" },
        h("div", { class: "verdict" }, h("p", null, t("new.segments", { count: answer.segments })),
          h("a", { class: "button", href: new URL(`jobs/super_resolution/${encodeURIComponent(answer.run_id)}`, mount).href }, t("new.job"))),
        h("p", { class: "dst mono break" }, `→ ${answer.output_key}`)),
    );
    this.place.replaceChildren(...(cards.length ? cards : [h("div", { class: "empty" }, h("p", null, t("new.result.upscales")))]));
  }
}
