// @ts-check
/**
 * Uploads a file from a browser: parts go straight to S3, several at once, and a reloaded page goes on where it was.
 *
 *     import { Upload } from "./uploader.js";
 *     const upload = new Upload(input.files[0], { atom: "story-17", destinations: ["youtube"] });
 *     upload.addEventListener("progress", ({ detail }) => { bar.value = detail.sent / detail.size; });
 *     const { id } = await upload.start();
 *
 * A page must not hold an API key: let it call its own server, which adds the key (`url`, `headers`). The bucket's CORS rules
 * must allow PUT from the page's origin.
 */

const ATTEMPTS = 8;
const LONGEST_WAIT = 30_000;
const STALLED_AFTER = 60_000;
// Parts are looked for once a minute where the event of a queue was lost.
const NOTICED_AFTER = 75_000;
const KINDS = { 401: "signed-out", 403: "forbidden", 404: "gone", 413: "too-large" };

/**
 * What went wrong, and where: `kind` is `network` or `server` (the API), `s3-network`, `s3-refused` or `s3` (the store), or that of an
 * {@link UploadError}. Such errors are tried again, and thrown once that was done often enough.
 */
export class Trouble extends Error {
  /** @param {string} message @param {string} kind */
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

/** What another attempt cannot mend; `kind` is `signed-out`, `forbidden`, `gone`, `too-large`, `refused`, `failed` or `unreadable`. */
export class UploadError extends Trouble {}

/**
 * One file on its way. Fires `created` with the new upload, `parts` with the upload as the API tells it, `progress` with `{sent, size}`, and
 * `trouble` with `{error, seconds}` before it waits to try again.
 */
export class Upload extends EventTarget {
  /**
   * @param {File} file
   * @param {{atom: string, url?: string, headers?: () => HeadersInit, parallel?: number,
   *   storage?: Pick<Storage, "getItem" | "setItem" | "removeItem">, destinations?: string[], title?: string, description?: string, tags?: string[], privacy?: string}} options
   */
  constructor(file, { atom, url = "", headers = () => ({}), parallel = 4, storage = localStorage, ...fields }) {
    super();
    this.file = file;
    this.base = `${url}/api2/atom/${encodeURIComponent(atom)}/uploads`;
    this.headers = headers;
    this.parallel = parallel;
    this.storage = storage;
    this.fields = fields;
    // Another version of a file of the same name is another upload, and so is the same one for other destinations or with other words.
    this.key = `reelflow:${atom}:${file.name}:${file.size}:${file.lastModified}:${JSON.stringify(fields)}`;
    this.id = "";
    /** @type {Map<number, number>} bytes of each part that have left */
    this.sent = new Map();
    /** @type {Map<number, number>} when each part had left */
    this.sentAt = new Map();
    this.stopping = new AbortController();
    /** @type {Promise<any> | undefined} */
    this.running = undefined;
  }

  /** Send what is missing; resolves to the upload once all of it has arrived. Rejects with an AbortError after `pause()`. */
  start() {
    if (!this.running) {
      // One that was paused may end after the next one has begun.
      const running = this.#run().finally(() => { if (this.running === running) this.running = undefined; });
      this.running = running;
    }
    return this.running;
  }

  /** Stop sending; `start()` goes on. */
  pause() {
    this.stopping.abort();
    this.stopping = new AbortController();
    this.running = undefined;
  }

  /** Give the upload up: what was sent is removed. */
  async abort() {
    this.pause();
    if (this.id) await this.#call("DELETE", `/${this.id}`);
    this.storage.removeItem(this.key);
  }

  async #run() {
    const { signal } = this.stopping;
    for (;;) {
      const upload = await this.#look(signal);
      const missing = upload.parts.map((part, n) => ({ ...part, n })).filter((part) => !part.complete);
      if (!missing.length) {
        this.storage.removeItem(this.key);
        return upload;
      }
      const unsent = missing.filter((part) => this.sent.get(part.n) !== part.end - part.start || this.#isWrong(part));
      // What was sent is noticed within seconds.
      if (unsent.length) await this.#sendAll(unsent, signal);
      else await sleep(1000, signal);
    }
  }

  /** Whether an error of a part is of what was sent last, and not of what was there before. */
  #isWrong(part) {
    return Boolean(part.error) && Date.now() - (this.sentAt.get(part.n) ?? 0) > NOTICED_AFTER;
  }

