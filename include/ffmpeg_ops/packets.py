"""The packet index: which frames a video stream has, in what order, and where decoding may start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median

from include.errors import InvalidInputData
from include.ffmpeg_ops.models import FrameIndex, Keyframe

__all__ = ["Frame", "StreamPackets", "index_frames", "index_packets", "needs_frames", "parse_frames", "parse_packets"]

# Sections as `-show_entries` wants them; ffprobe writes the fields in its own order, which is this one.
PACKET_ENTRIES = "packet=stream_index,pts,dts,duration,size,flags"
FRAME_ENTRIES = "frame=key_frame,best_effort_timestamp,pkt_duration,duration"
# Frames that decoders of H.264 and HEVC, which hold back most, may have at the end of a file.
MOST_HELD_BACK = 16


@dataclass
class StreamPackets:
    """The packets of one stream in file order; columns of equal length, times in the stream's time base."""

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    duration: list[int] = field(default_factory=list)
    key: list[bool] = field(default_factory=list)
    discarded: list[bool] = field(default_factory=list)
    bytes: int = 0
    corrupt: int = 0

    def __len__(self) -> int:
        return len(self.pts)

    def due(self) -> list[int]:
        """Return when each packet is due, as far as it says so: its PTS, without one its DTS."""
        times = (dts if pts is None else pts for pts, dts in zip(self.pts, self.dts, strict=True))
        return [time for time in times if time is not None]

    def span(self) -> tuple[int, int] | None:
        """Return the first PTS and the end of the last packet over what is shown; None without any timestamp."""
        shown = [
            (dts if pts is None else pts, duration)
            for pts, dts, duration, discarded in zip(self.pts, self.dts, self.duration, self.discarded, strict=True)
            if not discarded
        ]
        known = [(pts, pts + duration) for pts, duration in shown if pts is not None]
        return (min(start for start, _ in known), max(end for _, end in known)) if known else None


@dataclass(frozen=True)
class Frame:
    """A decoded frame as ffprobe tells it, in output order."""

    pts: int | None
    key: bool
    duration: int


def _number(text: str) -> int | None:
    return None if text == "N/A" else int(text)


def parse_packets(text: str) -> dict[int, StreamPackets]:
    """Parse ``-show_entries packet=… -of csv=p=0``: stream, PTS, DTS, duration, size, flags; side data is passed over."""
    streams: dict[int, StreamPackets] = {}
    for line in text.splitlines():
        fields = line.split(",", 6)
        if len(fields) < 6 or not fields[0].isdigit():
            continue
        index, pts, dts, duration, size, flags = fields[:6]
        packets = streams.get(int(index))
        if packets is None:
            packets = streams[int(index)] = StreamPackets()
        packets.pts.append(_number(pts))
        packets.dts.append(_number(dts))
        packets.duration.append(_number(duration) or 0)
        packets.key.append("K" in flags)
        packets.discarded.append("D" in flags)
        packets.bytes += _number(size) or 0
        packets.corrupt += "C" in flags
    return streams


def parse_frames(text: str) -> list[Frame]:
    """Parse ``-show_entries frame=… -of compact=p=0`` (named fields, since the two names of a duration depend on the version)."""
    frames = []
    for line in text.splitlines():
        fields = dict(item.split("=", 1) for item in line.split("|") if "=" in item)
        if "key_frame" not in fields:
            continue
        duration = _number(fields.get("duration", "N/A")) or _number(fields.get("pkt_duration", "N/A")) or 0
        frames.append(Frame(_number(fields.get("best_effort_timestamp", "N/A")), fields["key_frame"] == "1", duration))
    return frames


