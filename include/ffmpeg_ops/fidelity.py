"""What an upscaled video must be, beside its source: the same in everything but its size. Every rule reads the files back."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from include.errors import InputError, VerificationFailed
from include.ffmpeg_ops import boxes, filters, rendition, runner, streams
from include.ffmpeg_ops.checks import expect
from include.ffmpeg_ops.containers import Container
from include.ffmpeg_ops.ffprobe import Source
from include.ffmpeg_ops.merge import delay_of
from include.ffmpeg_ops.models import MediaInfo
from include.ffmpeg_ops.packets import StreamPackets
from include.ffmpeg_ops.rendition import Rendition
from include.ffmpeg_ops.segments import Manifest
from include.settings import get_settings

__all__ = ["verify_fidelity"]

# What flags a container keeps of a stream differs; these are the ones that players act on.
_DISPOSITIONS = ("default", "forced", "attached_pic")


def verify_fidelity(
    source: Path,
    info: MediaInfo,
    manifest: Manifest,
    made: Path,
    *,
    scale: int,
    kept: Sequence[int],
    container: Container,
    scratch: Path,
    **run_kwargs: Any,
) -> dict[str, Any]:
    """Check ``made`` against its source; return the facts for the report.

    Frames and their times (exact; in containers with a tick of their own within half of it), size, pixel shape, orientation,
    colour, every copied stream's packets bit by bit, languages, chapters, and that pictures decode at the segments' borders.
    Raises :class:`VerificationFailed`, whose message says what differs.
    """
    check = _Check(source, info, manifest, made, scale, tuple(kept), container, scratch, run_kwargs)
    return check.all()


@dataclass
class _Check:
    source: Path
    info: MediaInfo
    manifest: Manifest
    made: Path
    scale: int
    kept: tuple[int, ...]
    container: Container
    scratch: Path
    run_kwargs: Mapping[str, Any]
    shift: Fraction = field(init=False, default=Fraction(0))

    def all(self) -> dict[str, Any]:
        settings = self.run_kwargs.get("settings") or get_settings()
        before, after = Source(self.source, settings), Source(self.made, settings)
        try:
            original, document = before.document(), after.document()
            table, packets = before.packets(), after.packets()
        except InputError as error:
            raise VerificationFailed(f"The output cannot be read back: {error.message}") from error
        if after.said:
            raise VerificationFailed(f"The output is damaged: {after.said[0]}")
        old = {int(stream["index"]): stream for stream in original["streams"]}
        new = self._streams(document, old)
        place = self.kept.index(self.info.video.index)
        video = packets.get(int(new[place]["index"]), StreamPackets())
        self._picture(new[place])
        self._frames(new[place], video)
        copied = [number for number in self.kept if number != self.info.video.index]
        for number in self._enabled([old[number] for number in self.kept]):
            old[number] = {**old[number], "disposition": {**old[number].get("disposition", {}), "default": 1}}
        for number in copied:
            stream = new[self.kept.index(number)]
            self._copy(number, old[number], stream, table.get(number), packets.get(int(stream["index"])))
        self._content(copied, old, new)
        if self.container.chapters:
            expect("the output", "chapters", _chapters(document), _chapters(original))
        if self.container.is_mp4:
            order = [kind for kind, _, _ in boxes.walk(self.made)]
            if order.index("moov") > order.index("mdat"):
                raise VerificationFailed("The output has its index behind the media: it is not faststart")
        return {
            "frames": len(video),
            "width": new[place]["width"],
            "height": new[place]["height"],
            "shift": float(self.shift),
            "copied_streams": len(copied),
            "decoded_frames": self._decode(new[place], video),
            "size": after.size,
        }

    def _streams(self, document: Mapping[str, Any], old: Mapping[int, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the output's streams in the order of ``kept``."""
        # Muxers add tracks of their own for chapters and time codes.
        found = [stream for stream in document["streams"] if stream.get("codec_type") != "data"]
        expect("The output", "streams", len(found), len(self.kept))
        if self.container.muxer == "flv":
            # Streams have no numbers there, readers count them as they come; but there is no more than one of a kind.
            kinds = [old[number].get("codec_type") for number in self.kept]
            expect("The output", "kinds of streams", {stream.get("codec_type") for stream in found}, set(kinds))
            found.sort(key=lambda stream: kinds.index(stream.get("codec_type")))
        return found

    def _enabled(self, kept: Sequence[Mapping[str, Any]]) -> set[int]:
        """Return the streams that are on by default though the source does not say so: MP4 has one such track of each kind."""
        if not self.container.is_mp4:
            return set()
        flags = [(stream["codec_type"], int(stream["index"]), stream.get("disposition", {})) for stream in kept]
        chosen = {kind for kind, _, flag in flags if flag.get("default")}
        tracks = [(kind, number) for kind, number, flag in flags if kind not in chosen and not flag.get("attached_pic")]
        # Of a kind the first one counts.
        return set(dict(reversed(tracks)).values())

    def _picture(self, stream: Mapping[str, Any]) -> None:
        video = self.info.video
        where = "the output's video"
        shown = streams.picture(stream)
        expect(where, "codec", stream["codec_name"], self.container.codec(video.bit_depth))
        expect(where, "size", (shown.width, shown.height), (video.width * self.scale, video.height * self.scale))
        expect(where, "pixel shape", shown.sar, video.sar)
        expect(where, "orientation", (shown.rotation, shown.flipped), (video.rotation, video.flipped))
        expect(where, "bits", streams.bit_depth(stream), 8 if video.bit_depth == 8 else 10)
        color = streams.color(stream)
        # Video range is what pictures have that do not tell.
        wanted_range = "tv" if filters.is_rgb(video) else video.color.range or "tv"
        expect(where, "colour range", color.range or "tv", wanted_range)
        for name in ("matrix", "primaries", "transfer"):
            wanted = getattr(video.color, name)
            # What the source leaves open may be said in the output.
            if wanted is not None and not (name == "matrix" and wanted in {"gbr", "rgb"}):
                expect(where, f"colour {name}", getattr(color, name), wanted)

    def _frames(self, stream: Mapping[str, Any], packets: StreamPackets) -> None:
        found = sorted(pts for pts in packets.pts if pts is not None)
        expected = self._source_pts()
        if len(found) != len(expected) or len(packets) != len(expected):
            raise VerificationFailed(f"The output has {len(packets)} frames, expected {len(expected)}")
        time_base = Fraction(stream["time_base"])
        self.shift = self._shift(found[0] * time_base - expected[0] * self.manifest.time_base)
        self._compare("frame", found, time_base, expected, self.manifest.time_base)

    def _source_pts(self) -> list[int]:
        return [pts for segment in self.manifest.segments for pts in segment.source_pts]

    def _shift(self, found: Fraction) -> Fraction:
        wanted = Fraction(delay_of(self.info, self.container))
        if abs(found - wanted) > (self.container.tick or 0) / 2:
            raise VerificationFailed(f"The output's video starts {abs(float(found)) * 1000:.2f} ms too {_late(found)}")
        return wanted

    def _compare(
        self, what: str, found: Sequence[int], time_base: Fraction, expected: Sequence[int], source_base: Fraction
    ) -> None:
        """Compare times as integers in a common unit."""
        unit = Fraction(1, time_base.denominator * source_base.denominator)
        here, there = int(time_base / unit), int(source_base / unit)
        moved = self.shift / unit
        # In a container without a tick of its own, video has the source's time base, and sound its sample rate's: what another
        # kind of container has rounded becomes exact again.
        tick = self.container.tick or Fraction(0)
        if what != "frame":
            tick = max(tick, time_base, source_base)
        allowed = tick / 2 / unit
        for number, (pts, wanted) in enumerate(zip(found, expected, strict=True)):
            if abs(pts * here - wanted * there - moved) > allowed:
                late = (pts * here - wanted * there - moved) * unit
                raise VerificationFailed(f"{what} {number} is {abs(float(late)) * 1000:.3f} ms too {_late(late)} in the output")

    def _copy(
        self,
        number: int,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        before: StreamPackets | None,
        after: StreamPackets | None,
    ) -> None:
        where = f"stream {number}, copied"
        expect(where, "kind", new.get("codec_type"), old.get("codec_type"))
        expect(where, "codec", new.get("codec_name"), old.get("codec_name"))
        expect(where, "language", _language(new), _language(old))
        if self.container.is_mp4 or self.container.muxer == "matroska":
            flags, wanted = new.get("disposition", {}), old.get("disposition", {})
            for flag in _DISPOSITIONS:
                expect(where, f"the flag {flag}", flags.get(flag, 0), wanted.get(flag, 0))
        if old.get("codec_type") == "audio" and before and after:
            pts = [[pts for pts in packets.pts if pts is not None] for packets in (before, after)]
            if len(pts[0]) != len(pts[1]):
                raise VerificationFailed(f"{where}: {len(pts[1])} packets, expected {len(pts[0])}")
            self._compare(f"{where}: packet", pts[1], Fraction(new["time_base"]), pts[0], Fraction(old["time_base"]))

    def _content(self, copied: Sequence[int], old: Mapping[int, Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> None:
        """Compare what packets hold: as they are, or where another container wraps them otherwise, what decodes from them."""
        sound = [number for number in copied if old[number].get("codec_type") in {"audio", "video"}]
        if not sound:
            return
        places = [int(new[self.kept.index(number)]["index"]) for number in sound]
        for codec in (("-c", "copy"), ("-c:a", "pcm_s16le", "-c:v", "rawvideo")):
            before, after = self._hashes(self.source, sound, codec), self._hashes(self.made, places, codec)
            if before == after:
                return
        wrong = next(number for number, one, other in zip(sound, before, after, strict=False) if one != other)
        raise VerificationFailed(f"stream {wrong} was not copied bit by bit")

    def _hashes(self, path: Path, numbers: Sequence[int], codec: Sequence[str]) -> list[str]:
        argv = ["ffmpeg", *runner.input_options(), "-i", f"file:{path.resolve()}"]
        for number in numbers:
            argv += ["-map", f"0:{number}"]
        argv += [*codec, "-f", "streamhash", "-hash", "md5", "-"]
        # One line a stream: number, kind, hash.
        return re.findall(r"=([0-9a-f]{32})", rendition.run_on_ours("output", argv, self.run_kwargs).stdout)

    def _decode(self, stream: Mapping[str, Any], video: StreamPackets) -> int:
        options = (*runner.input_options(), "-i", f"file:{self.made.resolve()}")
        settings = self.run_kwargs.get("settings") or get_settings()
        if settings.verify_decode == "full" or stream["codec_name"] == "vp9" or int(stream["index"]):
            argv = [
                "ffmpeg",
                "-copyts",
                *options,
                "-map",
                f"0:{stream['index']}",
                "-fps_mode",
                "passthrough",
                "-f",
                "null",
                "null",
            ]
            completed = rendition.run_on_ours("output", argv, self.run_kwargs)
            if completed.damage:
                raise VerificationFailed(f"The output cannot be decoded without errors: {completed.damage[0]}")
            wanted, decoded = len(video), completed.frames or 0
        else:
            starts = [*(number for number, key in enumerate(video.key) if key), len(video)]
            borders = [segment.first_frame for segment in self.manifest.segments]
            gops = {max(0, bisect_left(starts, border) + side) for border in borders for side in (-1, 0)} | {len(starts) - 2}
            ranges = [(starts[gop], starts[gop + 1]) for gop in sorted(gops) if gop < len(starts) - 1]
            wanted = sum(end - first for first, end in ranges)
            wanted += sum(not any(first <= key < end for first, end in ranges) for key in starts[:-1])
            made = Rendition("output", options, (), (), None, 0, self.made.stat().st_size)
            decoded = rendition.decode_sample(made, ranges, self.scratch, **self.run_kwargs)
        if decoded != wanted:
            raise VerificationFailed(f"The output: {decoded} frames could be decoded of {wanted} that were tried")
        return decoded


def _late(seconds: Fraction) -> str:
    return "late" if seconds > 0 else "early"


def _chapters(document: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (round(float(chapter["start_time"]), 2), chapter.get("tags", {}).get("title")) for chapter in document.get("chapters", ())
    ]


def _language(stream: Mapping[str, Any]) -> str | None:
    language = str(stream.get("tags", {}).get("language", "und"))
    return None if language == "und" else language
