// @ts-check
/** Questions. `window.confirm` does nothing in Airflow's iframe. */

import { h } from "./dom.js";
import { t } from "./i18n.js";

let count = 0;

/**
 * Ask, and wait for the answer. Escape and Cancel say no; the focus returns to where it was.
 * @param {{title: string, text: string, action: string, danger?: boolean}} question `action` is the word on the button that says yes
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text, action, danger = false }) {
  const id = `dialog-${(count += 1)}`;
  const cancel = h("button", { type: "button", class: "button", autofocus: danger }, t("common.cancel"));
  const yes = h("button", { type: "button", class: danger ? "button danger" : "button primary", autofocus: !danger }, action);
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-text` },
    h("h2", { id: `${id}-title` }, title),
    h("p", { id: `${id}-text` }, text),
    h("div", { class: "dialog-actions" }, cancel, yes),
  );
  return new Promise((resolve) => {
    cancel.addEventListener("click", () => dialog.close());
    yes.addEventListener("click", () => dialog.close("yes"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
