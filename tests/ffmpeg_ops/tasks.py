"""Video tasks made by hand from a plain ffprobe, so that encoding is tested apart from probing and cutting."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from include.ffmpeg_ops.models import Chunk, Color, OutputTiming, Rung, VideoStream, VideoTask
from tests.media import ffprobe

__all__ = ["HIGH", "LOW", "join", "packets", "probe_json", "probe_video", "video_tasks"]

LOW = Rung(name="low", width=64, height=36, bit_rate=200_000, crf=23, preset="veryfast", h264_profile="main")
HIGH = Rung(name="high", width=128, height=72, bit_rate=800_000, crf=18, preset="veryfast")


def probe_json(path: Path, *arguments: str) -> Any:
    """What ffprobe says, parsed."""
    argv = [ffprobe(), "-v", "error", "-of", "json", *arguments, str(path)]
    return json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)


def packets(path: Path, index: int = 0) -> list[tuple[int, bool]]:
    """PTS and keyframe flag of every packet, in presentation order; read in this process, at a hundredth of a program's cost."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(container.streams[index]) if packet.size and not packet.is_discard]
    return sorted((int(packet.pts), bool(packet.is_keyframe)) for packet in found if packet.pts is not None)


def probe_video(path: Path, *, index: int = 0, rate: Fraction | None = None, **changes: Any) -> VideoStream:
    """The video stream ``index``; constant rate where ``rate`` is not said to be 0."""
    said = probe_json(path, "-show_streams", "-select_streams", str(index))["streams"][0]
    time_base = Fraction(said["time_base"])
    pts = [pts for pts, _ in packets(path, index)]
    average = Fraction(len(pts) - 1, 1) / ((pts[-1] - pts[0]) * time_base) if len(pts) > 1 else Fraction(25)
    exact = rate or Fraction(said["avg_frame_rate"])
    stream = VideoStream(
        index=index,
        codec=said["codec_name"],
        width=said["width"],
        height=said["height"],
        display_width=said["width"],
        display_height=said["height"],
        pix_fmt=said["pix_fmt"],
        bit_depth=8,
        color=Color(
            range=said.get("color_range"),
            matrix=said.get("color_space"),
            primaries=said.get("color_primaries"),
            transfer=said.get("color_transfer"),
        ),
        time_base=time_base,
        frame_rate=average if rate == 0 else exact,
        constant_frame_rate=rate != 0,
        start_pts=pts[0],
        frames=len(pts),
        duration=len(pts) / exact,
    )
    return stream.model_copy(update=changes)


def video_tasks(
    path: Path,
    stream: VideoStream,
    starts: Sequence[int],
    *,
    rungs: tuple[Rung, ...] = (LOW, HIGH),
    seek: bool = True,
    gop_frames: int = 10,
    thumbnail_frames: Sequence[int] = (),
    **changes: Any,
) -> list[VideoTask]:
    """One task per chunk; the chunks begin at the frames ``starts`` (the first is 0)."""
    index = packets(path, stream.index)
    pts = [value for value, _ in index]
    end = pts[-1] + round(1 / stream.frame_rate / stream.time_base)
    if stream.constant_frame_rate:
        timing = OutputTiming(time_base=1 / stream.frame_rate, frame_rate=stream.frame_rate, constant=True)
    else:
        timing = OutputTiming(time_base=stream.time_base, frame_rate=stream.frame_rate, constant=False)
    tasks = []
    for number, first in enumerate(starts):
        last = starts[number + 1] if number + 1 < len(starts) else len(pts)
        limit = pts[last] if last < len(pts) else end
        inside = pts[first:last]
        if timing.constant:
            times = [n * timing.time_base for n in range(last - first)]
        else:
            times = [(value - inside[0]) * stream.time_base for value in inside]
        keyframes = tuple(range(0, last - first, gop_frames))
        keys = [value for value, key in index if key and value <= pts[first]]
        chunk = Chunk(
            index=number,
            first_frame=first,
            frames=last - first,
            start_pts=pts[first],
            end_pts=limit,
            seek_pts=keys[-1] if seek and number else None,
            pts=None if timing.constant else tuple(value - inside[0] for value in inside),
            duration=(limit - pts[first]) * stream.time_base,
            keyframes=keyframes,
            force_times=tuple((times[key - 1] + times[key]) / 2 for key in keyframes[1:]),
            thumbnails=tuple(pts[frame] for frame in thumbnail_frames if first <= frame < last),
        )
        tasks.append(VideoTask(stream=stream, timing=timing, chunk=chunk, rungs=rungs, **changes))
    return tasks


def join(parts: Sequence[Path], out: Path) -> Path:
    """Join chunk files without encoding, as packaging does, into one bare H.264 stream."""
    with out.open("wb") as file:
        for part in parts:
            with av.open(str(part)) as container:
                (video,) = container.streams.video
                annex_b = av.BitStreamFilterContext("h264_mp4toannexb", video)
                for packet in container.demux(video):
                    # The last packet is empty: it flushes.
                    for made in annex_b.filter(packet if packet.size else None):
                        file.write(bytes(made))
    return out
