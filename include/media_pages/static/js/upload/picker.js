// @ts-check
/** Files that are chosen or dropped, with handles where the browser has such: by those a reloaded page finds them again. */

/** @typedef {import("./list.js").Chosen} Chosen */

/**
 * Let the viewer choose files; call it within a click.
 * @param {HTMLInputElement} input used where the browser gives no handles
 * @param {boolean} multiple
 * @returns {Promise<Chosen[]>} none where nothing was chosen
 */
export async function choose(input, multiple) {
  const picker = /** @type {any} */ (window).showOpenFilePicker;
  if (picker) {
    try {
      const found = await picker({ multiple });
      return await Promise.all(found.map(async (handle) => ({ file: await handle.getFile(), handle })));
    } catch (error) {
      if (/** @type {any} */ (error).name === "AbortError") return [];
      // Frames of some browsers may not have it; the click still counts for the input.
    }
  }
  input.multiple = multiple;
  input.value = "";
  return new Promise((resolve) => {
    const done = () => resolve(taken(input));
    input.addEventListener("change", done, { once: true });
    input.addEventListener("cancel", () => {
      input.removeEventListener("change", done);
      resolve([]);
    }, { once: true });
    input.click();
  });
}

/** @param {HTMLInputElement} input @returns {Chosen[]} */
const taken = (input) => Array.from(input.files ?? [], (file) => ({ file }));

/**
 * Take files that are dropped anywhere on the page: one that misses its place would be opened by the browser instead.
 * @param {HTMLElement} zone shows that files may be dropped, by `data-over`
 * @param {(chosen: Chosen[], folders: number) => void} take
 */
export function onDrop(zone, take) {
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.dataset.over = "";
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete zone.dataset.over;
  });
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    delete zone.dataset.over;
    const items = Array.from(event.dataTransfer?.items ?? []).filter((item) => item.kind === "file");
    const files = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory);
    // All at once: what was dropped is gone after the event.
    const chosen = await Promise.all(files.map(async (item) => {
      const file = /** @type {File} */ (item.getAsFile());
      const handle = await Promise.resolve(/** @type {any} */ (item).getAsFileSystemHandle?.()).catch(() => null);
      return { file, handle };
    }));
    take(chosen.filter((one) => one.file), items.length - files.length);
  });
}
