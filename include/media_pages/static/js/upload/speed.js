// @ts-check
/** How fast it goes, over the last seconds. */

const WINDOW = 8_000;
const LEAST = 1_000;

export class Speed {
  constructor() {
    /** @type {{at: number, bytes: number}[]} */
    this.seen = [];
  }

  /** @param {number} bytes sent until now @param {number} [at] milliseconds */
  add(bytes, at = performance.now()) {
    // What is sent again was not sent: the measure begins anew.
    if (this.seen.length && bytes < this.seen[this.seen.length - 1].bytes) this.seen = [];
    this.seen.push({ at, bytes });
    while (this.seen.length > 2 && at - this.seen[0].at > WINDOW) this.seen.shift();
  }

  reset() {
    this.seen = [];
  }

  /** @returns {number | null} bytes a second; null until that can be told */
  rate(at = performance.now()) {
    const [first] = this.seen;
    const last = this.seen[this.seen.length - 1];
    if (!first || at - first.at < LEAST) return null;
    return (last.bytes - first.bytes) / ((at - first.at) / 1000);
  }
}
