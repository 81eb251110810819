"""What finished outputs must be. Every rule reads the files back; none trusts how they were made."""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import m3u8

from include.errors import VerificationFailed
from include.ffmpeg_ops import boxes, filters, playlist, rendition, runner
from include.ffmpeg_ops.models import AudioTarget, Plan, Rung, VideoStream, VideoTask
from include.ffmpeg_ops.package import Package, audio_groups, in_parallel, is_muxed
from include.ffmpeg_ops.rendition import Rendition, Stream
from include.settings import get_settings

__all__ = ["verify_chunk", "verify_package"]

AAC_FRAME = 1024
# TS counts in 1/90000 s: a difference of two rounded times is exact within two ticks.
TICKS = Fraction(2, 90_000)
AUDIO_SLACK = Fraction(3, 1000)


def verify_chunk(task: VideoTask, files: Mapping[str, Path], **run_kwargs: Any) -> None:
    """Check every rung's stream parameters, on which joining the chunks relies; raises :class:`VerificationFailed`.

    Frames, timestamps and keyframes are :mod:`include.ffmpeg_ops.encode`'s to check.
    """
    for rung in task.rungs:
        where = f"rung {rung.name}, chunk {task.chunk.index}"
        argv = ("ffprobe", "-show_streams", "-of", "json", *runner.input_options(), f"file:{files[rung.name]}")
        streams = json.loads(runner.run(runner.Command(argv), **run_kwargs).stdout).get("streams", [])
        if len(streams) != 1:
            raise VerificationFailed(f"{where}: {len(streams)} streams, expected one of video")
        _check_picture(where, streams[0], rung, task.stream)
        _expect(where, "time base", streams[0].get("time_base"), f"1/{task.timing.timescale}")
        boxes.avc_configuration(files[rung.name])


def verify_package(
    plan: Plan, package: Package, out_dir: Path, *, actual_frames: Sequence[int] | None = None, **run_kwargs: Any
) -> dict[str, Any]:
    """Check everything of a package; return the facts of its renditions for the report.

    ``actual_frames`` are the frames of each chunk where a damaged source was salvaged and some are known to be missing; then
    frames are counted, but need not be where the plan has them. Raises :class:`VerificationFailed`, whose message says which
    rendition is wrong and how. Facts: per rung and audio playlist bytes, bit/s, frames, seconds, segments, decoded frames.
    """
    settings = run_kwargs.get("settings") or get_settings()
    _check_files(package, out_dir)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".verify-") as folder:
        check = _Check(plan, actual_frames, settings.verify_decode == "full", Path(folder), run_kwargs)
        if plan.container == "mp4":
            return check.mp4(out_dir / package.entry)
        return check.hls(package, out_dir)


@dataclass(frozen=True)
class _Timeline:
    """Where the plan puts every frame: PTS from the first frame, in 1/``timescale`` s."""

    plan: Plan

    @cached_property
    def pts(self) -> list[int]:
        step, scale = self.plan.timing.time_base.numerator, self.plan.timing.timescale
        found: list[int] = []
        start = Fraction(0)
        for chunk in self.plan.chunks:
            first = round(start * scale)
            found += [first + step * pts for pts in (range(chunk.frames) if chunk.pts is None else chunk.pts)]
            start += chunk.duration
        return found

    @cached_property
    def seconds(self) -> Fraction:
        return sum((chunk.duration for chunk in self.plan.chunks), Fraction(0))

    @cached_property
    def keyframes(self) -> tuple[int, ...]:
        return tuple(chunk.first_frame + number for chunk in self.plan.chunks for number in chunk.keyframes)

    @cached_property
    def segment_starts(self) -> tuple[int, ...]:
        """Frames that start a segment: the first keyframe at or after each multiple of the segment length."""
        length = self.plan.segment_seconds * self.plan.timing.timescale
        starts = [0]
        for number in self.keyframes[1:]:
            if self.pts[number] >= length * len(starts):
                starts.append(number)
        return tuple(starts)

    def chunk_of(self, frame: int) -> int:
        firsts = [chunk.first_frame for chunk in self.plan.chunks]
        return self.plan.chunks[max(0, min(bisect_left(firsts, frame + 1) - 1, len(firsts) - 1))].index

    def describe_loss(self, actual: Sequence[int], first_wrong: int) -> str:
        """Say in which chunk frames are missing (``actual`` as :attr:`pts`) or too many."""
        chunk = self.chunk_of(first_wrong)
        missing = len(self.pts) - len(actual)
        ends = self.plan.chunks[chunk].first_frame + self.plan.chunks[chunk].frames if chunk < len(self.plan.chunks) else 0
        if missing > 0 and first_wrong + missing == ends:
            return f"chunk {chunk} lost its last {'frame' if missing == 1 else f'{missing} frames'}"
        return f"the first difference is at frame {first_wrong}, in chunk {chunk}"


