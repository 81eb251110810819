// @ts-check
/** What uploads belong to: a name that the API takes. */

/** @param {string} name */
export const isAtom = (name) => /^[A-Za-z0-9_-]{1,64}$/.test(name);

/**
 * A name made of a file's and the day: `interview-20261121`; `upload-20261121` where the file's has no letters that an atom may have.
 * @param {string} file
 * @param {Date} [now]
 */
export function defaultAtom(file, now = new Date()) {
  const stem = file.replace(/\.[^.]+$/, "").normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const words = stem.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 48).replace(/-+$/, "");
  const day = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, "0")).join("");
  return `${words || "upload"}-${day}`;
}
