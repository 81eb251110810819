"""Joins encoded chunks and audio into what is published: an HLS ladder, or one MP4. Everything is a stream copy.

Chunks and audio files start at zero; here they get their places on one timeline, whose zero is :attr:`MediaInfo.epoch`. The
offsets between chunks are given to the concat demuxer from exact sums, so nothing drifts.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from include.errors import ParameterError, VerificationFailed
from include.ffmpeg_ops import boxes, playlist, runner, storyboard
from include.ffmpeg_ops.models import AudioTarget, Plan

__all__ = ["AudioGroup", "Package", "audio_groups", "in_parallel", "is_muxed", "package_hls", "package_mp4"]

# Longest name, in bytes, to which a segment's number and suffix can be added within a file system's usual 255.
LONGEST_NAME = 240

T = TypeVar("T")


@dataclass(frozen=True)
class Package:
    """Files to publish, relative to their folder, in an order in which no file refers to a later one; ``entry`` is the last."""

    entry: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class AudioGroup:
    """An audio stream that has a playlist of its own."""

    folder: str
    target: AudioTarget


def is_muxed(plan: Plan) -> bool:
    """Tell whether the audio is inside the video renditions: one stream, about as long as the video.

    A stream that starts a second before the video, or outlasts it by a segment, would force long segments without pictures.
    """
    if len(plan.audio) != 1:
        return False
    video, audio = plan.info.video, plan.audio[0].stream
    tail = audio.start_time + audio.duration - video.start_time - video.duration
    return video.start_time - audio.start_time < 1 and tail < plan.segment_seconds


def audio_groups(plan: Plan) -> tuple[AudioGroup, ...]:
    """Return the audio streams with playlists of their own, and their folders; empty where the audio is muxed."""
    if is_muxed(plan):
        return ()
    folders: list[str] = []
    for target in plan.audio:
        base = f"audio_{playlist.safe_language(target.stream.language)}"
        number = 1 + sum(folder == base or folder.startswith(f"{base}_") for folder in folders)
        folders.append(base if number == 1 else f"{base}_{number}")
    return tuple(AudioGroup(folder, target) for folder, target in zip(folders, plan.audio, strict=True))


def package_hls(  # noqa: PLR0917 - the parts of a package, in the order of its assembly
    plan: Plan,
    parts: Mapping[str, Sequence[Path]],
    audio: Sequence[Path],
    thumbnails: Sequence[Path],
    out_dir: Path,
    name: str,
    **run_kwargs: Any,
) -> Package:
    """Write ``<name>.m3u8``, a folder per rendition, thumbnails and storyboard under ``out_dir``.

    ``parts`` holds every chunk's file in order for each rung, ``audio`` a file per :attr:`Plan.audio`; ``run_kwargs`` go to
    :func:`include.ffmpeg_ops.runner.run`. Raises :class:`VerificationFailed` where the chunks do not fit together.
    """
    _check(plan, parts, audio, name)
    out_dir.mkdir(parents=True, exist_ok=True)
    codecs = {rung.name: _same_codec(rung.name, parts[rung.name]) for rung in plan.rungs}
    muxed = audio if is_muxed(plan) else ()
    groups = audio_groups(plan)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".package-") as scratch:
        hls = _Hls(plan, name, out_dir, Path(scratch), run_kwargs)
        jobs: list[Callable[[], _Rendition]] = [
            lambda rung=rung: hls.write(rung.name, _video_input(plan, parts[rung.name], hls.folder(rung.name)), muxed)  # type: ignore[misc]
            for rung in plan.rungs
        ]
        jobs += [
            lambda group=group, path=path: hls.write(group.folder, [], [path], group.target)  # type: ignore[misc]
            for group, path in zip(groups, audio, strict=bool(groups))
        ]
        renditions = in_parallel(jobs)
    videos, audios = renditions[: len(plan.rungs)], renditions[len(plan.rungs) :]
    pictures = storyboard.write(plan, thumbnails, out_dir, **run_kwargs)
    text = playlist.master_playlist(
        [
            playlist.Variant(
                made.files[-1], made.rates, rung.width, rung.height, plan.timing.frame_rate, codecs[rung.name], bool(muxed)
            )
            for rung, made in zip(plan.rungs, videos, strict=True)
        ],
        [
            playlist.AudioRendition(
                made.files[-1],
                made.rates,
                group.target.stream.language,
                group.target.stream.title,
                group.target.channels,
                group.target.stream.default,
            )
            for group, made in zip(groups, audios, strict=True)
        ],
    )
    entry = f"{name}.m3u8"
    (out_dir / entry).write_text(text, encoding="utf-8")
    return Package(entry, (*(file for made in renditions for file in made.files), *pictures, entry))


def package_mp4(
    plan: Plan, parts: Mapping[str, Sequence[Path]], audio: Sequence[Path], out_dir: Path, name: str, **run_kwargs: Any
) -> Package:
    """Write ``<name>.mp4`` under ``out_dir``: the only rung with all audio streams, index in front.

    Raises :class:`VerificationFailed` where the chunks do not fit together.
    """
    _check(plan, parts, audio, name)
    out_dir.mkdir(parents=True, exist_ok=True)
    (rung,) = plan.rungs
    _same_codec(rung.name, parts[rung.name])
    entry = f"{name}.mp4"
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".package-") as folder:
        scratch = Path(folder)
        argv = ["ffmpeg", *_video_input(plan, parts[rung.name], scratch)]
        maps = ["-map", "0:v:0"]
        for number, (target, path) in enumerate(zip(plan.audio, audio, strict=True)):
            argv += _audio_input(plan, target, path)
            maps += ["-map", f"{number + 1}:a:0"]
        argv += [*maps, "-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1"]
        default = next((number for number, target in enumerate(plan.audio) if target.stream.default), 0)
        for number, target in enumerate(plan.audio):
            argv += [f"-disposition:a:{number}", "default" if number == default else "0"]
            argv += [f"-metadata:s:a:{number}", f"language={playlist.safe_language(target.stream.language)}"]
            if target.stream.title:
                argv += [f"-metadata:s:a:{number}", f"title={target.stream.title}"]
        scale = plan.timing.timescale
        argv += ["-video_track_timescale", str(scale)]
        # Edit lists, which hold the offset between audio and video, count in this scale; ffmpeg's own is 1 ms.
        argv += ["-movie_timescale", str(scale * math.ceil(90_000 / scale))]
        argv += ["-movflags", "+faststart", "-f", "mp4", f"file:{scratch / 'out.mp4'}"]
        runner.run(runner.Command(tuple(argv)), **run_kwargs)
        (scratch / "out.mp4").replace(out_dir / entry)
    return Package(entry, (entry,))


@dataclass(frozen=True)
class _Rendition:
    """A media playlist and its files, the playlist last."""

    files: tuple[str, ...]
    rates: playlist.BitRates


@dataclass(frozen=True)
class _Hls:
    """Writes the renditions of one HLS package."""

    plan: Plan
    name: str
    out_dir: Path
    scratch: Path
    run_kwargs: Mapping[str, Any]

    def folder(self, rendition: str) -> Path:
        path = self.scratch / rendition
        path.mkdir(exist_ok=True)
        return path

    def write(self, rendition: str, video: list[str], audio: Sequence[Path], target: AudioTarget | None = None) -> _Rendition:
        """Write ``<rendition>/``: ffmpeg works under neutral names, since its patterns and playlists know no escapes."""
        folder = self.folder(rendition)
        argv = ["ffmpeg", *video]
        for path in audio:
            argv += _audio_input(self.plan, target or self.plan.audio[0], path)
        maps = (["-map", "0:v:0"] if video else []) + (["-map", f"{int(bool(video))}:a:0"] if audio else [])
        argv += [*maps, "-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1"]
        # One fixed shift in every rendition instead of ffmpeg's own, which depends on the streams that are there: so audio and
        # video playlists share one timeline, and no DTS is negative.
        argv += ["-avoid_negative_ts", "disabled", "-output_ts_offset", _seconds(_shift(self.plan))]
        argv += ["-f", "hls", "-hls_time", str(self.plan.segment_seconds), "-hls_list_size", "0"]
        argv += ["-hls_playlist_type", "vod", "-hls_flags", "independent_segments"]
        if self.plan.segment_type == "fmp4":
            # frag_discont puts the start into the fragments' decode times; edit lists would be lost on most players.
            argv += ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "_init.mp4"]
            argv += ["-hls_segment_options", "movflags=+frag_discont"]
        suffix = "m4s" if self.plan.segment_type == "fmp4" else "ts"
        argv += ["-hls_segment_filename", f"{_pattern(folder)}/%05d.{suffix}", f"{folder}/index.m3u8"]
        runner.run(runner.Command(tuple(argv)), **self.run_kwargs)
        return self._publish(rendition, folder)

    def _publish(self, rendition: str, folder: Path) -> _Rendition:
        final = self.out_dir / rendition
        final.mkdir(exist_ok=True)
        text = playlist.rename_segments((folder / "index.m3u8").read_text(encoding="utf-8"), lambda old: f"{self.name}{old}")
        for path in folder.iterdir():
            if path.suffix in (".ts", ".m4s", ".mp4"):
                path.replace(final / f"{self.name}{path.name}")
        (final / f"{self.name}.m3u8").write_text(text, encoding="utf-8")
        made = playlist.read_media_playlist(text, lambda path: (final / path).stat().st_size)
        starts = (made.initialization,) if made.initialization else ()
        files = (*starts, *(segment.path for segment in made.segments), f"{self.name}.m3u8")
        return _Rendition(tuple(f"{rendition}/{file}" for file in files), playlist.bit_rates(made.segments, made.target_duration))


def in_parallel(jobs: Iterable[Callable[[], T]]) -> list[T]:
    """Run the jobs, as many at once as there are processors; return their results in order or raise the first error."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def _check(plan: Plan, parts: Mapping[str, Sequence[Path]], audio: Sequence[Path], name: str) -> None:
    if not name or "/" in name or "\0" in name or len(name.encode()) > LONGEST_NAME:
        raise ParameterError(
            f"An output's name has 1 to {LONGEST_NAME} bytes and no slash; this one has {len(name.encode())} bytes."
        )
    for rung in plan.rungs:
        if len(parts.get(rung.name, ())) != len(plan.chunks):
            raise VerificationFailed(
                f"rung {rung.name} has {len(parts.get(rung.name, ()))} chunk files, expected {len(plan.chunks)}"
            )
    if len(audio) != len(plan.audio):
        raise VerificationFailed(f"There are {len(audio)} audio files, expected {len(plan.audio)}")


