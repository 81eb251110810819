// @ts-check
/** Asking again and again: not while nobody looks, slower while it fails. */

import { ApiError } from "./api.js";

/**
 * How the polling goes: `stale` from the first failure to the next answer.
 * @typedef {{stale: boolean, error: Error | null, since: Date | null, failures: number}} PollState `since`: the last answer
 */

/**
 * Call `fn` now and then every so many seconds. What it throws makes the data stale, and the pause longer (up to a minute).
 * @param {(signal: AbortSignal) => Promise<any>} fn one call at a time
 * @param {{seconds: number | (() => number), signal?: AbortSignal, onState?: (state: PollState) => void}} options
 * @returns {{now: () => Promise<void>, stop: () => void}} `now` ends what is under way and asks again; done when it was answered
 */
export function poll(fn, { seconds, signal, onState = () => {} }) {
  /** @type {PollState} */
  let state = { stale: false, error: null, since: null, failures: 0 };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {AbortController | null} */
  let current = null;
  let stopped = false;

  const pause = () => {
    const base = typeof seconds === "function" ? seconds() : seconds;
    return Math.min(base * 2 ** Math.min(state.failures, 6), Math.max(60, base)) * 1000;
  };

  const plan = () => {
    clearTimeout(timer);
    if (!stopped && !document.hidden) timer = setTimeout(ask, pause());
  };

  async function ask() {
    clearTimeout(timer);
    if (stopped) return;
    current?.abort();
    const mine = (current = new AbortController());
    try {
      await fn(mine.signal);
      if (mine.signal.aborted) return;
      state = { stale: false, error: null, since: new Date(), failures: 0 };
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!(error instanceof ApiError)) console.error(error);
      state = { ...state, stale: true, error: /** @type {Error} */ (error), failures: state.failures + 1 };
    }
    current = null;
    onState(state);
    plan();
  }

  const look = () => {
    if (document.hidden) clearTimeout(timer);
    else if (!current) void ask();
  };

  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    current?.abort();
    document.removeEventListener("visibilitychange", look);
    removeEventListener("online", look);
  };

  document.addEventListener("visibilitychange", look);
  addEventListener("online", look);
  signal?.addEventListener("abort", stop);
  void ask();
  return { now: ask, stop };
}
