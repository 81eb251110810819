// @ts-check
/** The fields' descriptions, which the APIs' models have in English, in 简体中文. A test tells which one is missing. */

/** @type {Record<string, string>} */
const CHINESE = {
  "Bucket of both `src` and `dst`.": "`src` 和 `dst` 所在的存储桶。",
  "A folder (ends with `/`, read recursively) or one `.mp4` file.": "一个文件夹（以 `/` 结尾，包含子文件夹），或一个 `.mp4` 文件。",
  "Folder of the outputs; ends with `/`.": "输出文件夹，以 `/` 结尾。",
  "Version of the output; part of its path.": "输出的版本，是其路径的一部分。",
  "One MP4, or an HLS ladder.": "一个 MP4，或多码率 HLS。",
  "Content provider's name, shown on the run.": "内容提供方名称，显示在任务上。",
  "Bit rate of the sources, bit/s; left out: each file is probed.": "源文件的码率（bit/s）；留空则逐个检测。",
  "Height of the sources (1088 is taken as 1080); left out: each file is probed.": "源文件的高度（1088 视为 1080）；留空则逐个检测。",
  "Where events of each video's run are sent to, signed (docs/webhooks.md).": "接收每个视频任务事件的地址，事件带签名（docs/webhooks.md）。",
  "Object key of the source video.": "源视频的对象键。",
  "Upscaling per side: 2 or 4.": "每边的放大倍数：2 或 4。",
  "`debug` also keeps every intermediate file.": "`debug` 会同时保留所有中间文件。",
  "Kind of machine that a fleet runs segments on.": "机群处理分段时使用的机器类型。",
  "Seconds of video per segment; segments start at keyframes, so they are longer.": "每个分段的视频秒数；分段从关键帧开始，因此会略长。",
  "Size of the network; left out: `MEDIA_SR_MODEL`.": "网络的规模；留空则用 `MEDIA_SR_MODEL`。",
  "Afterwards transcode the result: `m3u8` an HLS ladder, `mp4` one MP4, in the folder `<stem>_x<scale>/`.":
    "完成后对结果转码：`m3u8` 为多码率 HLS，`mp4` 为一个 MP4，输出到文件夹 `<stem>_x<scale>/`。",
  "Where events of the run are sent to, signed (docs/webhooks.md).": "接收任务事件的地址，事件带签名（docs/webhooks.md）。",
};

/**
 * @param {string} description in English
 * @param {string} language
 */
export const translated = (description, language) => (language === "zh-CN" && CHINESE[description]) || description;
