"""What the pictures of a source say of themselves beyond a probe: chroma siting, and what an HDR master was made on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast, get_args

from include.ffmpeg_ops import filters, runner
from include.ffmpeg_ops.models import VideoStream
from include.ffmpeg_ops.runner import Command
from include.settings import Settings
from include.sr_model.models import Siting, UpscaleTask

__all__ = ["Description", "describe", "whole_chroma"]


@dataclass(frozen=True)
class Description:
    """``mastering`` and ``light`` are SMPTE ST 2086 and CTA-861.3 values as x265 reads them."""

    siting: Siting = "left"
    mastering: str | None = None
    light: str | None = None


def whole_chroma(stream: VideoStream) -> bool:
    """Tell whether pictures have chroma (or RGB) for every sample of luma; halved by the decoder it has the siting ``left``."""
    return "444" in stream.pix_fmt or filters.is_rgb(stream)


def describe(source: Path, task: UpscaleTask, settings: Settings | None = None) -> Description:
    """Return what the first picture of ``source`` says; the task's own siting, where it has one, comes first."""
    siting: Siting | None = "left" if whole_chroma(task.stream) else task.siting
    if siting is not None and not task.stream.color.hdr:
        return Description(siting)
    options = (
        "-select_streams",
        str(task.stream.index),
        "-read_intervals",
        "%+#1",
        "-show_frames",
        "-show_streams",
        "-of",
        "json",
    )
    argv = ("ffprobe", *options, *runner.input_options(), f"file:{source}")
    document: dict[str, Any] = json.loads(runner.run(Command(argv), timeout=60, settings=settings).stdout)
    frame, stream = ([*document.get(part, ()), {}][0] for part in ("frames", "streams"))
    said = siting or frame.get("chroma_location") or stream.get("chroma_location")
    # What only the container says, not every version of ffprobe tells of the pictures.
    told = [*stream.get("side_data_list", []), *frame.get("side_data_list", [])]
    data = {item.get("side_data_type"): item for item in told}
    return Description(
        cast(Siting, said) if said in get_args(Siting) else "left",
        _mastering(data.get("Mastering display metadata", {})),
        _light(data.get("Content light level metadata", {})),
    )


def _mastering(data: Mapping[str, Any]) -> str | None:
    try:
        points = {
            label: [round(Fraction(data[f"{name}_{axis}"]) * 50_000) for axis in "xy"]
            for label, name in (("G", "green"), ("B", "blue"), ("R", "red"), ("WP", "white_point"))
        }
        light = [round(Fraction(data[f"{end}_luminance"]) * 10_000) for end in ("max", "min")]
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    return "".join(f"{label}({x},{y})" for label, (x, y) in points.items()) + f"L({light[0]},{light[1]})"


def _light(data: Mapping[str, Any]) -> str | None:
    try:
        return f"{int(data['max_content'])},{int(data['max_average'])}"
    except (KeyError, ValueError):
        return None
