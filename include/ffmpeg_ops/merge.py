"""Puts an upscaled video in the place of the source's: everything else is copied from the source, once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.errors import InputNotSupported, MediaError, OutputNotSupported
from include.ffmpeg_ops import boxes, rendition, runner
from include.ffmpeg_ops.containers import Container
from include.ffmpeg_ops.ffprobe import Source
from include.ffmpeg_ops.models import DroppedStream, MediaInfo
from include.ffmpeg_ops.runner import Command
from include.settings import get_settings

__all__ = ["delay_of", "keepable", "lead_of", "merge"]

OLDEST_TO_TURN = 7
# What describes the packets of the source's video, and not ours: statistics, and transparency, of which ours have none.
_STALE = ("BPS", "NUMBER_OF_BYTES", "NUMBER_OF_FRAMES", "_STATISTICS_", "ALPHA_MODE")


def lead_of(info: MediaInfo) -> int:
    """Return by how many whole seconds the video must be late in a file that has no negative times."""
    return max(0, math.ceil(-info.video.start_time))


def delay_of(info: MediaInfo, container: Container) -> int:
    """Return by how many whole seconds all of a transport stream is later than in the source.

    It has no times below zero, where decoding may have to begin, and where ffmpeg puts what precedes an overflow of the source's
    clock (33 bits).
    """
    return max(0, math.ceil(1 - info.epoch)) if container.muxer == "mpegts" else 0


def keepable(
    source: Path, info: MediaInfo, container: Container, scratch: Path, **run_kwargs: Any
) -> tuple[tuple[int, ...], tuple[DroppedStream, ...]]:
    """Find out by trying which of the source's streams the container takes; return their numbers, and the others.

    The video's own number is among the first. Raises :class:`InputNotSupported` where the audio cannot be kept.
    """
    _check_turn(info, container, run_kwargs)
    streams = _document(source, run_kwargs)["streams"]
    kept = [int(stream["index"]) for stream in streams if stream.get("codec_type") in {"video", "audio"}]
    refused: list[DroppedStream] = []
    others = [number for number in kept if number != info.video.index]
    if others and (problem := _refusal(source, others, container, scratch, run_kwargs)):
        raise InputNotSupported(
            f"The source's audio or pictures do not fit into its own kind of file ({container.muxer}). {problem}"
        )
    why: str | None
    for stream in streams:
        number, kind = int(stream["index"]), str(stream.get("codec_type") or "data")
        if number in kept:
            continue
        if kind not in {"subtitle", "attachment"}:
            why = "only video, audio, subtitles and attachments are copied"
        else:
            why = _refusal(source, [number], container, scratch, run_kwargs)
        if why:
            codec = str(stream.get("codec_name") or "unknown")
            refused.append(DroppedStream(index=number, kind=kind, codec=codec, reason=why))
        else:
            kept.append(number)
    covers = {int(stream["index"]) for stream in streams if _is_cover(stream)}
    if container.muxer == "matroska":
        # There they are attachments, which follow all tracks.
        return tuple(sorted(kept, key=lambda number: (number in covers, number))), tuple(refused)
    return tuple(sorted(kept)), tuple(refused)


def _is_cover(stream: Mapping[str, Any]) -> bool:
    return bool(stream.get("disposition", {}).get("attached_pic"))


def _check_turn(info: MediaInfo, container: Container, run_kwargs: Mapping[str, Any]) -> None:
    video = info.video
    if container.is_mp4 or not (video.rotation or video.flipped):
        return
    # ffmpeg 5 and 6 read how a Matroska file is turned, but do not write it.
    if container.muxer == "matroska" and not video.flipped and runner.tools(run_kwargs.get("settings")).major >= OLDEST_TO_TURN:
        return
    raise InputNotSupported(
        f"The video is to be turned or mirrored when it is shown, which this ffmpeg cannot write to a file of this kind "
        f"({container.muxer}); remux the source to .mp4 or .mov."
    )


def _refusal(
    source: Path, numbers: Sequence[int], container: Container, scratch: Path, run_kwargs: Mapping[str, Any]
) -> str | None:
    argv = ["ffmpeg", "-copyts", *runner.input_options(), "-t", "1", "-i", f"file:{source.resolve()}"]
    for number in numbers:
        argv += ["-map", f"0:{number}"]
    trial = scratch / "trial"
    argv += ["-c", "copy", *container.options, "-f", container.muxer, f"file:{trial}"]
    try:
        runner.run(Command(tuple(argv)), **run_kwargs)
    except (OutputNotSupported, InputNotSupported) as error:
        return error.message
    except MediaError as error:
        # ffmpeg's muxers say in many ways that they do not take something, without an output of any size.
        if not trial.exists() or trial.stat().st_size < 1000:
            return error.message
        raise
    finally:
        trial.unlink(missing_ok=True)
    return None


def merge(
    source: Path, info: MediaInfo, video: Path, out: Path, *, kept: Sequence[int], container: Container, **run_kwargs: Any
) -> None:
    """Write ``out``: the streams ``kept`` of ``source`` in their order, with ``video`` in the place of its main video.

    ``video`` is :func:`include.ffmpeg_ops.splice.splice`'s file, made with the lead of :func:`lead_of`. Timestamps, metadata,
    chapters, dispositions and the display matrix are the source's.
    """
    document = _document(source, run_kwargs)
    streams = {int(stream["index"]): stream for stream in document["streams"]}
    lead = lead_of(info)
    argv = ["ffmpeg", "-copyts"]
    if info.video.rotation and not container.is_mp4:
        argv += ["-display_rotation:v:0", str(-info.video.rotation)]
    argv += [*runner.input_options(), "-i", f"file:{video.resolve()}"]
    argv += ["-itsoffset", str(lead), *runner.input_options(), "-i", f"file:{source.resolve()}"]
    covers = [number for number in kept if container.muxer == "matroska" and _is_cover(streams[number])]
    for place, number in enumerate(number for number in kept if number not in covers):
        argv += ["-map", "0:v:0" if number == info.video.index else f"1:{number}", f"-map_metadata:s:{place}", f"1:s:{number}"]
    argv += ["-c", "copy", "-map_metadata", "1", "-map_chapters", "1"]
    place = kept.index(info.video.index)
    argv += _labels(place, streams[info.video.index])
    later = delay_of(info, container) - lead
    if container.muxer in {"matroska", "webm"}:
        for at, number in enumerate(kept):
            argv += _hidden_start(at, streams[number])
        for number in covers:
            argv += _attachment(source, streams[number], kept.index(number), out, run_kwargs)
    if container.is_mp4:
        argv += _mp4_options(info, document, place)
    if later:
        argv += ["-output_ts_offset", str(later)]
    argv += [*container.options, "-f", container.muxer, f"file:{out.resolve()}"]
    rendition.run_on_ours("output", argv, run_kwargs)
    if container.is_mp4 and (info.video.rotation or info.video.flipped):
        before = [streams[number] for number in kept[:place] if streams[number].get("codec_type") == "video"]
        tracks = [stream for stream in before if not _is_cover(stream)]
        boxes.set_orientation(out, len(tracks), info.video.rotation, flipped=info.video.flipped)


def _attachment(source: Path, stream: Mapping[str, Any], place: int, out: Path, run_kwargs: Mapping[str, Any]) -> list[str]:
    """Extract a cover beside ``out`` and return the options that attach it, as a Matroska file has it."""
    path = out.with_name(f"cover-{stream['index']}")
    argv = ["ffmpeg", *runner.input_options(), "-i", f"file:{source.resolve()}", "-map", f"0:{stream['index']}"]
    rendition.run_on_ours("output", [*argv, "-c", "copy", "-f", "data", f"file:{path}"], run_kwargs)
    kind = {"mjpeg": "jpeg"}.get(str(stream["codec_name"]), str(stream["codec_name"]))
    tags = {"mimetype": f"image/{kind}", "filename": f"cover.{kind.replace('jpeg', 'jpg')}"} | dict(stream.get("tags", {}))
    options = ["-attach", f"file:{path.resolve()}"]
    for name, value in tags.items():
        options += [f"-metadata:s:{place}", f"{name}={value}"]
    return options


def _labels(place: int, stream: Mapping[str, Any]) -> list[str]:
    flags = [name for name, is_set in stream.get("disposition", {}).items() if is_set]
    options = [f"-disposition:{place}", "+".join(flags) or "0"]
    for name in stream.get("tags", {}):
        if name.upper().startswith(_STALE):
            options += [f"-metadata:s:{place}", f"{name}="]
    return options


def _hidden_start(place: int, stream: Mapping[str, Any]) -> list[str]:
    """Return the options that keep the time of sound whose first samples, before zero, are not heard (Opus's pre-skip).

    Its packets are stored late by these samples; ffmpeg 5 forgets to do that where it copies.
    """
    start = int(stream.get("start_pts") or 0)
    if stream.get("codec_type") != "audio" or start >= 0 or int(stream.get("initial_padding") or 0):
        return []
    return [f"-bsf:{place}", f"setts=ts=TS+{-start}"]


def _mp4_options(info: MediaInfo, document: Mapping[str, Any], place: int) -> list[str]:
    timescale = info.video.time_base.denominator
    # Edit lists count in the movie's scale: the start of every stream shall be a whole number in it.
    rates = [int(stream["sample_rate"]) for stream in document["streams"] if str(stream.get("sample_rate", "")).isdigit()]
    scale = math.lcm(timescale, *rates)
    if scale >= 2**31:
        scale = timescale * max(1, 90_000 // timescale)
    flags = "+faststart"
    if any("." in name for name in document["format"].get("tags", {})):
        # Keys such as com.apple.quicktime.make, which the muxer else leaves out.
        flags += "+use_metadata_tags"
    options = ["-video_track_timescale", str(timescale), "-movie_timescale", str(scale), "-movflags", flags]
    return [*options, f"-tag:{place}", "hvc1"] if info.video.bit_depth > 8 else options


def _document(source: Path, run_kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    return Source(source, run_kwargs.get("settings") or get_settings()).document()
