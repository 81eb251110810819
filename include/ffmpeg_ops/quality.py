"""Measures how close encoded pictures are to what the encoder was given: PSNR, SSIM and, where ffmpeg has it, VMAF.

A window of a few frames in the middle of each chunk is decoded again from the source and goes through the encoder's own
filters, so both sides differ by the coding alone.
"""

from __future__ import annotations

import json
import logging
import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from include.errors import InputError, InternalError
from include.ffmpeg_ops import commands, filters, runner, tonemap
from include.ffmpeg_ops.models import VideoTask
from include.ffmpeg_ops.runner import Command
from include.ffmpeg_ops.tools import has_filter

__all__ = ["Window", "measure", "window_of"]

logger = logging.getLogger(__name__)

FRAMES = 12
# Reported for identical pictures, whose PSNR is infinite, which JSON has no number for.
IDENTICAL_PSNR = 100.0


@dataclass(frozen=True)
class Window:
    """The frames ``first <= n < first + frames`` of a chunk; ``start_pts <= PTS < end_pts`` in the source's time base."""

    first: int
    frames: int
    start_pts: int
    end_pts: int
    seconds: Fraction


def measure(source: Path, task: VideoTask, files: Mapping[str, Path], **run_kwargs: Any) -> dict[str, dict[str, float]]:
    """Return ``{rung: {"psnr", "psnr_y"[, "ssim"][, "vmaf"]}}`` of a sample of the chunk; PSNR in dB, at most 100.

    PSNR is of the mean squared error over all frames, SSIM the mean over frames, both over Y, U and V as ffmpeg weighs them.
    A rung that lacks frames of the sample (a salvaged chunk's, say) is left out.
    """
    window = window_of(task)
    vmaf = has_filter("libvmaf", run_kwargs.get("settings"))
    # Beside the files, in the unit's own space: the system's temporary folder may be small, or in memory.
    with tempfile.TemporaryDirectory(dir=files[task.rungs[0].name].parent, prefix=".quality-") as folder:
        scratch = Path(folder)
        lut = commands.lut_path(task, scratch)
        if lut is not None and task.stream.color.hdr is not None:
            tonemap.write_cube(task.stream.color.hdr, lut)
        try:
            runner.run(_command(source, task, files, window=window, scratch=scratch, vmaf=vmaf), **run_kwargs)
        except (InputError, InternalError) as error:
            # Frames may be missing where a damaged source was salvaged. That a chunk cannot be measured does not make it bad.
            logger.warning("quality of chunk %d cannot be measured: %s", task.chunk.index, error.message)
            return {}
        found = {rung.name: _read(scratch, rung.name, window.frames) for rung in task.rungs}
    for name, values in found.items():
        if values is None:
            logger.warning("quality of rung %s, chunk %d: not the expected %d frames", name, task.chunk.index, window.frames)
    return {name: values for name, values in found.items() if values is not None}


