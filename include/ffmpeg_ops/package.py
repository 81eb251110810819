"""Joins encoded chunks and audio into what is published: an HLS ladder, or one file. Everything is a stream copy."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from include.errors import ParameterError, VerificationFailed
from include.ffmpeg_ops import boxes, join, playlist, rendition, storyboard
from include.ffmpeg_ops.hls import HlsWriter, WrittenRendition
from include.ffmpeg_ops.models import AudioTarget, Plan, Rung, TaskRung
from include.ffmpeg_ops.parallel import in_parallel

__all__ = ["AudioGroup", "Package", "audio_groups", "is_muxed", "package_file", "package_hls"]

# Longest name, in bytes, to which a segment's number and suffix can be added within a file system's usual 255.
LONGEST_NAME = 240

SUFFIXES = {"mp4": "mp4", "flv": "flv", "mpegts": "ts"}


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
    :func:`include.ffmpeg_ops.runner.run`. Raises :class:`VerificationFailed` where the chunks do not fit together or are damaged.
    """
    _check(plan, parts, audio, name)
    out_dir.mkdir(parents=True, exist_ok=True)
    codecs = {rung.name: _same_codec(rung, parts[rung.name]) for rung in plan.rungs}
    heard = playlist.audio_codec_string(plan.audio[0].codec) if is_muxed(plan) else None
    muxed = audio if is_muxed(plan) else ()
    groups = audio_groups(plan)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".package-") as scratch:
        writer = HlsWriter(plan, name, out_dir, Path(scratch), run_kwargs)
        jobs: list[Callable[[], WrittenRendition]] = []
        jobs += [partial(writer.video, rung, parts[rung.name], muxed) for rung in plan.rungs]
        jobs += [
            partial(writer.audio, group.folder, group.target, path) for group, path in zip(groups, audio, strict=bool(groups))
        ]
        written = in_parallel(lambda job: job(), jobs)
    pictures = storyboard.write(plan, thumbnails, out_dir, **run_kwargs)
    videos, sounds = written[: len(plan.rungs)], written[len(plan.rungs) :]
    variants = [
        playlist.Variant(made.files[-1], made.rates, rung.width, rung.height, plan.timing.frame_rate, codecs[rung.name], heard)
        for rung, made in zip(plan.rungs, videos, strict=True)
    ]
    renditions = [_audio_rendition(group.target, made) for group, made in zip(groups, sounds, strict=True)]
    entry = f"{name}.m3u8"
    (out_dir / entry).write_text(playlist.master_playlist(variants, renditions), encoding="utf-8")
    return Package(entry, (*(file for made in written for file in made.files), *pictures, entry))


def package_file(
    plan: Plan, parts: Mapping[str, Sequence[Path]], audio: Sequence[Path], out_dir: Path, name: str, **run_kwargs: Any
) -> Package:
    """Write ``<name>.mp4``, ``.flv`` or ``.ts`` under ``out_dir``: the only rung with all audio streams, an index in front.

    Raises :class:`VerificationFailed` where the chunks do not fit together or are damaged.
    """
    _check(plan, parts, audio, name)
    out_dir.mkdir(parents=True, exist_ok=True)
    (rung,) = plan.rungs
    _same_codec(rung, parts[rung.name])
    entry = f"{name}.{SUFFIXES[plan.container]}"
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".package-") as folder:
        scratch = Path(folder)
        argv = ["ffmpeg", *join.video_input(plan, parts[rung.name], scratch)]
        maps = ["-map", "0:v:0"]
        for number, (target, path) in enumerate(zip(plan.audio, audio, strict=True), start=1):
            argv += join.audio_input(plan, target, path)
            maps += ["-map", f"{number}:a:0"]
        argv += [*maps, *join.CLEAN, *_audio_labels(plan.audio), "-output_ts_offset", join.seconds(join.shift(plan))]
        made = scratch / f"out.{SUFFIXES[plan.container]}"
        argv += [*_muxer(plan, rung.codec), f"file:{made}"]
        rendition.run_on_ours(rung.name, argv, run_kwargs)
        made.replace(out_dir / entry)
    return Package(entry, (entry,))


def _muxer(plan: Plan, codec: str) -> tuple[str, ...]:
    if plan.container == "flv":
        return ("-flvflags", "+add_keyframe_index", "-f", "flv")
    if plan.container == "mpegts":
        return ("-f", "mpegts")
    # In this scale every PTS is whole, and the offset between audio and video is exact to 1/90000 s: edit lists hold it,
    # which count in the movie's scale, by ffmpeg's own choice 1 ms.
    scale = str(plan.timing.timescale * math.ceil(90_000 / plan.timing.timescale))
    scales = ("-video_track_timescale", scale, "-movie_timescale", scale)
    return (*join.tag(codec), *scales, "-movflags", "+faststart", "-f", "mp4")


def _check(plan: Plan, parts: Mapping[str, Sequence[Path]], audio: Sequence[Path], name: str) -> None:
    if not name or "/" in name or "\0" in name or len(name.encode()) > LONGEST_NAME:
        size = len(name.encode())
        raise ParameterError(f"An output's name has 1 to {LONGEST_NAME} bytes and no slash; this one has {size} bytes.")
    for rung in plan.rungs:
        if len(parts.get(rung.name, ())) != len(plan.chunks):
            raise VerificationFailed(
                f"rung {rung.name} has {len(parts.get(rung.name, ()))} chunk files, expected {len(plan.chunks)}"
            )
    if len(audio) != len(plan.audio):
        raise VerificationFailed(f"There are {len(audio)} audio files, expected {len(plan.audio)}")


def _same_codec(rung: Rung | TaskRung, parts: Sequence[Path]) -> str:
    """Return the name of the codec for playlists; other codecs than these two carry their parameters in the stream."""
    if rung.codec not in ("h264", "hevc"):
        return rung.codec
    read, standard = (boxes.avc_configuration, "H.264") if rung.codec == "h264" else (boxes.hevc_configuration, "H.265")
    # One set of parameter sets describes the joined stream, so they must be the same in all chunks.
    first = read(parts[0])
    for number, path in enumerate(parts[1:], start=1):
        if read(path) != first:
            raise VerificationFailed(f"rung {rung.name}: chunk {number} has other {standard} parameter sets than chunk 0")
    return playlist.codec_string(first) if rung.codec == "h264" else playlist.hevc_codec_string(first)


def _audio_labels(targets: Sequence[AudioTarget]) -> list[str]:
    default = next((number for number, target in enumerate(targets) if target.stream.default), 0)
    options = []
    for number, target in enumerate(targets):
        options += [f"-disposition:a:{number}", "default" if number == default else "0"]
        options += [f"-metadata:s:a:{number}", f"language={playlist.safe_language(target.stream.language)}"]
        if target.stream.title:
            options += [f"-metadata:s:a:{number}", f"title={target.stream.title}"]
    return options


def _audio_rendition(target: AudioTarget, made: WrittenRendition) -> playlist.AudioRendition:
    stream = target.stream
    codec = playlist.audio_codec_string(target.codec)
    return playlist.AudioRendition(
        made.files[-1], made.rates, stream.language, stream.title, target.channels, stream.default, codec
    )
