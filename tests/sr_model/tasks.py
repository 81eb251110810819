"""Tasks for clips, and a small network that needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.ffmpeg_ops.probe import probe
from include.settings import get_settings
from include.sr_model.models import UpscaleTask

__all__ = ["task_for"]


def task_for(source: Path, **changes: Any) -> UpscaleTask:
    """Return the task that upscales the whole of ``source`` by two, at its own times."""
    info, index = probe(source, settings=get_settings(), damage_policy=changes.get("damage_policy", "strict"))
    stream = info.video
    start = index.pts[0]
    constant = stream.constant_frame_rate
    values: dict[str, Any] = {
        "stream": stream,
        "frames": stream.frames,
        "pts": None if constant else tuple(pts - start for pts in index.pts),
        "end_pts": None if constant else index.end_pts - start,
        "time_base": 1 / stream.frame_rate if constant else stream.time_base,
        "frame_rate": stream.frame_rate,
        "codec": "h264" if stream.bit_depth == 8 else "hevc",
        "preset": "ultrafast",
    }
    return UpscaleTask(**(values | changes))
