"""What a job's plan says of its source, of the places of its units in the film, and of what is to be made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from include.ffmpeg_ops.models import Color, DroppedStream, MediaInfo, Plan, Rung
from include.media_pages.models import Rendition, SourceFacts, SourceStream
from include.worker.models import SuperResolutionPlan

__all__ = ["Facts", "Place", "source_facts", "super_resolution_facts", "transcode_facts"]

_KINDS = {"video", "audio", "subtitle", "data"}
_COLORS = {
    "bt709": "BT.709",
    "bt470bg": "BT.601 (625)",
    "smpte170m": "BT.601 (525)",
    "bt2020": "BT.2020",
    "bt2020nc": "BT.2020",
    "bt2020c": "BT.2020",
    "smpte240m": "SMPTE 240M",
    "smpte432": "Display P3",
}
_TRANSFERS = {"pq": "PQ (HDR)", "hlg": "HLG (HDR)"}


@dataclass(frozen=True)
class Place:
    """Where in the film a unit's piece is, in seconds, and how many frames it has."""

    start: float
    end: float
    frames: int | None = None


@dataclass(frozen=True)
class Facts:
    """A plan without the long lists of frames that it may hold."""

    info: MediaInfo
    places: Mapping[str, Place]
    dropped: tuple[DroppedStream, ...] = ()
    renditions: tuple[Rendition, ...] = ()
    container: str = ""

    @property
    def source(self) -> SourceFacts:
        """What the probe found."""
        return source_facts(self.info, self.dropped)


def transcode_facts(data: bytes) -> Facts:
    """Read the ``plan.json`` of a transcode; ``ValueError`` where it is none."""
    plan = Plan.model_validate_json(data)
    info, video = plan.info, plan.info.video
    places = {"audio": Place(0.0, round(float(info.duration), 3))}
    for chunk in plan.chunks:
        start = chunk.start_pts * video.time_base - info.epoch
        places[f"video-{chunk.index:05d}"] = Place(round(float(start), 3), round(float(start + chunk.duration), 3), chunk.frames)
    renditions = tuple(
        Rendition(
            name=rung.name,
            width=rung.width,
            height=rung.height,
            frame_rate=str(plan.timing.frame_rate),
            codec=rung.codec,
            target_bit_rate=rung.bit_rate if isinstance(rung, Rung) else rung.encoding.bitrate,
        )
        for rung in plan.rungs
    )
    return Facts(info, places, info.dropped, renditions, plan.container)


def super_resolution_facts(data: bytes) -> Facts:
    """Read the ``plan.json`` of a super-resolution job; ``ValueError`` where it is none."""
    plan = SuperResolutionPlan.model_validate_json(data)
    time_base, epoch = plan.manifest.time_base, plan.info.epoch
    places = {
        f"segment-{segment.index:05d}": Place(
            round(float(segment.start_pts * time_base - epoch), 3),
            round(float(segment.end_pts * time_base - epoch), 3),
            segment.frames,
        )
        for segment in plan.manifest.segments
    }
    return Facts(plan.info, places, (*plan.info.dropped, *plan.dropped))


def source_facts(info: MediaInfo, dropped: tuple[DroppedStream, ...]) -> SourceFacts:
    """Return what is shown of a source."""
    video = info.video
    streams = [SourceStream(kind="video", codec=video.codec)]
    streams += [
        SourceStream(
            kind="audio",
            codec=stream.codec,
            language=stream.language,
            channels=stream.channels,
            layout=stream.layout,
            sample_rate=stream.sample_rate,
        )
        for stream in info.audio
    ]
    unique = {stream.index: stream for stream in dropped}
    streams += [
        SourceStream.model_validate(
            {"kind": stream.kind if stream.kind in _KINDS else "other", "codec": stream.codec, "dropped": stream.reason}
        )
        for stream in unique.values()
    ]
    return SourceFacts(
        bytes=info.size,
        container=info.format,
        seconds=round(float(info.duration), 3),
        width=video.display_width,
        height=video.display_height,
        frame_rate=str(video.frame_rate),
        frames=video.frames,
        is_variable=not video.constant_frame_rate,
        pixel_format=video.pix_fmt,
        color=_color(video.color),
        rotation=video.rotation,
        interlaced=video.interlaced,
        bit_rate=info.bit_rate,
        streams=tuple(streams),
        damage=info.damage,
    )


def _color(color: Color) -> str | None:
    """Return the colour description in words; ``None`` where the source does not say."""
    name = color.matrix or color.primaries
    words = [_COLORS.get(name, name)] if name else []
    words += [_TRANSFERS[color.hdr]] if color.hdr else []
    words += ["full range"] if color.range == "pc" else []
    return " ".join(words) or None
