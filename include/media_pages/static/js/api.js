// @ts-check
/** Requests to our own server. Paths are relative to where the pages are mounted, e.g. `data/jobs`. */

/** Where the pages are mounted; ends with a slash. */
export const mount = new URL("../../", import.meta.url);

/** Raised by a request that was answered with an error, or not at all (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message in the server's words
   * @param {any} [body] the whole answer, where it was JSON
   */
  constructor(status, message, body = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.body = body;
  }
}

/** Tells `signedout` and `signedin`, of which the shell shows a notice. */
export const session = new EventTarget();
let signedOut = false;

/** @param {boolean} out */
function tellSession(out) {
  if (out !== signedOut) {
    signedOut = out;
    session.dispatchEvent(new Event(out ? "signedout" : "signedin"));
  }
}

/**
 * @param {string} method
 * @param {string} path below the mount
 * @param {{body?: any, signal?: AbortSignal, seconds?: number, headers?: Record<string, string>}} [options] `seconds` until it is given up
 * @returns {Promise<any>} the answer: JSON, or text where it is none; null where there is no content
 */
export async function send(method, path, { body, signal, seconds = 30, headers = {} } = {}) {
  const limit = AbortSignal.timeout(seconds * 1000);
  let response;
  let content = null;
  try {
    response = await fetch(new URL(path.replace(/^\/+/, ""), mount), {
      method,
      credentials: "same-origin",
      headers: {
        Accept: "application/json",
        ...(method === "GET" ? {} : { "X-Reelflow": "1" }),
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    // Also a body that stops in the middle is no answer.
    if (response.status !== 401 && response.status !== 204) content = await read(response);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, limit.aborted ? "timeout" : "network");
  }
  if (response.status === 401) {
    tellSession(true);
    throw new ApiError(401, "signed out");
  }
  if (!response.ok) throw new ApiError(response.status, words(content) || `HTTP ${response.status}`, content);
  tellSession(false);
  return content;
}

/** @param {Response} response */
async function read(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * What an error says: each contract has its own shape.
 * @param {any} content
 * @returns {string}
 */
function words(content) {
  if (!content || typeof content !== "object") return "";
  const said = content.message ?? content.error ?? content.detail;
  return typeof said === "string" ? said : (said?.message ?? "");
}

/** @param {string} path @param {{signal?: AbortSignal, seconds?: number}} [options] */
export const get = (path, options) => send("GET", path, options);

/** @param {string} path @param {any} [body] @param {{signal?: AbortSignal, seconds?: number, headers?: Record<string, string>}} [options] */
export const post = (path, body = {}, options) => send("POST", path, { ...options, body });
