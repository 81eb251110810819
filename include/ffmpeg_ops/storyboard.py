"""Thumbnails and the storyboard that players show above the seek bar: sprite sheets and WebVTT cues that point into them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from include.ffmpeg_ops import runner
from include.ffmpeg_ops.models import Plan

__all__ = ["cues", "write"]

COLUMNS = ROWS = 5
TILE_WIDTH = 160


def write(plan: Plan, thumbnails: Sequence[Path], out_dir: Path, **run_kwargs: Any) -> tuple[str, ...]:
    """Write ``00001.jpg`` … and ``storyboard_001.jpg`` …, ``storyboard.vtt`` under ``out_dir``; return their names, if any."""
    if not thumbnails:
        return ()
    names = [f"{number:05d}.jpg" for number in range(1, len(thumbnails) + 1)]
    for source, name in zip(thumbnails, names, strict=True):
        shutil.copyfile(source, out_dir / name)
    width, height = _tile(plan)
    columns, rows = _grid(len(thumbnails))
    # A folder may have a percent sign in its name, which image2 takes for a pattern.
    pattern = str(out_dir.resolve()).replace("%", "%%")
    argv = ["ffmpeg", *runner.input_options("image2"), "-framerate", "1", "-start_number", "1", "-i", f"{pattern}/%05d.jpg"]
    argv += ["-vf", f"scale={width}:{height}:flags=area,format=yuvj420p,tile={columns}x{rows}", "-fps_mode", "passthrough"]
    argv += ["-c:v", "mjpeg", "-q:v", "4", "-map_metadata", "-1", "-flags:v", "+bitexact"]
    argv += ["-f", "image2", "-start_number", "1", f"{pattern}/storyboard_%03d.jpg"]
    runner.run(runner.Command(tuple(argv)), **run_kwargs)
    sheets = [f"storyboard_{number:03d}.jpg" for number in range(1, math.ceil(len(thumbnails) / (columns * rows)) + 1)]
    (out_dir / "storyboard.vtt").write_text(cues(plan, len(thumbnails)), encoding="utf-8")
    return (*names, *sheets, "storyboard.vtt")


def cues(plan: Plan, count: int) -> str:
    """Return the WebVTT text for ``count`` thumbnails: each is shown from its frame to the next, together the whole duration."""
    width, height = _tile(plan)
    columns, rows = _grid(count)
    starts = _starts(plan, count)
    ends = [*starts[1:], plan.info.duration]
    blocks = ["WEBVTT\n"]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        sheet, place = divmod(number, columns * rows)
        row, column = divmod(place, columns)
        area = f"{column * width},{row * height},{width},{height}"
        blocks.append(f"{_time(start)} --> {_time(end)}\nstoryboard_{sheet + 1:03d}.jpg#xywh={area}\n")
    return "\n".join(blocks)


def _starts(plan: Plan, count: int) -> list[Fraction]:
    video = plan.info.video
    planned = [pts * video.time_base - plan.info.epoch for chunk in plan.chunks for pts in chunk.thumbnails]
    if len(planned) != count:
        # Salvaged from a damaged source: which ones are missing is not known.
        planned = [Fraction(number * (plan.thumbnail_seconds or 10)) for number in range(count)]
    return [Fraction(0), *planned[1:]]


def _tile(plan: Plan) -> tuple[int, int]:
    video = plan.info.video
    return TILE_WIDTH, max(2, 2 * round(TILE_WIDTH * video.display_height / video.display_width / 2))


def _grid(count: int) -> tuple[int, int]:
    columns = min(COLUMNS, count)
    return columns, min(ROWS, math.ceil(count / columns))


def _time(seconds: Fraction) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
