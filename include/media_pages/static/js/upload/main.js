// @ts-check
/** The page Upload. */

import { get } from "../api.js";
import { confirm } from "../dialog.js";
import { find, keyed } from "../dom.js";
import { onLocale, t, use } from "../i18n.js";
import messages from "../messages/upload.js";
import { announce, shell, toast } from "../shell.js";
import { drawCard, makeCard } from "./card.js";
import { Form } from "./form.js";
import { TransferList } from "./list.js";
import { choose, onDrop } from "./picker.js";
import { explain } from "./words.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */

use(messages);
shell("upload");

const list = new TransferList();
const input = /** @type {HTMLInputElement} */ (find("#files"));
const form = new Form(async (rows, atom, fields) => {
  let count = 0;
  for (const row of rows) {
    try {
      await list.add(row, atom, fields(row));
      count += 1;
    } catch (error) {
      toast(`${row.file.name}: ${explain(error)}`, "failed");
    }
  }
  if (count) announce(t("upload.started", { count }));
});

/** @param {import("./picker.js").Chosen[]} chosen @param {number} [folders] */
async function take(chosen, folders = 0) {
  if (folders) toast(t("upload.folders"), "failed");
  const empty = chosen.filter(({ file }) => !file.size);
  for (const { file } of empty) toast(t("upload.empty", { name: file.name }), "failed");
  form.add(await list.resume(chosen.filter(({ file }) => file.size)));
}

/** @param {import("./card.js").Action} action @param {Transfer} transfer */
async function act(action, transfer) {
  const { name } = transfer.record;
  if (action === "pause") transfer.pause();
  else if (action === "dismiss") transfer.forget();
  else {
    try {
      await (action === "abort" ? abort(transfer) : resume(transfer));
    } catch (error) {
      toast(`${name}: ${explain(error)}`, "failed");
    }
  }
}

/** @param {Transfer} transfer */
async function abort(transfer) {
  const { name } = transfer.record;
  if (!(await confirm({ title: t("upload.abort.title"), text: t("upload.abort.text", { name }), action: t("upload.abort.yes"), danger: true }))) return;
  await transfer.abort();
  announce(t("upload.aborted", { name }));
}

/** @param {Transfer} transfer */
async function resume(transfer) {
  // A file that has changed on the disk is read no more: it has to be chosen again, and to be the same.
  if (!transfer.file || transfer.error?.kind === "unreadable") {
    const file = (await list.reopen(transfer)) ?? (await choose(input, false))[0]?.file;
    if (!file) return;
    const differs = await transfer.give(file);
    if (differs) {
      transfer.refuse(differs);
      return;
    }
    transfer.renew();
  }
  transfer.queue();
}

let drawn = 0;
function draw() {
  drawn = 0;
  keyed(find("#transfers"), list.transfers, ({ record }) => record.key, (transfer) => makeCard(act, transfer), drawCard);
  find("#none").hidden = list.transfers.length > 0;
}

/** Bytes leave more often than a picture is drawn. */
function soon() {
  drawn ||= requestAnimationFrame(draw);
}

/** @type {WeakMap<Transfer, string>} */
const told = new WeakMap();
list.addEventListener("change", () => {
  soon();
  for (const transfer of list.transfers) {
    if (told.get(transfer) === transfer.state) continue;
    told.set(transfer, transfer.state);
    if (["sent", "over", "stopped"].includes(transfer.state)) announce(`${transfer.record.name}: ${t(`upload.state.${transfer.state}`)}`);
  }
});
onLocale(() => {
  form.draw();
  soon();
});
find("#choose").addEventListener("click", async () => take(await choose(input, true)));
onDrop(find("#zone"), (chosen, folders) => void take(chosen, folders));
form.draw();
draw();

const viewer = await get("data/me").catch(() => null);
if (viewer && !viewer.can_start) {
  find("#not-allowed").hidden = false;
  find("#choose").disabled = true;
  find("#start").disabled = true;
}
