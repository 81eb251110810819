// @ts-check
/** The uploads of this browser that are not over, kept in `localStorage`: what a reloaded page goes on with. */

const KEY = "reelflow:uploads";

/**
 * @typedef {object} UploadRecord
 * @property {string} key of this list
 * @property {string} id of the upload; "" until it is created
 * @property {string} atom
 * @property {string} name of the file
 * @property {number} size of the file, bytes
 * @property {number} [modified] when the file was last changed, milliseconds; of older versions of this page none
 * @property {string} print see {@link import("./fingerprint.js").fingerprint}
 * @property {boolean} sent whether all of it has arrived
 * @property {{destinations: string[], title?: string, description?: string, tags?: string[], privacy?: string}} fields
 */

/** @returns {UploadRecord[]} in the order in which they were added */
export function all() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/** Keep a record, or what has changed of it. @param {UploadRecord} record */
export function save(record) {
  const found = all();
  const at = found.findIndex((one) => one.key === record.key);
  if (at < 0) found.push(record);
  else found[at] = record;
  localStorage.setItem(KEY, JSON.stringify(found));
}

/** @param {string} key */
export function remove(key) {
  localStorage.setItem(KEY, JSON.stringify(all().filter((one) => one.key !== key)));
}
