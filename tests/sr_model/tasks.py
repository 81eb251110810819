"""Tasks for clips, and a small network that needs no training."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from include.ffmpeg_ops.probe import probe
from include.settings import get_settings
from include.sr_model.models import UpscaleTask
from include.sr_model.picture import Geometry, Picture
from tests.media import ffmpeg

__all__ = ["pictures", "task_for"]


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


def pictures(path: Path, geometry: Geometry) -> list[Picture]:
    """Decode ``path`` as it is."""
    argv = [ffmpeg(), "-v", "error", "-noautorotate", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    raw = subprocess.run([*argv, "-f", "rawvideo", "-"], check=True, stdout=subprocess.PIPE).stdout
    frames = np.frombuffer(raw, geometry.dtype).reshape(-1, geometry.samples)
    return [Picture(geometry, frame) for frame in frames]