def _same_codec(rung: str, parts: Sequence[Path]) -> str:
    # One set of parameter sets describes the joined stream, so they must be the same in all chunks.
    first = boxes.avc_configuration(parts[0])
    for number, path in enumerate(parts[1:], start=1):
        if boxes.avc_configuration(path) != first:
            raise VerificationFailed(f"rung {rung}: chunk {number} has other H.264 parameter sets than chunk 0")
    return playlist.codec_string(first)


def _video_input(plan: Plan, parts: Sequence[Path], scratch: Path) -> list[str]:
    lines = ["ffconcat version 1.0"]
    start = Fraction(0)
    for chunk, path in zip(plan.chunks, parts, strict=True):
        end = start + chunk.duration
        quoted = str(path.resolve()).replace("'", r"'\''")
        # The demuxer counts in microseconds: rounding the sums, not the terms, keeps every chunk within half of one.
        lines += [f"file 'file:{quoted}'", f"duration {_microseconds(end) - _microseconds(start)}us"]
        start = end
    path = scratch / "chunks.ffconcat"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # auto_convert would put parameter sets into every keyframe.
    options = [*runner.input_options("concat"), "-auto_convert", "0", "-i", f"file:{path}"]
    return ["-itsoffset", _seconds(plan.info.video.start_time - plan.info.epoch), *options]


def _audio_input(plan: Plan, target: AudioTarget, path: Path) -> list[str]:
    offset = _seconds(target.stream.start_time - plan.info.epoch)
    return ["-itsoffset", offset, *runner.input_options(), "-i", f"file:{path.resolve()}"]


def _shift(plan: Plan) -> Fraction:
    # Ten seconds, as segmenters customarily have it, and whatever B-frames put the first DTS of a slow stream before its PTS.
    timing = plan.timing
    delays = [chunk.pts[:5][-1] * timing.time_base for chunk in plan.chunks if chunk.pts]
    return Fraction(10 + math.floor(max(delays, default=4 / timing.frame_rate)))


def _microseconds(seconds: Fraction) -> int:
    return round(seconds * 1_000_000)


def _seconds(value: Fraction) -> str:
    return f"{_microseconds(value)}us"


def _pattern(folder: Path) -> str:
    return str(folder).replace("%", "%%")
