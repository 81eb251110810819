"""Stills of the same frames before and after upscaling, for people to compare."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from include.errors import Cancelled, MediaError
from include.ffmpeg_ops import boxes, commands, filters, runner, tonemap
from include.ffmpeg_ops.encoders import seconds
from include.ffmpeg_ops.models import Color, MediaInfo, VideoStream
from include.ffmpeg_ops.runner import Command
from include.ffmpeg_ops.segments import Manifest, Segment

__all__ = ["Still", "chosen_frames", "compare"]

logger = logging.getLogger(__name__)

STILLS = 5
# Of a segment as many frames at most are decoded to get at one: a source that is in one piece may be hours long.
MOST_DECODED = 3000
# Frames that an encoder of ours puts behind a later one, at the most.
MOST_DELAY = 32
# A still that takes longer is none: nobody waits for it.
SECONDS = 60.0


@dataclass(frozen=True)
class Still:
    """One frame of the source as it is shown, and the same one upscaled, to ``width`` x ``height``: JPEG files."""

    frame: int
    pts: int  # in the manifest's time base
    time: Fraction  # seconds from the start of the film
    before: Path
    after: Path
    width: int
    height: int


@dataclass(frozen=True)
class _Picture:
    """Where a frame is: the file, its stream, its PTS and the next one's, and where decoding begins (None: with the file)."""

    file: Path
    stream: VideoStream
    start_pts: int
    end_pts: int
    seek: Fraction | None


def chosen_frames(manifest: Manifest, count: int = STILLS) -> tuple[int, ...]:
    """Choose frames that are spread over the film and can be decoded soon: not far from the start of their segments."""
    reachable = [min(segment.frames, MOST_DECODED) for segment in manifest.segments]
    whole = sum(reachable)
    found = []
    for number in range(count):
        place = (2 * number + 1) * whole // (2 * count)
        for segment, frames in zip(manifest.segments, reachable, strict=True):
            if place < frames:
                found.append(segment.first_frame + place)
                break
            place -= frames
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class _Comparison:
    """Finds a frame in both files."""

    source: Path
    info: MediaInfo
    manifest: Manifest
    video: Path
    scale: int
    lead: int

    def before(self, frame: int) -> _Picture:
        """Return where a frame of the source is."""
        segment = self._segment(frame)
        start, end = self._times(frame)
        stream, seek = self.info.video, None
        if segment.index and segment.keyframe and self.info.seekable:
            # As for chunks: half a frame behind the keyframe, which rounding then cannot miss.
            seek = segment.start_pts * stream.time_base + Fraction(1, 2) / stream.frame_rate
        return _Picture(self.source, stream, start, end, seek)

    def after(self, frame: int) -> _Picture:
        """Return where the same frame is among the upscaled ones."""
        time_base, stream = self.manifest.time_base, self.info.video
        color, pix_fmt = stream.color, "yuv420p" if stream.bit_depth <= 8 else "yuv420p10le"
        if filters.is_rgb(stream):
            # As the decoder converts it for the network.
            color = Color(range="tv", matrix="bt2020nc", transfer=color.transfer) if color.hdr else filters.output_color(stream)
        upscaled = stream.model_copy(
            update={
                "index": 0,
                "width": stream.width * self.scale,
                "height": stream.height * self.scale,
                "display_width": stream.display_width * self.scale,
                "display_height": stream.display_height * self.scale,
                "pix_fmt": pix_fmt,
                "color": color,
                "interlaced": False,
                "time_base": Fraction(1, time_base.denominator),
            }
        )
        start, end = (pts * time_base.numerator + self.lead * time_base.denominator for pts in self._times(frame))
        # In MP4 a keyframe is found by when it is decoded, which may be before a frame that is shown earlier.
        seek = start * upscaled.time_base - MOST_DELAY / stream.frame_rate
        first = self.manifest.segments[0].start_pts * time_base + self.lead
        return _Picture(self.video, upscaled, start, end, seek if seek > first else None)

    def _segment(self, frame: int) -> Segment:
        return next(one for one in self.manifest.segments if frame < one.first_frame + one.frames)

    def _times(self, frame: int) -> tuple[int, int]:
        """Return the PTS of a frame of the source, and of the one behind it."""
        segment = self._segment(frame)
        place, times = frame - segment.first_frame, segment.source_pts
        return times[place], times[place + 1] if place + 1 < segment.frames else segment.end_pts


