// @ts-check
/** Handles of files, kept in IndexedDB: where the browser has them, a reloaded page reads the file again without its being chosen. */

const NAME = "reelflow-uploads";
const STORE = "handles";

/** @returns {Promise<IDBDatabase>} */
function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} work
 * @returns {Promise<any>} null where the browser keeps nothing (a private window)
 */
async function within(mode, work) {
  try {
    const open = await database();
    try {
      return await new Promise((resolve, reject) => {
        const request = work(open.transaction(STORE, mode).objectStore(STORE));
        request.onsuccess = () => resolve(request.result ?? null);
        request.onerror = () => reject(request.error);
      });
    } finally {
      open.close();
    }
  } catch {
    return null;
  }
}

/** @param {string} key @param {FileSystemFileHandle} handle */
export const keep = (key, handle) => within("readwrite", (store) => store.put(handle, key));

/** @param {string} key */
export const forget = (key) => within("readwrite", (store) => store.delete(key));

/** @param {string} key @returns {Promise<FileSystemFileHandle | null>} */
export const find = (key) => within("readonly", (store) => store.get(key));

/**
 * The file behind a handle; asks for permission, so call it after a click. Null where it is refused, or the file is gone.
 * @param {any} handle
 * @returns {Promise<File | null>}
 */
export async function open(handle) {
  try {
    if ((await handle.queryPermission?.({ mode: "read" })) === "prompt" && (await handle.requestPermission({ mode: "read" })) !== "granted") return null;
    return await handle.getFile();
  } catch {
    return null;
  }
}