  /** Return the upload as it is, or a new one where this object has none yet. */
  async #look(signal) {
    const known = this.id || this.storage.getItem(this.key);
    let upload = known ? await this.#call("GET", `/${known}`, { signal, absent: null }) : null;
    // What was sent would be missing from another one.
    if (this.id && !upload) throw new UploadError("The upload was given up elsewhere.", "gone");
    // What one destination does not take, another may.
    const failed = upload?.destinations.every((destination) => destination.status === "failed");
    if (failed && this.id) throw new UploadError(upload.destinations[0].error ?? "The upload has failed.", "failed");
    if (!upload || failed) {
      upload = await this.#call("POST", "", { signal, body: { filename: this.file.name, size: this.file.size, ...this.fields } });
      this.storage.setItem(this.key, upload.id);
      this.dispatchEvent(new CustomEvent("created", { detail: upload }));
    }
    this.id = upload.id;
    upload.parts.forEach((part, n) => { if (part.complete) this.sent.set(n, part.end - part.start); });
    this.#tell();
    this.dispatchEvent(new CustomEvent("parts", { detail: upload }));
    return upload;
  }

  async #sendAll(parts, signal) {
    const waiting = [...parts];
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const line = async () => {
      for (let part = waiting.shift(); part; part = waiting.shift()) await this.#send(part, either);
    };
    try {
      await Promise.all(Array.from({ length: Math.min(this.parallel, parts.length) }, line));
    } catch (error) {
      failed.abort();
      throw error;
    }
  }

  async #send(part, signal) {
    // A URL for each attempt: the one before may have expired.
    await this.#patiently(signal, async () => {
      const { url } = await this.#call("GET", `/${this.id}/parts/${part.n}/url`, { signal });
      const told = (bytes) => { this.sent.set(part.n, bytes); this.#tell(); };
      try {
        await put(url, this.file.slice(part.start, part.end), told, signal);
        told(part.end - part.start);
        this.sentAt.set(part.n, Date.now());
      } catch (error) {
        told(0);
        throw error;
      }
    });
  }

  async #call(method, path, { body, signal, absent } = /** @type {any} */ ({})) {
    const headers = new Headers(this.headers());
    if (body) headers.set("Content-Type", "application/json");
    const request = { method, headers, signal, body: body && JSON.stringify(body) };
    const call = async () => {
      const answer = await fetch(this.base + path, request).catch((error) => {
        throw signal?.aborted ? error : new Trouble("The server cannot be reached.", "network");
      });
      if (answer.status === 404 && absent !== undefined) return absent;
      if (answer.ok) return answer.status === 204 ? undefined : answer.json();
      const { message } = await answer.json().catch(() => ({}));
      const Kind = answer.status < 500 ? UploadError : Trouble;
      throw new Kind(message ?? `The server answers ${answer.status}.`, KINDS[answer.status] ?? (answer.status < 500 ? "refused" : "server"));
    };
    // A POST that is made again might make two uploads.
    return method === "POST" ? call() : this.#patiently(signal, call);
  }

  /** Call until it works, with longer waits; give up at once on what is final. */
  async #patiently(signal, call) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await call();
      } catch (error) {
        if (signal?.aborted || error instanceof UploadError || attempt >= ATTEMPTS) throw error;
        // Full jitter, so that many pages do not come back at the same moment.
        const wait = Math.random() * Math.min(LONGEST_WAIT, 500 * 2 ** attempt);
        this.dispatchEvent(new CustomEvent("trouble", { detail: { error, seconds: wait / 1000 } }));
        await sleep(wait, signal);
      }
    }
  }

  #tell() {
    const sent = [...this.sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.dispatchEvent(new CustomEvent("progress", { detail: { sent, size: this.file.size } }));
  }
}

/** PUT a blob; XMLHttpRequest, since fetch does not tell how much of a body has left. */
async function put(url, blob, told, signal) {
  try {
    await putOnce(url, blob, told, signal);
  } catch (error) {
    // A browser calls it a failure of the network that a file has changed or is gone.
    if (!signal.aborted && error.kind === "s3-network") await blob.slice(0, 1).arrayBuffer().catch(() => {
      throw new UploadError("The file has changed, or can no longer be read.", "unreadable");
    });
    throw error;
  }
}

function putOnce(url, blob, told, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    let silence = 0;
    // A connection that was lost without a word would be waited for without end.
    const heard = () => { clearTimeout(silence); silence = setTimeout(stop, STALLED_AFTER); };
    signal.addEventListener("abort", stop, { once: true });
    request.upload.onprogress = (event) => { heard(); told(event.loaded); };
    request.onload = () => {
      if (request.status < 300) resolve(undefined);
      else reject(new Trouble(`S3 answers ${request.status}.`, request.status === 403 ? "s3-refused" : "s3"));
    };
    request.onerror = () => reject(new Trouble("S3 cannot be reached, or its CORS rules do not allow this page.", "s3-network"));
    request.onabort = () => reject(signal.reason ?? new Trouble("S3 has stopped taking the part.", "s3-network"));
    request.onloadend = () => { clearTimeout(silence); signal.removeEventListener("abort", stop); };
    request.open("PUT", url);
    heard();
    request.send(blob);
  });
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(undefined); }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
