"""The rules for a rendition's streams: what its pictures, frame times, segments and sound must be."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from include.errors import VerificationFailed
from include.ffmpeg_ops import filters, rates, rendition
from include.ffmpeg_ops.models import AudioTarget, Plan, Rung, TaskRung, VideoStream
from include.ffmpeg_ops.part_check import check_part, length_of
from include.ffmpeg_ops.rendition import Rendition, Stream
from include.ffmpeg_ops.timetable import Timetable

__all__ = ["StreamRules", "check_picture", "expect"]

AAC_FRAME = 1024
# TS counts in 1/90000 s: a difference of two rounded times is exact within two ticks.
TICKS = Fraction(2, 90_000)
# FLV counts in milliseconds.
FLV_TICKS = Fraction(2, 1000)
AUDIO_SLACK = Fraction(3, 1000)


@dataclass(frozen=True)
class StreamRules:
    """Checks streams against a plan; every method raises :class:`VerificationFailed`.

    ``actual_frames`` are the frames of each chunk of a salvaged source, see :func:`include.ffmpeg_ops.verify.verify_package`;
    ``full`` decodes everything.
    """

    plan: Plan
    actual_frames: Sequence[int] | None
    full: bool
    scratch: Path
    run_kwargs: Mapping[str, Any]

    @cached_property
    def timetable(self) -> Timetable:
        """When frames are due."""
        return Timetable(self.plan)

    def video(self, rung: Rung | TaskRung, made: Rendition) -> dict[str, Any]:
        """Check a rung's only video stream; return its facts."""
        where = f"rung {rung.name}"
        if len(made.of_kind("video")) != 1:
            raise VerificationFailed(f"{where} has {len(made.of_kind('video'))} video streams, expected one")
        (stream,) = made.of_kind("video")
        check_picture(where, stream.information, rung, self.plan.info.video)
        frames = stream.frames()
        keyframes = stream.keyframes(frames)
        self._check_frames(where, stream, frames)
        if made.complaints:
            raise VerificationFailed(f"{where}: {made.complaints[0]}")
        # Readers of other containers than MP4 also take for keyframes what a copied stream's own does not.
        same = set(keyframes) >= set(self.timetable.keyframes) if self.plan.copied else keyframes == self.timetable.keyframes
        if self.actual_frames is None and not same:
            wrong = min(set(keyframes) ^ set(self.timetable.keyframes), default=0)
            raise VerificationFailed(
                f"{where} has another keyframe grid than planned: the first difference is at frame {wrong}, "
                f"in chunk {self.timetable.chunk_of(wrong)}"
            )
        self._check_rate(where, rung, stream)
        if made.playlist:
            self._check_segments(where, made, stream, frames)
        elif self.plan.container == "mp4":
            self._check_length(where, stream)
        return {
            "width": rung.width,
            "height": rung.height,
            "frames": len(frames),
            "keyframes": len(keyframes),
            "duration": float(self.timetable.seconds),
            "size": made.size,
            "bit_rate": round(made.size * 8 / self.plan.info.duration) if self.plan.info.duration else 0,
            "video_bit_rate": round(stream.size * 8 / self.timetable.seconds) if self.timetable.seconds else 0,
            # What is copied bit by bit is as good as its source.
            "decoded_frames": 0 if self.plan.copied else self._decode(where, made, keyframes, len(frames)),
        }

    def _check_frames(self, where: str, stream: Stream, frames: Sequence[int]) -> None:
        if self.actual_frames is not None:
            wanted = sum(self.actual_frames)
            if len(frames) != wanted or len(set(frames)) != len(frames):
                raise VerificationFailed(f"{where} has {len(set(frames))} frames, expected {wanted}")
            return
        expected = self.timetable.pts
        scale = self.plan.timing.timescale
        # All in 1/(scale * denominator) seconds, so that millions of frames are compared as integers.
        here, there = stream.time_base.numerator * scale, stream.time_base.denominator
        allowed = int((FLV_TICKS if self.plan.container == "flv" else TICKS) * scale * there)
        first = frames[0] if frames else 0
        pairs = enumerate(zip(frames, expected))  # noqa: B905 - lengths are compared below
        wrong = next((n for n, (pts, planned) in pairs if abs((pts - first) * here - planned * there) > allowed), None)
        if len(frames) != len(expected):
            at = min(len(frames), len(expected)) if wrong is None else wrong
            loss = self.timetable.describe_loss(len(frames), at)
            raise VerificationFailed(f"{where} has {len(frames)} frames, expected {len(expected)}: {loss}")
        if wrong is not None:
            late = (frames[wrong] - first) * stream.time_base - Fraction(expected[wrong], scale)
            raise VerificationFailed(
                f"{where} has its frame {wrong}, in chunk {self.timetable.chunk_of(wrong)}, "
                f"{abs(float(late)) * 1000:.2f} ms too {'late' if late > 0 else 'early'}"
            )

    def _check_rate(self, where: str, rung: Rung | TaskRung, stream: Stream) -> None:
        share = rates.deviation(rung, stream.size, self.timetable.seconds)
        if share > rates.TOLERANCE or (share < -rates.TOLERANCE and rates.is_filled_up(rung)):
            raise VerificationFailed(f"{where} misses its bitrate by {float(share):+.1%}")

    def _check_length(self, where: str, stream: Stream) -> None:
        length = int(stream.information.get("duration_ts", 0)) * stream.time_base
        # Of the last frame's length, where the rate varies, a copy does not tell: the muxer takes that of one decoded before.
        allowed = max(1 / self.plan.timing.frame_rate, *self.timetable.last_lengths)
        if self.actual_frames is None and abs(length - self.timetable.seconds) > allowed:
            raise VerificationFailed(f"{where} lasts {float(length):.3f} s, expected {float(self.timetable.seconds):.3f} s")

    def _check_segments(self, where: str, made: Rendition, stream: Stream, frames: Sequence[int]) -> None:
        assert made.playlist is not None  # noqa: S101 - only called with one
        segments = made.playlist.segments
        keys = set(stream.keys)
        starts = []
        position = made.initialization_size
        for number, segment in enumerate(segments):
            packet = bisect_left(stream.positions, position)
            position += segment.size
            if packet == len(stream.positions) or stream.positions[packet] >= position:
                raise VerificationFailed(f"{where}: segment {number} holds no picture")
            if packet not in keys:
                raise VerificationFailed(f"{where}: segment {number} does not start with a keyframe")
            starts.append(bisect_left(frames, stream.pts[packet]))
        if self.actual_frames is None and tuple(starts) != self.timetable.segment_starts:
            raise VerificationFailed(
                f"{where} has {len(starts)} segments that start at the frames {_few(starts)}; "
                f"expected {len(self.timetable.segment_starts)} at {_few(self.timetable.segment_starts)}"
            )
        frame = 1 / self.plan.timing.frame_rate
        ends = [*(frames[start] for start in starts[1:]), frames[-1] + round(frame / stream.time_base)]
        for number, (segment, start, end) in enumerate(zip(segments, starts, ends, strict=True)):
            length = float((end - frames[start]) * stream.time_base)
            slack = float(frame) if number == len(segments) - 1 else 0.0
            if abs(segment.duration - length) > slack + 0.002 and (self.plan.timing.constant or not slack):
                raise VerificationFailed(
                    f"{where}: segment {number} lasts {length:.3f} s, but the playlist says {segment.duration:.3f} s"
                )

    def _decode(self, where: str, made: Rendition, keyframes: Sequence[int], frames: int) -> int:
        if self.full or self.actual_frames is not None:
            decoded, wanted = rendition.decode(made, "video", **self.run_kwargs), frames
        else:
            ranges = self._border_gops(keyframes, frames)
            wanted = sum(end - first for first, end in ranges)
            wanted += sum(not any(first <= key < end for first, end in ranges) for key in keyframes)
            decoded = rendition.decode_sample(made, ranges, self.scratch, **self.run_kwargs)
        if decoded != wanted:
            raise VerificationFailed(f"{where}: {decoded} frames could be decoded of {wanted} that were tried")
        return decoded

    def _border_gops(self, keyframes: Sequence[int], frames: int) -> list[tuple[int, int]]:
        """Return the GOPs on both sides of every chunk border, and the last one, as ranges of frames."""
        starts = [*keyframes, frames]
        chosen = {len(keyframes) - 1}
        for chunk in self.plan.chunks:
            gop = bisect_left(keyframes, chunk.first_frame)
            chosen |= {max(gop - 1, 0), gop}
        # A closed GOP's packets are as many as its frames, and in the same place.
        return [(starts[gop], starts[gop + 1]) for gop in sorted(chosen) if gop < len(keyframes)]

    def audio(self, name: str, target: AudioTarget, stream: Stream, video: Stream, part: Stream | None = None) -> dict[str, Any]:
        """Check one audio stream against the plan, its times against those of ``video``.

        ``part`` is what its unit has made, which says where the packets of formats other than AAC belong.
        """
        where = f"rung {name}" if not name.startswith("audio") else name
        language = f"the audio stream {target.stream.language or target.stream.index}"
        expect(where, "audio codec", stream.information.get("codec_name"), target.codec)
        expect(where, "audio channels", stream.information.get("channels"), target.channels)
        expect(where, "audio sample rate", int(stream.information.get("sample_rate", 0)), target.sample_rate)
        if not stream.pts:
            raise VerificationFailed(f"{where}: {language} is empty")
        planned = target.stream.start_time - self.plan.info.video.start_time
        if part is not None and target.format != "aac":
            check_part(f"{where}: {language}", stream, part, min(video.pts) * video.time_base + planned)
            return _heard(target, stream, length_of(part))
        frame = Fraction(AAC_FRAME, target.sample_rate)
        step = frame / stream.time_base
        allowed = TICKS / stream.time_base + 1
        for number, (pts, position) in enumerate(zip(stream.pts, stream.positions, strict=True)):
            if position >= 0 and abs(pts - stream.pts[0] - number * step) > allowed:
                seconds = float((pts - stream.pts[0]) * stream.time_base)
                raise VerificationFailed(f"{where}: {language} has a gap or an overlap at {seconds:.3f} s")
        start = stream.pts[0] * stream.time_base - min(video.pts) * video.time_base
        length = len(stream.pts) * frame
        # The encoder's priming, one frame, comes before the first sample that is heard.
        late = start + frame - planned
        if abs(late) > AUDIO_SLACK:
            raise VerificationFailed(
                f"{where}: {language} starts {abs(float(late)) * 1000:.1f} ms too {'late' if late > 0 else 'early'} "
                "beside the video"
            )
        over = length - frame - target.stream.duration
        # One frame of our encoder, one of the source's codec, and what resampling may fill or cut.
        slack = frame + Fraction(AAC_FRAME, target.stream.sample_rate) + Fraction(4, 100)
        if self.actual_frames is None and abs(over) > slack:
            raise VerificationFailed(
                f"{where}: {language} is {abs(float(over)) * 1000:.0f} ms too {'long' if over > 0 else 'short'}"
            )
        return _heard(target, stream, length)


