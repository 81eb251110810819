// @ts-check
/** What has gone wrong with an upload, in the viewer's words. */

import { bytes, has, t } from "../i18n.js";
import { reason } from "../shell.js";

/** @param {any} error of the uploader, or an ApiError @returns {string} */
export function explain(error) {
  const kind = error?.kind;
  const limit = /^size: must be at most (\d+) bytes/.exec(error?.message ?? "");
  if (limit) return t("upload.error.too-large", { limit: bytes(Number(limit[1])) });
  if (kind && has(`upload.error.${kind}`)) return t(`upload.error.${kind}`, { message: error.message });
  return reason(error);
}