def window_of(task: VideoTask) -> Window:
    """Choose the frames to compare: the start of the GOP in the middle of the chunk."""
    chunk, stream = task.chunk, task.stream
    first = chunk.keyframes[len(chunk.keyframes) // 2]
    count = min(FRAMES, chunk.frames - first)

    def edge(frame: int) -> int:
        # Between the frame before and this one, since timestamps may be off the grid by some jitter.
        if frame == 0:
            return chunk.start_pts
        if frame == chunk.frames:
            return chunk.end_pts
        return chunk.start_pts + math.ceil((_time(task, frame - 1) + _time(task, frame)) / 2 / stream.time_base)

    return Window(first, count, edge(first), edge(first + count), _time(task, first))


def _time(task: VideoTask, frame: int) -> Fraction:
    """Return the seconds from the chunk's start to one of its frames."""
    pts = frame if task.chunk.pts is None else task.chunk.pts[frame]
    return pts * task.timing.time_base


def _command(source: Path, task: VideoTask, files: Mapping[str, Path], *, window: Window, scratch: Path, vmaf: bool) -> Command:
    chunk = task.chunk.model_copy(
        update={"start_pts": window.start_pts, "end_pts": window.end_pts, "frames": window.frames, "pts": None}
    )
    part = task.model_copy(update={"chunk": chunk, "damage_policy": "strict"})
    # As in encoding, a picture size that changes midway is the scalers' work.
    original = ffmpeg.input(
        f"file:{source}", **commands.input_arguments(), **_seek(task, window), threads=task.threads, reinit_filter=0
    )
    prepared = filters.prepare(original[str(task.stream.index)], part, commands.lut_path(task, scratch))
    sizes = sorted({(rung.width, rung.height, rung.picture or ()) for rung in task.rungs})
    measures = 3 if vmaf else 2
    references = {}
    for size, branch in zip(sizes, filters.split(filters.retime(prepared, part), len(sizes)), strict=True):
        users = sum((rung.width, rung.height, rung.picture or ()) == size for rung in task.rungs)
        # Both sides are numbered anew: frames are compared by their place in the window, not by timestamps that rounding moves.
        given = filters.resize(branch, part, size[0], size[1], size[2] or None).filter("setpts", "N")
        references[size] = iter(filters.split(given, users * measures))
    outputs = []
    for rung in task.rungs:
        video = _encoded(files[rung.name], task, window)
        given = references[rung.width, rung.height, rung.picture or ()]
        video = ffmpeg.filter([video, next(given)], "psnr", stats_file=str(scratch / f"{rung.name}.psnr"))
        video = ffmpeg.filter([video, next(given)], "ssim", stats_file=str(scratch / f"{rung.name}.ssim"))
        if vmaf:
            log = str(scratch / f"{rung.name}.vmaf")
            video = ffmpeg.filter([video, next(given)], "libvmaf", log_fmt="json", log_path=log, n_threads=task.threads)
        outputs.append(ffmpeg.output(video, "null", f="null", fps_mode="passthrough"))
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    return Command(
        ("ffmpeg", "-copyts", "-max_error_rate", "1", "-filter_complex_threads", str(task.threads), *ffmpeg.get_args(merged))
    )


def _seek(task: VideoTask, window: Window) -> dict[str, Any]:
    if task.chunk.seek_pts is None:
        # The chunk is the first, or the container is one in which seeking is not exact.
        return {}
    # ffmpeg goes to the keyframe before the time asked for, or to one still earlier; what precedes the window is trimmed away.
    aim = window.start_pts * task.stream.time_base
    return {"ss": f"{math.floor(aim * 1_000_000)}us", "seek_timestamp": 1, "noaccurate_seek": None}


def _encoded(path: Path, task: VideoTask, window: Window) -> Any:
    time_base = task.timing.time_base
    ticks = [_time(task, frame) * task.timing.timescale for frame in (window.first, window.first + window.frames - 1)]
    start, end = round(ticks[0]), round(ticks[1]) + 1
    half_frame = Fraction(1, 2) / task.timing.frame_rate
    aim = math.floor((window.seconds + min(half_frame, Fraction(1, 2000))) * 1_000_000)
    video = ffmpeg.input(f"file:{path}", **commands.input_arguments(), ss=f"{aim}us", noaccurate_seek=None)["v:0"]
    return (
        video.filter("trim", start_pts=start, end_pts=end)
        .filter("settb", f"{time_base.numerator}/{time_base.denominator}")
        .filter("setpts", "N")
    )


def _read(scratch: Path, rung: str, frames: int) -> dict[str, float] | None:
    errors = [_fields(line) for line in (scratch / f"{rung}.psnr").read_text(encoding="utf-8").splitlines()]
    alike = [_fields(line) for line in (scratch / f"{rung}.ssim").read_text(encoding="utf-8").splitlines()]
    if len(errors) != frames or len(alike) != frames:
        return None
    values = {
        "psnr": _psnr(sum(item["mse_avg"] for item in errors) / frames),
        "psnr_y": _psnr(sum(item["mse_y"] for item in errors) / frames),
    }
    # Of pictures with a side below 16 the chroma is too small for a single one of SSIM's windows, and the mean is not a number.
    if all("All" in item for item in alike):
        values["ssim"] = sum(item["All"] for item in alike) / frames
    log = scratch / f"{rung}.vmaf"
    if log.exists():
        values["vmaf"] = json.loads(log.read_text(encoding="utf-8"))["pooled_metrics"]["vmaf"]["mean"]
    return {name: round(value, 4) for name, value in values.items()}


def _fields(line: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(\w+):([\d.]+|inf)", line)}


def _psnr(error: float) -> float:
    return min(IDENTICAL_PSNR, 10 * math.log10(255**2 / error)) if error > 0 else IDENTICAL_PSNR
