"""Pure: the options of the video encoders, of ladders' rungs and of tasks' outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

from include.ffmpeg_ops import codecs
from include.ffmpeg_ops.models import Rung, TaskRung, VideoTask

__all__ = ["STATISTICS", "Statistics", "seconds", "statistics", "task_options", "x264_options", "x264_zones"]

STATISTICS = ".pass"

# Factors on the bits of the frames beside a chunk's borders, so that the picture shows no step there.
FIRST_FRAME_BONUS = 1.4
LAST_FRAMES_BONUS = 1.25
LAST_FRAMES = 3


def x264_options(task: VideoTask, rung: Rung) -> dict[str, Any]:
    """Return the options of a ladder's rung: constant quality under a cap."""
    chunk = task.chunk
    options: dict[str, Any] = {
        "c:v": "libx264",
        "preset": rung.preset,
        "profile:v": rung.h264_profile,
        "crf": f"{rung.crf:g}",
        "maxrate": rung.bit_rate,
        "bufsize": 2 * rung.bit_rate,
        # Keyframes where the plan wants them and nowhere else, each a closed IDR.
        "g": 1_000_000,
        "sc_threshold": 0,
        "forced-idr": 1,
        "flags:v": "+bitexact+cgop",
        "x264-params": _x264_params(task),
        "threads": task.threads,
    }
    if chunk.force_times:
        options["force_key_frames"] = ",".join(seconds(time) for time in chunk.force_times)
    return options


@dataclass(frozen=True)
class Statistics:
    """Where the first of two passes leaves what the second one needs: options of ffmpeg, or parameters of x265."""

    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def statistics(rung: TaskRung, out_dir: Path, number: int) -> Statistics:
    """Return them for pass ``number``, 1 or 2; nothing for a rung of one pass."""
    if rung.encoding.rc_mode != "2passvbr":
        return Statistics()
    path = out_dir / f"{rung.name}{STATISTICS}"
    if rung.encoding.format == "h265":
        return Statistics(parameters={"pass": number, "stats": path})
    return Statistics(options={"pass": number, "passlogfile": path})


def task_options(task: VideoTask, rung: TaskRung, statistics: Statistics) -> dict[str, Any]:
    """Return the options of a task's output, keyframes where the plan wants them."""
    encoding, chunk, rate = rung.encoding, task.chunk, task.timing.frame_rate
    parameters: dict[str, Any] = dict(statistics.parameters)
    if encoding.format != "mpeg2":
        # As in _x264_params.
        parameters |= {"fps": _ratio(rate), "chromaloc": 0}
    if encoding.format == "h264":
        # The same parameter sets for a chunk of one pass and its neighbour of two.
        parameters["stitchable"] = 1
        if encoding.rc_mode == "vbr":
            parameters["zones"] = x264_zones(chunk.frames)
    made = codecs.video_options(
        encoding,
        frame_rate=rate,
        forced_keyframes=True,
        threads=task.threads,
        preset=rung.preset,
        parameters=parameters,
    )
    options: dict[str, Any] = dict(zip((name[1:] for name in made[::2]), made[1::2], strict=True)) | dict(statistics.options)
    if task.timing.constant:
        options["force_key_frames"] = f"expr:gte(n,n_forced*{codecs.gop_frames(encoding, rate)})"
    elif chunk.force_times:
        options["force_key_frames"] = ",".join(seconds(time) for time in chunk.force_times)
    return options


def _x264_params(task: VideoTask) -> str:
    # The rate in the SPS must be the plan's, the same in every chunk; chroma is sited left whatever the source says.
    return f"fps={_ratio(task.timing.frame_rate)}:chromaloc=0:zones={x264_zones(task.chunk.frames)}"


def x264_zones(frames: int) -> str:
    """Return x264's ``zones`` for a stream of ``frames`` that is a part of a film."""
    # x264 gives the first frame of a stream no bonus over the P frames that it follows in its books (ip_factor, 1.4), and the
    # last ones little for what could refer to them. In a chunk both stand in the middle of a film.
    zones = [f"0,0,b={FIRST_FRAME_BONUS}"]
    if frames > 1:
        zones.append(f"{max(1, frames - LAST_FRAMES)},{frames - 1},b={LAST_FRAMES_BONUS}")
    return "/".join(zones)


def seconds(time: Fraction) -> str:
    """Return ``time`` as ffmpeg reads it, to the next higher microsecond."""
    microseconds = ceil(abs(time) * 1_000_000)
    return f"{'-' if time < 0 else ''}{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
