// @ts-check
/** Stopping and retrying a job: asked first, told afterwards. */

import { post } from "./api.js";
import { confirm } from "./dialog.js";
import { t } from "./i18n.js";
import { reason, toast } from "./shell.js";

/** The data address of a job. @param {{dag_id: string, run_id: string}} job */
export const dataPath = (job) => `data/${jobPath(job)}`;

/** The page of a job, below the mount. @param {{dag_id: string, run_id: string}} job */
export const jobPath = (job) => `jobs/${encodeURIComponent(job.dag_id)}/${encodeURIComponent(job.run_id)}`;

/** The last part of an address or key: what people call the job. @param {string} title */
export const shortName = (title) => title.replace(/\/+$/, "").split("/").pop() || title;

/**
 * Ask, and then do it.
 * @param {{dag_id: string, run_id: string, title: string}} job
 * @param {"stop" | "retry"} action
 * @returns {Promise<any>} the job as it is now; null where it has failed, which the viewer has been told; false where the answer was no
 */
export async function act(job, action) {
  const name = shortName(job.title);
  const sure = await confirm({
    title: t(`common.${action}.title`, { name }),
    text: t(`common.${action}.text`),
    action: t(`common.${action}`),
    danger: action === "stop",
  });
  if (!sure) return false;
  try {
    const now = await post(`${dataPath(job)}/${action}`);
    toast(t(`common.${action}.done`, { name }));
    return now;
  } catch (error) {
    toast(t(`common.${action}.failed`, { name, reason: reason(error) }), "failed");
    return null;
  }
}
