"""Joins the upscaled segments' files, our own, into one video stream whose timestamps are the source's, tick for tick."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from include.errors import Cancelled, VerificationFailed
from include.ffmpeg_ops.segments import Manifest, Segment

__all__ = ["splice"]


def splice(
    parts: Sequence[Path], manifest: Manifest, out: Path, *, lead: int = 0, cancelled: threading.Event | None = None
) -> None:
    """Write the MP4 ``out``: all packets of ``parts``, frame n at the source's PTS plus ``lead`` seconds.

    ffmpeg's concat demuxer counts in microseconds, and repairs decoding times at the expense of presentation times. Here both
    are set: a frame is decoded when the one ``delay`` places before it in presentation order is due. Raises
    :class:`VerificationFailed` where a part has other frames than its segment, or other parameters than the first one.
    """
    numerator, timescale = manifest.time_base.numerator, manifest.time_base.denominator
    ticks = [pts * numerator + lead * timescale for segment in manifest.segments for pts in segment.source_pts]
    end = manifest.segments[-1].end_pts * numerator + lead * timescale
    delay = max(_delay(path, segment, manifest, cancelled) for path, segment in zip(parts, manifest.segments, strict=True))
    step = max(1, round((end - ticks[0]) / len(ticks)))
    decoded = [ticks[0] - step * n for n in range(delay, 0, -1)] + ticks
    options = {"video_track_timescale": str(timescale), "movie_timescale": str(timescale)}
    with av.open(str(out), "w", format="mp4", options=options) as target:
        stream: Any = None
        for path, segment in zip(parts, manifest.segments, strict=True):
            with av.open(str(path)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(video)
                    stream.time_base = Fraction(1, timescale)
                    extradata = video.codec_context.extradata
                elif video.codec_context.extradata != extradata:
                    raise VerificationFailed(f"segment {segment.index} has other codec parameters than segment 0")
                places = _places(path, segment, manifest)
                for number, packet in enumerate(_packets(source, cancelled)):
                    frame = segment.first_frame + places[number]
                    packet.stream = stream
                    packet.time_base = stream.time_base
                    packet.pts = ticks[frame]
                    packet.dts = decoded[segment.first_frame + number]
                    packet.duration = (ticks[frame + 1] if frame + 1 < len(ticks) else end) - ticks[frame]
                    target.mux(packet)


def _packets(source: Any, cancelled: threading.Event | None) -> Iterator[Any]:
    for packet in source.demux(source.streams.video[0]):
        if cancelled is not None and cancelled.is_set():
            raise Cancelled("The work was cancelled.")
        # The last one is empty, to flush a decoder.
        if packet.size:
            yield packet


def _places(path: Path, segment: Segment, manifest: Manifest, cancelled: threading.Event | None = None) -> list[int]:
    """Return for every packet of a part, in the file's order, the place of its frame in presentation order."""
    with av.open(str(path)) as source:
        time_base = Fraction(source.streams.video[0].time_base or 0)
        found = [packet.pts for packet in _packets(source, cancelled)]
    where = f"segment {segment.index}"
    if len(found) != segment.frames:
        raise VerificationFailed(f"{where} has {len(found)} frames, expected {segment.frames}")
    order = sorted(found)
    for number, (pts, expected) in enumerate(zip(order, segment.ticks, strict=True)):
        if (pts - order[0]) * time_base != expected * manifest.time_base:
            raise VerificationFailed(f"{where} has its frame {number} at another time than the source")
    place = {pts: number for number, pts in enumerate(order)}
    return [place[pts] for pts in found]


def _delay(path: Path, segment: Segment, manifest: Manifest, cancelled: threading.Event | None) -> int:
    return max(number - place for number, place in enumerate(_places(path, segment, manifest, cancelled)))
