// @ts-check
/** The jobs that are shown: the newest ones, and as many older ones as were asked for. */

import { get } from "../api.js";

const PAGE = 25;
const MOST = 100; // rows that the server gives at once

/** @param {{dag_id: string, run_id: string}} job */
export const keyOf = (job) => `${job.dag_id} ${job.run_id}`;

export class JobList {
  /** @param {() => URLSearchParams} wanted */
  constructor(wanted) {
    this.wanted = wanted;
    /** @type {any[]} */
    this.jobs = [];
    /** @type {string | null} */
    this.next = null;
    /** Whether older pages were asked for: then nothing that is shown goes away at the end. */
    this.grown = false;
    /** The keys of the jobs that came since the last time; empty after the first. @type {string[]} */
    this.fresh = [];
    this.asked = "";
    this.isLoaded = false;
  }

  /** Seconds until it is worth asking again: many rows are several requests. */
  get seconds() {
    return 2 * Math.max(1, Math.ceil(this.jobs.length / MOST));
  }

  /** Read again what is shown, and what is newer. @param {AbortSignal} signal */
  async refresh(signal) {
    const asked = this.wanted().toString();
    const same = this.isLoaded && asked === this.asked;
    const { jobs, next } = await this.read(same && this.grown ? Math.max(PAGE, this.jobs.length) : PAGE, null, signal);
    const known = new Set(this.jobs.map(keyOf));
    this.fresh = same ? jobs.map(keyOf).filter((key, at) => !known.has(key) && at <= this.#newest(jobs, known)) : [];
    if (same && this.grown) this.#join(jobs, next);
    else Object.assign(this, { jobs, next, grown: false });
    this.asked = asked;
    this.isLoaded = true;
  }

  /** Where the first job that was known stands: what is above it is new. @param {any[]} jobs @param {Set<string>} known */
  #newest(jobs, known) {
    const first = jobs.findIndex((job) => known.has(keyOf(job)));
    return first < 0 ? jobs.length : first;
  }

  /**
   * New jobs push old ones over the end of what was read, and where few match, what was read ends at a page without rows, before
   * what was looked through already: what is shown stays, and so does where it goes on.
   * @param {any[]} jobs @param {string | null} next
   */
  #join(jobs, next) {
    const read = new Set(jobs.map(keyOf));
    const end = jobs.length ? keyOf(jobs[jobs.length - 1]) : null;
    const last = this.jobs.findIndex((job) => keyOf(job) === end);
    const isShort = next !== null && (last >= 0 || end === null);
    this.jobs = isShort ? [...jobs, ...this.jobs.slice(last + 1).filter((job) => !read.has(keyOf(job)))] : jobs;
    if (!isShort) this.next = next;
  }

  /** Read one page more. @param {AbortSignal} signal @returns {Promise<string[]>} the keys of what came */
  async older(signal) {
    const asked = this.asked;
    const { jobs, next } = await this.read(PAGE, this.next, signal);
    if (asked !== this.asked) return [];
    const known = new Set(this.jobs.map(keyOf));
    const more = jobs.filter((job) => !known.has(keyOf(job)));
    Object.assign(this, { jobs: [...this.jobs, ...more], next, grown: true });
    return more.map(keyOf);
  }

  /** Put a job that is known in its place. @param {any} job */
  replace(job) {
    this.jobs = this.jobs.map((shown) => (keyOf(shown) === keyOf(job) ? { ...shown, ...job } : shown));
  }

  /**
   * @param {number} count rows, at least where there are so many
   * @param {string | null} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<{jobs: any[], next: string | null}>}
   */
  async read(count, cursor, signal) {
    /** @type {any[]} */
    const jobs = [];
    let next = cursor;
    do {
      const query = this.wanted();
      query.set("limit", String(Math.min(MOST, count - jobs.length)));
      if (next) query.set("cursor", next);
      const page = await get(`data/jobs?${query}`, { signal });
      jobs.push(...page.jobs);
      next = page.next;
      if (!page.jobs.length) break;
    } while (next && jobs.length < count);
    return { jobs, next };
  }
}
