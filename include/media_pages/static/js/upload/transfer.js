// @ts-check
/** One upload of this page: sent by the uploader, remembered in the records, followed until every destination has ended. */

import { ApiError, get, mount, send } from "../api.js";
import { poll } from "../poll.js";
import { difference } from "./fingerprint.js";
import * as handles from "./handles.js";
import * as records from "./records.js";
import { Speed } from "./speed.js";
import { Upload } from "./uploader.js";

/** @typedef {"queued" | "sending" | "paused" | "absent" | "stopped" | "sent" | "over" | "gone"} TransferState */

const OVER = new Set(["complete", "failed"]);

/** Fires `change`. */
export class Transfer extends EventTarget {
  /**
   * @param {records.UploadRecord} record
   * @param {File | null} file null after a reload: it has to be opened or chosen again
   */
  constructor(record, file = null) {
    super();
    this.record = record;
    this.file = file;
    /** @type {TransferState} */
    this.state = record.sent ? "sent" : file ? "queued" : "absent";
    /** @type {any} the upload as the API tells it */
    this.upload = null;
    /** @type {any} why it does not go on */
    this.error = null;
    /** @type {{error: any, seconds: number} | null} what is being tried again */
    this.trouble = null;
    this.restarted = false;
    /** @type {"name" | "size" | "content" | null} why the file that was chosen again was not taken */
    this.refused = null;
    /** Whether the browser can open the file again by itself. */
    this.reopens = false;
    this.moved = 0;
    this.speed = new Speed();
    /** @type {Upload | null} */
    this.uploader = null;
    /** @type {ReturnType<typeof poll> | null} */
    this.polling = null;
    if (record.id) this.#follow();
  }

  /** Bytes that have left or, before anything does, had arrived. */
  get bytes() {
    if (this.record.sent) return this.record.size;
    if (this.uploader?.sent.size) return this.moved;
    return (this.upload?.parts ?? []).reduce((sum, part) => sum + (part.complete ? part.end - part.start : 0), 0);
  }

  /** Seconds until all has left; null where that cannot be told. */
  get left() {
    const rate = this.state === "sending" ? this.speed.rate() : null;
    return rate ? (this.record.size - this.bytes) / rate : null;
  }

  /** Path of its job's page below the mount, once there is one. */
  get jobPath() {
    return this.record.id ? `jobs/upload/upload__${this.record.id}` : null;
  }

  /**
   * Take the file that was chosen again.
   * @param {File} file
   * @returns {Promise<"name" | "size" | "content" | null>} what tells that it is another one
   */
  async give(file) {
    const differs = await difference(file, this.record);
    if (!differs) {
      this.file = file;
      this.refused = null;
      if (this.state === "absent") this.#to("queued");
    }
    return differs;
  }

  /** Read another object of the same file from now on: the old one may be of an older state of it. */
  renew() {
    this.uploader = null;
    this.error = null;
  }

  /** Send until all has arrived, it is paused, or it cannot go on. */
  async run() {
    if (!this.file || this.state === "sending") return;
    this.error = null;
    this.#to("sending");
    try {
      await alone(this.record.key, () => this.#send());
    } catch (error) {
      this.trouble = null;
      if (/** @type {any} */ (error)?.name === "AbortError") {
        if (this.state === "sending") this.#to("paused");
      } else {
        this.error = error;
        this.#to("stopped");
      }
    }
  }

  async #send() {
    // It was paused before the lock was had.
    if (this.state !== "sending") return;
    const uploader = (this.uploader ??= this.#uploader());
    await uploader.start();
    this.trouble = null;
    this.#to("sent");
    this.#follow();
  }

  #uploader() {
    const { record } = this;
    const storage = {
      getItem: () => record.id || null,
      setItem: (/** @type {string} */ _key, /** @type {string} */ id) => {
        this.restarted = record.id !== "";
        record.id = id;
        records.save(record);
      },
      removeItem: () => {
        record.sent = true;
        records.save(record);
      },
    };
    const uploader = new Upload(/** @type {File} */ (this.file), {
      atom: record.atom,
      url: mount.href.replace(/\/$/, ""),
      headers: () => ({ "X-Reelflow": "1" }),
      storage,
      ...record.fields,
    });
    uploader.addEventListener("created", () => this.#follow());
    uploader.addEventListener("parts", (event) => {
      this.upload = /** @type {CustomEvent} */ (event).detail;
      this.#changed();
    });
    uploader.addEventListener("progress", (event) => {
      const { sent } = /** @type {CustomEvent} */ (event).detail;
      if (sent > this.moved) this.trouble = null;
      this.moved = sent;
      this.speed.add(sent);
      this.#changed();
    });
    uploader.addEventListener("trouble", (event) => {
      this.trouble = /** @type {CustomEvent} */ (event).detail;
      this.#changed();
    });
    return uploader;
  }

  pause() {
    this.#to("paused");
    this.uploader?.pause();
    this.speed.reset();
  }

  /** Say that the file that was chosen is another one. @param {"name" | "size" | "content"} why */
  refuse(why) {
    this.refused = why;
    this.#changed();
  }

  /** Wait for its turn (again). */
  queue() {
    this.error = null;
    this.#to(this.file ? "queued" : "absent");
  }

  /** Give it up: what was sent is removed. Rejects where the server does not do so. */
  async abort() {
    const before = this.state;
    this.pause();
    try {
      if (this.record.id) await send("DELETE", this.#path);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) {
        this.#to(before === "sending" ? "paused" : before);
        throw error;
      }
    }
    this.forget();
  }

  /** Take it off this browser's list; the upload itself stays as it is. */
  forget() {
    this.polling?.stop();
    records.remove(this.record.key);
    void handles.forget(this.record.key);
    this.dispatchEvent(new Event("forgotten"));
  }

  get #path() {
    return `api2/atom/${encodeURIComponent(this.record.atom)}/uploads/${this.record.id}`;
  }

  /** Ask how it goes until every destination has ended: they begin while parts still come. */
  #follow() {
    this.polling ??= poll(async (signal) => {
      try {
        this.upload = await get(this.#path, { signal });
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 404)) throw error;
        this.#end("gone");
        return;
      }
      this.#look();
      if (this.upload.destinations.every((at) => OVER.has(at.status))) this.#end("over");
      this.#changed();
    }, { seconds: 2 });
  }

  /** Where all has arrived, by another page or before this one was left, no file is needed any more. */
  #look() {
    const { record, state, upload } = this;
    // The uploader finds out by itself.
    if (record.sent || state === "sending" || !upload.parts.every((part) => part.complete)) return;
    record.sent = true;
    records.save(record);
    this.#to("sent");
  }

  /** @param {"over" | "gone"} state */
  #end(state) {
    // The uploader finds out by itself, and says why.
    if (this.state === "sending") return;
    this.polling?.stop();
    this.polling = null;
    records.remove(this.record.key);
    void handles.forget(this.record.key);
    this.#to(state);
  }

  /** @param {TransferState} state */
  #to(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Another window of this browser is sending the file. */
export class Elsewhere extends Error {
  kind = "elsewhere";
}

/**
 * Do something that only one window may do at a time; origins without locks (not secure ones) go without.
 * @param {string} key
 * @param {() => Promise<void>} work
 */
async function alone(key, work) {
  if (!navigator.locks) return work();
  return navigator.locks.request(`reelflow-upload:${key}`, { ifAvailable: true }, async (lock) => {
    if (!lock) throw new Elsewhere();
    await work();
  });
}