def compare(
    source: Path, info: MediaInfo, manifest: Manifest, video: Path, folder: Path, *, scale: int, lead: int, **run_kwargs: Any
) -> tuple[Still, ...]:
    """Write stills of some frames to ``folder``, which is there; what cannot be shown is left out, and logged.

    Each picture is that of exactly the frame's PTS, as it is shown: turned, with square pixels, tone-mapped. ``video`` is what
    :func:`include.ffmpeg_ops.splice.splice` has made of the upscaled frames with ``lead``; it is turned like the source.
    ``run_kwargs`` go to :func:`include.ffmpeg_ops.runner.run`. Raises :class:`Cancelled`.
    """
    comparison = _Comparison(source, info, manifest, video, scale, lead)
    stream = info.video
    stills: list[Still] = []
    try:
        if stream.rotation or stream.flipped:
            boxes.set_orientation(video, 0, stream.rotation, flipped=stream.flipped)
        for number, frame in enumerate(chosen_frames(manifest), start=1):
            pictures = {"before": comparison.before(frame), "after": comparison.after(frame)}
            files = {side: folder / f"{number}-{side}.jpg" for side in pictures}
            _write([(picture, files[side]) for side, picture in pictures.items()], run_kwargs)
            if all(file.exists() for file in files.values()):
                shown, pts = pictures["after"].stream, pictures["before"].start_pts
                time = pts * manifest.time_base - info.epoch
                size = shown.display_width, shown.display_height
                stills.append(Still(frame, pts, time, files["before"], files["after"], *size))
            else:
                logger.warning("Frame %d cannot be found in both films, so it is not compared", frame)
    except Cancelled:
        raise
    except (MediaError, OSError) as error:
        # Whatever is wrong, the film itself is verified by others.
        logger.warning("Only %d stills can be compared: %s", len(stills), error)
    return tuple(stills)


def _write(pictures: Sequence[tuple[_Picture, Path]], run_kwargs: Mapping[str, Any]) -> None:
    """Write each picture as JPEG, if there is a frame at its very time."""
    options = {"c:v": "mjpeg", "q:v": 2, "flags:v": "+bitexact", "fps_mode": "passthrough", "map_metadata": "-1", "f": "image2"}
    outputs = [ffmpeg.output(_shown(picture, path), f"file:{path}", **options, update=1) for picture, path in pictures]
    argv = ffmpeg.get_args(ffmpeg.merge_outputs(*outputs))
    limit = min(SECONDS, run_kwargs.get("timeout") or SECONDS)
    runner.run(Command(("ffmpeg", "-copyts", *argv)), **{**run_kwargs, "timeout": limit})


def _shown(picture: _Picture, path: Path) -> Any:
    stream, lut = picture.stream, None
    if stream.color.hdr:
        lut = tonemap.write_cube(stream.color.hdr, path.with_name(f"{stream.color.hdr}.cube"))
    video = ffmpeg.input(f"file:{picture.file}", **commands.input_arguments(), **_seek(picture), reinit_filter=0)
    # Before the trim: a picture of two fields is made with those beside it.
    shown = filters.deinterlace(video[str(stream.index)], stream)
    shown = shown.filter("trim", start_pts=picture.start_pts, end_pts=picture.end_pts)
    return filters.as_jpeg(filters.tone_map(shown, stream, lut), stream, stream.display_width, stream.display_height)


def _seek(picture: _Picture) -> dict[str, Any]:
    return {} if picture.seek is None else {"ss": seconds(picture.seek), "seek_timestamp": 1, "noaccurate_seek": None}