def needs_frames(packets: StreamPackets, codec: str, interlaced: bool, container: str) -> str | None:
    """Tell why the packets do not say what frames there are, so that the stream must be decoded to know; None if they do."""
    shown = [pts for pts, discarded in zip(packets.pts, packets.discarded, strict=True) if not discarded]
    first = packets.pts[0]
    decoded = [dts for dts, discarded in zip(packets.dts, packets.discarded, strict=True) if dts is not None and not discarded]
    reasons = {
        "packets have no presentation times": None in shown,
        "packets share presentation times": len(set(shown)) < len(shown),
        "time goes back": any(after < before for before, after in pairwise(decoded)),
        "VP8 has packets that show nothing": codec == "vp8",
        "packets may be single fields": interlaced and codec in {"h264", "vc1"} and not container.startswith(("mov", "matroska")),
        "the stream starts between keyframes": not packets.key[0],
        "the stream starts with frames that refer to missing ones": first is not None
        and any(pts is not None and pts < first for pts in packets.pts),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _lowest_after(packets: StreamPackets) -> list[int | None]:
    """Return, for each packet, the lowest PTS of all packets after it in the file."""
    lowest: int | None = None
    found: list[int | None] = [None] * len(packets)
    for position in range(len(packets) - 1, -1, -1):
        found[position] = lowest
        pts = packets.pts[position]
        if pts is not None and (lowest is None or pts < lowest):
            lowest = pts
    return found


@dataclass(frozen=True)
class _Key:
    """What the packets tell of a keyframe; nothing where they do not know it."""

    clean: bool = False
    packet: int | None = None


def _keyframe_packets(packets: StreamPackets) -> dict[int, _Key]:
    """Return the keyframes by their PTS."""
    lowest = _lowest_after(packets)
    return {
        pts: _Key(after is None or after > pts, number)
        for number, (pts, key, after) in enumerate(zip(packets.pts, packets.key, lowest, strict=True))
        if key and pts is not None
    }


def index_packets(packets: StreamPackets, time_base: Fraction) -> FrameIndex:
    """Index a stream whose packets are frames."""
    shown = sorted(
        (pts, duration)
        for pts, duration, discarded in zip(packets.pts, packets.duration, packets.discarded, strict=True)
        if pts is not None and not discarded
    )
    return _index(shown, _keyframe_packets(packets), time_base)


def index_frames(frames: Sequence[Frame], packets: StreamPackets, time_base: Fraction) -> FrameIndex:
    """Index a stream by its decoded frames; raises :class:`InvalidInputData` where time does not move forward.

    A keyframe of which the packets know nothing (they have no PTS, for example) is held to be unclean.
    """
    shown: list[tuple[int, int]] = []
    timed = max((number for number, frame in enumerate(frames, 1) if frame.pts is not None), default=0)
    for number, frame in enumerate(frames):
        pts = frame.pts
        # Decoders that are flushed at the end of a file may give the last frames, which they held back, no time; players count
        # on from the one before.
        if pts is None and shown and number >= timed >= len(frames) - MOST_HELD_BACK:
            pts = shown[-1][0] + (shown[-1][1] or 1)
        if pts is None or (shown and pts <= shown[-1][0]):
            when = f"after {float(shown[-1][0] * time_base):.3f} s" if shown else "at the start"
            raise InvalidInputData(f"The video's timestamps are missing or go back at frame {number}, {when}; remux the source.")
        shown.append((pts, frame.duration))
    known = _keyframe_packets(packets)
    keys = {frame.pts: known.get(frame.pts, _Key()) for frame in frames if frame.key and frame.pts is not None}
    return _index(shown, keys, time_base)


def _index(shown: Sequence[tuple[int, int]], keys: Mapping[int, _Key], time_base: Fraction) -> FrameIndex:
    if not shown:
        raise InvalidInputData("The video stream has no frames.")
    pts = tuple(pts for pts, _ in shown)
    return FrameIndex(
        time_base=time_base,
        pts=pts,
        end_pts=pts[-1] + _last_duration(pts, shown[-1][1]),
        keyframes=tuple(_keyframes(pts, keys)),
    )


def _last_duration(pts: Sequence[int], told: int) -> int:
    if told > 0 or len(pts) == 1:
        return max(told, 1)
    return max(1, round(median(after - before for before, after in pairwise(pts))))


def _keyframes(pts: Iterable[int], keys: Mapping[int, _Key]) -> Iterable[Keyframe]:
    for number, value in enumerate(pts):
        if (key := keys.get(value)) is not None:
            yield Keyframe(frame=number, pts=value, clean=key.clean or number == 0, packet=key.packet)