@dataclass(frozen=True)
class _Check:
    plan: Plan
    actual_frames: Sequence[int] | None
    full: bool
    scratch: Path
    run_kwargs: Mapping[str, Any]

    @cached_property
    def timeline(self) -> _Timeline:
        return _Timeline(self.plan)

    # -- containers

    def mp4(self, path: Path) -> dict[str, Any]:
        (rung,) = self.plan.rungs
        order = boxes.top_level(path)
        if "moov" not in order or "mdat" not in order or order.index("moov") > order.index("mdat"):
            raise VerificationFailed(f"{path.name} has its index behind the media: it is not faststart")
        made = rendition.open_mp4(rung.name, path, self.scratch, **self.run_kwargs)
        facts = self.video(rung, made)
        video = made.of_kind("video")[0]
        audio = made.of_kind("audio")
        _expect(f"rung {rung.name}", "audio streams", len(audio), len(self.plan.audio))
        heard = [self.audio(rung.name, target, stream, video) for target, stream in zip(self.plan.audio, audio, strict=True)]
        if audio:
            rendition.decode(made, "audio", **self.run_kwargs)
        return {
            "renditions": {rung.name: facts},
            "audio": {f"audio-{number}": item for number, item in enumerate(heard)},
            "size": made.size,
            "files": 1,
        }

    def hls(self, package: Package, out_dir: Path) -> dict[str, Any]:
        name = package.entry.removesuffix(".m3u8")
        master = m3u8.loads((out_dir / package.entry).read_text(encoding="utf-8"))
        groups = audio_groups(self.plan)
        folders = [rung.name for rung in self.plan.rungs] + [group.folder for group in groups]
        listed = [playlist.uri_path(item.uri) for item in [*master.playlists, *master.media] if item.uri]
        _expect("the master playlist", "renditions", listed, [f"{folder}/{name}.m3u8" for folder in folders])

        def job(folder: str, rung: Rung | None) -> Callable[[], tuple[Rendition, dict[str, Any]]]:
            return lambda: self._playlist(folder, rung, out_dir / folder / f"{name}.m3u8")

        checked = in_parallel([job(rung.name, rung) for rung in self.plan.rungs] + [job(group.folder, None) for group in groups])
        made = [item for item, _ in checked]
        self._check_listing(made, package, out_dir)
        videos, sounds = checked[: len(self.plan.rungs)], checked[len(self.plan.rungs) :]
        first = videos[0][0].of_kind("video")[0]
        for rung, (item, _) in zip(self.plan.rungs, videos, strict=True):
            video = item.of_kind("video")[0]
            if (video.frames(), video.keyframes(video.frames())) != (first.frames(), first.keyframes(first.frames())):
                raise VerificationFailed(f"rung {rung.name} has other frame times or keyframes than {self.plan.rungs[0].name}")
            audio = item.of_kind("audio")
            _expect(f"rung {rung.name}", "audio streams", len(audio), int(is_muxed(self.plan)))
            for stream in audio:
                self.audio(rung.name, self.plan.audio[0], stream, video)
        audio_facts = {}
        for group, (item, facts) in zip(groups, sounds, strict=True):
            _expect(f"{group.folder}", "streams", [stream.kind for stream in item.streams], ["audio"])
            audio_facts[group.folder] = facts | self.audio(group.folder, group.target, item.streams[0], first)
        heard = [item for item, _ in sounds] or ([videos[0][0]] if is_muxed(self.plan) else [])
        in_parallel([lambda item=item: rendition.decode(item, "audio", **self.run_kwargs) for item in heard])  # type: ignore[misc]
        self._check_master(master, made)
        return {
            "renditions": {rung.name: facts for rung, (_, facts) in zip(self.plan.rungs, videos, strict=True)},
            "audio": audio_facts,
            "size": sum((out_dir / file).stat().st_size for file in package.files),
            "files": len(package.files),
        }

    def _playlist(self, name: str, rung: Rung | None, path: Path) -> tuple[Rendition, dict[str, Any]]:
        made = rendition.open_hls(name, path, self.scratch, **self.run_kwargs)
        assert made.playlist is not None  # noqa: S101 - open_hls sets it
        text = made.playlist
        if not (text.ended and text.independent):
            raise VerificationFailed(f"rung {name}: the playlist is not a finished one of independent segments")
        if any(round(segment.duration) > text.target_duration for segment in text.segments):
            raise VerificationFailed(f"rung {name}: a segment is longer than the target duration of {text.target_duration} s")
        rates = playlist.bit_rates(text.segments, text.target_duration)
        facts: dict[str, Any] = self.video(rung, made) if rung else {"size": made.size}
        return made, facts | {
            "bit_rate": rates.average,
            "peak_bit_rate": rates.peak,
            "segments": len(text.segments),
        }

    # -- streams

    def video(self, rung: Rung, made: Rendition) -> dict[str, Any]:
        where = f"rung {rung.name}"
        if made.complaints:
            raise VerificationFailed(f"{where}: {made.complaints[0]}")
        if len(made.of_kind("video")) != 1:
            raise VerificationFailed(f"{where} has {len(made.of_kind('video'))} video streams, expected one")
        (stream,) = made.of_kind("video")
        _check_picture(where, stream.information, rung, self.plan.info.video)
        frames = stream.frames()
        keyframes = stream.keyframes(frames)
        self._check_frames(where, stream, frames)
        if self.actual_frames is None and keyframes != self.timeline.keyframes:
            wrong = min(set(keyframes) ^ set(self.timeline.keyframes), default=0)
            raise VerificationFailed(
                f"{where} has another keyframe grid than planned: the first difference is at frame {wrong}, "
                f"in chunk {self.timeline.chunk_of(wrong)}"
            )
        if made.playlist:
            self._check_segments(where, made, stream, frames)
        else:
            length = Fraction(int(stream.information.get("duration_ts", 0))) * stream.time_base
            frame = 1 / self.plan.timing.frame_rate
            if self.actual_frames is None and abs(length - self.timeline.seconds) > max(frame, TICKS):
                raise VerificationFailed(f"{where} lasts {float(length):.3f} s, expected {float(self.timeline.seconds):.3f} s")
        return {
            "width": rung.width,
            "height": rung.height,
            "frames": len(frames),
            "keyframes": len(keyframes),
            "duration": float(self.timeline.seconds),
            "size": made.size,
            "bit_rate": round(made.size * 8 / self.plan.info.duration) if self.plan.info.duration else 0,
            "video_bit_rate": round(stream.size * 8 / self.timeline.seconds) if self.timeline.seconds else 0,
            "decoded_frames": self._decode(where, made, keyframes, len(frames)),
        }

    def _check_frames(self, where: str, stream: Stream, frames: Sequence[int]) -> None:
        if self.actual_frames is not None:
            wanted = sum(self.actual_frames)
            if len(frames) != wanted or len(set(frames)) != len(frames):
                raise VerificationFailed(f"{where} has {len(set(frames))} frames, expected {wanted}")
            return
        expected = self.timeline.pts
        scale = self.plan.timing.timescale
        # All in 1/(scale * denominator) seconds, so that millions of frames are compared as integers.
        here, there = stream.time_base.numerator * scale, stream.time_base.denominator
        allowed = int(TICKS * scale * there)
        first = frames[0] if frames else 0
        pairs = enumerate(zip(frames, expected))  # noqa: B905 - lengths are compared below
        wrong = next((n for n, (pts, planned) in pairs if abs((pts - first) * here - planned * there) > allowed), None)
        if len(frames) != len(expected):
            at = min(len(frames), len(expected)) if wrong is None else wrong
            loss = self.timeline.describe_loss(frames, at)
            raise VerificationFailed(f"{where} has {len(frames)} frames, expected {len(expected)}: {loss}")
        if wrong is not None:
            late = (frames[wrong] - first) * stream.time_base - Fraction(expected[wrong], scale)
            raise VerificationFailed(
                f"{where} has its frame {wrong}, in chunk {self.timeline.chunk_of(wrong)}, "
                f"{abs(float(late)) * 1000:.2f} ms too {'late' if late > 0 else 'early'}"
            )

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
        if self.actual_frames is None and tuple(starts) != self.timeline.segment_starts:
            raise VerificationFailed(
                f"{where} has {len(starts)} segments that start at the frames {_few(starts)}; "
                f"expected {len(self.timeline.segment_starts)} at {_few(self.timeline.segment_starts)}"
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

    def audio(self, name: str, target: AudioTarget, stream: Stream, video: Stream) -> dict[str, Any]:
        """Check one audio stream against the plan, its times against those of ``video``."""
        where = f"rung {name}" if not name.startswith("audio") else name
        language = f"the audio stream {target.stream.language or target.stream.index}"
        _expect(where, "audio codec", stream.information.get("codec_name"), "aac")
        _expect(where, "audio channels", stream.information.get("channels"), target.channels)
        _expect(where, "audio sample rate", int(stream.information.get("sample_rate", 0)), target.sample_rate)
        if not stream.pts:
            raise VerificationFailed(f"{where}: {language} is empty")
        frame = Fraction(AAC_FRAME, target.sample_rate)
        step = frame / stream.time_base
        allowed = TICKS / stream.time_base + 1
        for number, pts in enumerate(stream.pts):
            if abs(pts - stream.pts[0] - number * step) > allowed:
                seconds = float((pts - stream.pts[0]) * stream.time_base)
                raise VerificationFailed(f"{where}: {language} has a gap or an overlap at {seconds:.3f} s")
        start = stream.pts[0] * stream.time_base - min(video.pts) * video.time_base
        length = len(stream.pts) * frame
        planned = target.stream.start_time - self.plan.info.video.start_time
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
        return {
            "language": target.stream.language,
            "channels": target.channels,
            "duration": float(length),
            "audio_bit_rate": round(stream.size * 8 / length),
        }

    # -- playlists

    def _check_listing(self, made: Sequence[Rendition], package: Package, out_dir: Path) -> None:
        name = package.entry.removesuffix(".m3u8")
        listed = set(package.files)
        used = {package.entry}
        for item in made:
            assert item.playlist is not None  # noqa: S101 - of HLS only
            starts = [item.playlist.initialization] if item.playlist.initialization else []
            paths = [*starts, *(segment.path for segment in item.playlist.segments), f"{name}.m3u8"]
            used |= {f"{item.name}/{path}" for path in paths}
        if missing := sorted(used - listed):
            raise VerificationFailed(f"the package does not list {missing[0]}, which a playlist names")
        unused = sorted(file for file in listed - used if "/" in file)
        if unused:
            raise VerificationFailed(f"the package lists {unused[0]}, which no playlist names")

    def _check_master(self, master: Any, made: Sequence[Rendition]) -> None:
        rates = {
            item.name: playlist.bit_rates(item.playlist.segments, item.playlist.target_duration) for item in made if item.playlist
        }
        rungs = {rung.name for rung in self.plan.rungs}
        audio = max((rate.peak for name, rate in rates.items() if name not in rungs), default=0)
        for rung, variant in zip(self.plan.rungs, master.playlists, strict=True):
            where = f"the master playlist's rung {rung.name}"
            information = variant.stream_info
            _expect(where, "RESOLUTION", tuple(information.resolution or ()), (rung.width, rung.height))
            _expect(where, "BANDWIDTH", information.bandwidth, rates[rung.name].peak + audio)
            codecs = (information.codecs or "").split(",")
            _expect(where, "audio in CODECS", playlist.AAC_LC in codecs, bool(self.plan.audio))
            if not codecs[0].startswith("avc1."):
                raise VerificationFailed(f"{where} names no H.264 codec")


def _check_files(package: Package, out_dir: Path) -> None:
    for file in package.files:
        path = out_dir / file
        if not path.is_file() or path.stat().st_size == 0:
            raise VerificationFailed(f"{file} is missing or empty")
    if len(set(package.files)) != len(package.files) or package.files[-1] != package.entry:
        raise VerificationFailed(f"{package.entry} is not the package's last file, or a file is listed twice")


def _check_picture(where: str, information: Mapping[str, Any], rung: Rung, source: VideoStream) -> None:
    color = filters.output_color(source)
    wanted = {
        "codec_name": "h264",
        "width": rung.width,
        "height": rung.height,
        "pix_fmt": "yuv420p",
        "color_range": color.range,
        "color_space": color.matrix,
        "color_primaries": color.primaries,
        "color_transfer": color.transfer,
    }
    for key, value in wanted.items():
        _expect(where, key, information.get(key), value)
    if information.get("sample_aspect_ratio", "1:1") not in ("1:1", "0:1", "N/A"):
        raise VerificationFailed(f"{where} has pixels that are not square: {information['sample_aspect_ratio']}")
    if any("matrix" in str(data.get("side_data_type", "")).lower() for data in information.get("side_data_list", ())):
        raise VerificationFailed(f"{where} has a display matrix, which many players ignore")


def _expect(where: str, what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise VerificationFailed(f"{where}: {what} is {found}, expected {wanted}")


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
