// @ts-check
/** Tells whether a file is the one that an upload was begun with, as it was then, without reading all of it. */

import { UploadError } from "./uploader.js";

const SAMPLES = 16;
const SAMPLE = 16_384;

/**
 * A short text that depends on the first and the last bytes and on some between. Not a cryptographic hash: those exist on secure
 * origins only, and nobody gains by deceiving himself.
 * @param {Blob} file
 */
export async function fingerprint(file) {
  const last = Math.max(0, file.size - SAMPLE);
  const starts = Array.from({ length: SAMPLES }, (_, n) => Math.floor((last * n) / (SAMPLES - 1)));
  let one = 0x811c9dc5;
  let two = 0x01000193;
  for (const start of [...new Set(starts)]) {
    const bytes = new Uint8Array(await read(file.slice(start, start + SAMPLE)));
    for (const byte of bytes) {
      // FNV-1a, and the same the other way round.
      one = Math.imul(one ^ byte, 0x01000193);
      two = Math.imul(two, 0x01000193) ^ byte;
    }
  }
  return [one, two].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}

/** @param {Blob} blob */
async function read(blob) {
  try {
    return await blob.arrayBuffer();
  } catch {
    throw new UploadError("The file has changed, or can no longer be read.", "unreadable");
  }
}

/**
 * @param {File} file
 * @param {import("./records.js").UploadRecord} record
 * @returns {Promise<"name" | "size" | "content" | null>} what is different, or null: it is the same file
 */
export async function difference(file, record) {
  if (file.name !== record.name) return "name";
  if (file.size !== record.size) return "size";
  // Samples miss what has changed between them.
  if (record.modified !== undefined && file.lastModified !== record.modified) return "content";
  return (await fingerprint(file)) === record.print ? null : "content";
}