def _heard(target: AudioTarget, stream: Stream, length: Fraction) -> dict[str, Any]:
    return {
        "language": target.stream.language,
        "channels": target.channels,
        "duration": float(length),
        "audio_bit_rate": round(stream.size * 8 / length) if length else 0,
    }


def check_picture(where: str, information: Mapping[str, Any], rung: Rung | TaskRung, source: VideoStream) -> None:
    """Check size, pixels, colour tags and the absence of a display matrix, as ffprobe tells them.

    Of a copy only codec and size: the rest is the source's own.
    """
    if isinstance(rung, TaskRung) and rung.copied:
        for key, value in {"codec_name": rung.codec, "width": rung.width, "height": rung.height}.items():
            expect(where, key, information.get(key), value)
        return
    color = filters.output_color(source)
    wanted = {
        "codec_name": rung.codec,
        "width": rung.width,
        "height": rung.height,
        "pix_fmt": "yuv420p",
        "color_range": color.range,
        "color_space": color.matrix,
        "color_primaries": color.primaries,
        "color_transfer": color.transfer,
    }
    for key, value in wanted.items():
        expect(where, key, information.get(key), value)
    if information.get("sample_aspect_ratio", "1:1") not in ("1:1", "0:1", "N/A"):
        raise VerificationFailed(f"{where} has pixels that are not square: {information['sample_aspect_ratio']}")
    if any("matrix" in str(data.get("side_data_type", "")).lower() for data in information.get("side_data_list", ())):
        raise VerificationFailed(f"{where} has a display matrix, which many players ignore")


def expect(where: str, what: str, found: object, wanted: object) -> None:
    """Raise :class:`VerificationFailed` where ``found`` is not ``wanted``."""
    if found != wanted:
        raise VerificationFailed(f"{where}: {what} is {found}, expected {wanted}")


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
