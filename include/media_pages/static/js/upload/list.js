// @ts-check
/** All uploads of this page: one is sent at a time, in the order in which they were added. */

import * as handles from "./handles.js";
import * as records from "./records.js";
import { fingerprint } from "./fingerprint.js";
import { Transfer } from "./transfer.js";

/** @typedef {{file: File, handle?: FileSystemFileHandle | null}} Chosen */

/** Fires `change` when a transfer was added, has gone, or has changed. */
export class TransferList extends EventTarget {
  constructor() {
    super();
    /** @type {Transfer[]} */
    this.transfers = [];
    for (const record of records.all()) {
      const transfer = new Transfer(record);
      this.#add(transfer);
      void handles.find(record.key).then((handle) => {
        transfer.reopens = handle !== null;
        this.#changed();
      });
    }
    // What the network has stopped goes on with it.
    addEventListener("online", () => {
      for (const one of this.transfers) if (one.state === "stopped" && /network$/.test(one.error?.kind ?? "")) one.queue();
    });
  }

  /**
   * Go on with uploads that wait for one of these files.
   * @param {Chosen[]} chosen
   * @returns {Promise<Chosen[]>} the others
   */
  async resume(chosen) {
    const others = [];
    for (const one of chosen) {
      const waiting = this.transfers.filter((transfer) => transfer.state === "absent");
      // One that cannot be read is told of when it is to be sent.
      const found = await first(waiting, async (transfer) => !(await transfer.give(one.file).catch(() => "content")));
      if (!found) others.push(one);
    }
    return others;
  }

  /**
   * @param {Chosen} chosen
   * @param {string} atom
   * @param {records.UploadRecord["fields"]} fields
   */
  async add({ file, handle }, atom, fields) {
    const key = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    /** @type {records.UploadRecord} */
    const record = {
      key, id: "", atom, name: file.name, size: file.size, modified: file.lastModified, print: await fingerprint(file), sent: false, fields,
    };
    records.save(record);
    if (handle) await handles.keep(key, handle);
    this.#add(new Transfer(record, file));
  }

  /**
   * Find the file of a transfer again through its handle.
   * @param {Transfer} transfer
   * @returns {Promise<File | null>} null: it has to be chosen
   */
  async reopen(transfer) {
    const handle = await handles.find(transfer.record.key);
    return handle ? handles.open(handle) : null;
  }

  /** @param {Transfer} transfer */
  #add(transfer) {
    this.transfers.push(transfer);
    transfer.addEventListener("change", () => this.#changed());
    transfer.addEventListener("forgotten", () => {
      this.transfers = this.transfers.filter((one) => one !== transfer);
      this.#changed();
    });
    this.#changed();
  }

  #changed() {
    if (!this.transfers.some((one) => one.state === "sending")) {
      const next = this.transfers.find((one) => one.state === "queued");
      if (next) void next.run();
    }
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => Promise<boolean>} test
 * @returns {Promise<T | undefined>}
 */
async function first(items, test) {
  for (const item of items) if (await test(item)) return item;
  return undefined;
}
