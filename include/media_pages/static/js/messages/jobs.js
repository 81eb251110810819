// @ts-check
/** Words of the page Jobs. */

export default {
  en: {
    "jobs.title": "Jobs",
  },
  "zh-CN": {
    "jobs.title": "任务",
  },
};
