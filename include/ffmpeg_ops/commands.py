"""Pure: from a task to the command line that does it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from include.ffmpeg_ops import filters, sounds
from include.ffmpeg_ops.encoders import seconds, statistics, task_options, x264_options
from include.ffmpeg_ops.models import AudioTarget, AudioTask, Rung, TaskRung, VideoTask
from include.ffmpeg_ops.runner import Command, input_options

__all__ = ["THUMBNAIL", "copy_video", "encode_audio", "encode_chunk", "first_pass", "input_arguments", "lut_path"]

THUMBNAIL = "thumbnail-%05d.jpg"

# Gaps and overlaps in audio longer than this are filled with silence or cut; lip-sync is felt from some 40 ms.
AUDIO_TOLERANCE_SECONDS = 0.04

# The same unit gives the same bytes, and nothing of the source but its pictures and sound comes along.
_CLEAN: dict[str, Any] = {"map_metadata": "-1", "map_chapters": "-1", "fflags": "+bitexact"}

# From the first packet on, at its own time.
_COPY = ("-copypriorss", "1", "-avoid_negative_ts", "disabled")
_BARE = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact")


def lut_path(task: VideoTask, out_dir: Path) -> Path | None:
    """Return where :func:`encode_chunk` expects the tone-mapping LUT, or ``None`` for SDR."""
    return out_dir / f"{task.stream.color.hdr}.cube" if task.stream.color.hdr else None


def encode_chunk(source: Path, task: VideoTask, out_dir: Path) -> Command:
    """Return the command that decodes one chunk once and encodes all its rungs and thumbnails.

    Outputs are ``<rung name>.mp4`` and, from 1 in this chunk, ``thumbnail-%05d.jpg``. An HDR source needs the LUT at
    :func:`lut_path`, a rung of two passes what :func:`first_pass` has left in ``out_dir``.
    """
    files = {rung.name: out_dir / f"{rung.name}.mp4" for rung in task.rungs}

    def output(video: Any, rung: Rung | TaskRung) -> Any:
        options = _options(task, rung, out_dir)
        return ffmpeg.output(video, f"file:{files[rung.name]}", **_CLEAN, **options, **_part(task))

    return Command(_decode_once(source, task, out_dir, output), outputs=files, frames=task.chunk.frames)


def first_pass(source: Path, task: VideoTask, out_dir: Path) -> Command | None:
    """Return the command that leaves in ``out_dir`` what rungs of two passes need to know; None where there is no such rung."""
    rungs = tuple(rung for rung in task.rungs if isinstance(rung, TaskRung) and rung.encoding.rc_mode == "2passvbr")
    if not rungs:
        return None
    chunk = task.chunk.model_copy(update={"thumbnails": ()})

    def output(video: Any, rung: Rung | TaskRung) -> Any:
        assert isinstance(rung, TaskRung)  # noqa: S101 - chosen above
        options = task_options(task, rung, statistics(rung, out_dir, 1))
        return ffmpeg.output(video, "null", **options, **_time(task), f="null")

    return Command(_decode_once(source, task.model_copy(update={"rungs": rungs, "chunk": chunk}), out_dir, output))


def copy_video(source: Path, task: VideoTask, out_dir: Path) -> Command:
    """Return the command that copies the video stream to ``<rung name>.mp4``, its first frame at zero."""
    (rung,) = task.rungs
    file = out_dir / f"{rung.name}.mp4"
    argv = ("ffmpeg", "-copyts", *input_options("source"), "-i", f"file:{source}", "-map", f"0:{task.stream.index}", "-c", "copy")
    options = (*_COPY, *_BARE, "-output_ts_offset", _microseconds(-task.chunk.start_pts * task.stream.time_base))
    argv += (*options, "-video_track_timescale", str(task.timing.timescale), "-f", "mp4", f"file:{file}")
    return Command(argv, outputs={rung.name: file}, frames=task.chunk.frames)


def _decode_once(source: Path, task: VideoTask, out_dir: Path, output: Callable[[Any, Rung | TaskRung], Any]) -> tuple[str, ...]:
    chunk = task.chunk
    # A picture size that changes midway is the scalers' work: a graph built anew would count its frames from zero again.
    video = ffmpeg.input(f"file:{source}", **input_arguments(), **_seek(task), threads=task.threads, reinit_filter=0)
    video = video[str(task.stream.index)]
    prepared = filters.prepare(video, task, lut_path(task, out_dir))
    outputs = []
    if chunk.thumbnails:
        branches = prepared.split()
        prepared, pictures = branches[0], filters.thumbnails(branches[1], task)
        outputs.append(_jpegs(pictures, out_dir / THUMBNAIL))
    timed = filters.retime(prepared, task)
    sizes: dict[tuple[int, int, tuple[int, int] | None], list[Rung | TaskRung]] = {}
    for rung in task.rungs:
        sizes.setdefault((rung.width, rung.height, rung.picture), []).append(rung)
    videos: dict[str, Any] = {}
    for (size, rungs), branch in zip(sizes.items(), filters.split(timed, len(sizes)), strict=True):
        resized = filters.resize(branch, task, *size)
        videos.update(zip([rung.name for rung in rungs], filters.split(resized, len(rungs)), strict=True))
    rung_outputs = [output(videos[rung.name], rung) for rung in task.rungs]
    # Rungs first: ffmpeg's progress counts the frames of the first output.
    return _argv([*rung_outputs, *outputs], "-filter_complex_threads", str(task.threads))


def encode_audio(source: Path, task: AudioTask, out_dir: Path) -> Command:
    """Return the command that encodes or copies every kept audio stream, whole, with its first sample at zero.

    Outputs are ``audio-<i>.m4a``.
    """
    audio = ffmpeg.input(f"file:{source}", **input_arguments())
    files = {f"audio-{number}": out_dir / f"audio-{number}.m4a" for number in range(len(task.targets))}
    outputs = []
    for target, file in zip(task.targets, files.values(), strict=True):
        make = _copied_audio if target.format == "copy" else _encoded_audio
        outputs.append(make(audio[str(target.stream.index)], target, file))
    return Command(_argv(outputs), outputs=files)


def input_arguments() -> dict[str, Any]:
    """Return the runner's options before ``-i`` as the builder wants them."""
    options = input_options("source")
    return {name.removeprefix("-"): value for name, value in zip(options[::2], options[1::2], strict=True)}


def _seek(task: VideoTask) -> dict[str, Any]:
    if task.chunk.seek_pts is None:
        return {}
    # Half a frame later than the keyframe, so that rounding to microseconds cannot miss it. Where ffmpeg seeks by DTS it
    # starts somewhat earlier than asked; frames before the chunk are trimmed away, too late a start would lose some.
    aim = task.chunk.seek_pts * task.stream.time_base + Fraction(1, 2) / task.stream.frame_rate
    return {"ss": seconds(aim), "seek_timestamp": 1, "noaccurate_seek": None}


def _argv(outputs: list[Any], *options: str) -> tuple[str, ...]:
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    # Timestamps stay as they are in the source; a stream with many damaged frames is ours to judge, not ffmpeg's.
    return ("ffmpeg", "-copyts", "-max_error_rate", "1", *options, *ffmpeg.get_args(merged))


def _options(task: VideoTask, rung: Rung | TaskRung, out_dir: Path) -> dict[str, Any]:
    if isinstance(rung, Rung):
        return x264_options(task, rung)
    return task_options(task, rung, statistics(rung, out_dir, 2))


def _part(task: VideoTask) -> dict[str, Any]:
    return {**_time(task), "video_track_timescale": task.timing.timescale, "f": "mp4"}


def _time(task: VideoTask) -> dict[str, Any]:
    time_base = task.timing.time_base
    return {"fps_mode": "passthrough", "enc_time_base": f"{time_base.numerator}:{time_base.denominator}"}


def _jpegs(pictures: Any, pattern: Path) -> Any:
    return ffmpeg.output(
        pictures,
        f"file:{pattern}",
        **_CLEAN,
        **{"c:v": "mjpeg", "q:v": 3, "flags:v": "+bitexact", "fps_mode": "passthrough", "enc_time_base": "1:1", "f": "image2"},
    )


def _copied_audio(audio: Any, target: AudioTarget, path: Path) -> Any:
    offset = _microseconds(-target.stream.start_time)
    return ffmpeg.output(
        audio,
        f"file:{path}",
        **_CLEAN,
        # Samples that only prepare the decoder lie before the start.
        **{"c": "copy", "copypriorss": 1, "avoid_negative_ts": "disabled", "output_ts_offset": offset, "f": "mp4"},
    )


def _encoded_audio(audio: Any, target: AudioTarget, path: Path) -> Any:
    start = target.stream.start_time
    sound = (
        # By what the plan says, not by the first sample seen: where layout or rate change midway, a new graph begins.
        audio.filter("asetpts", f"PTS-round({start.numerator}*SR/{start.denominator})")
        .filter(
            "aresample",
            target.sample_rate,
            **{"async": 1, "min_hard_comp": AUDIO_TOLERANCE_SECONDS},
            # A mix of several channels into one stays below full scale.
            rematrix_maxval=1,
        )
        .filter("aformat", **_samples(target), sample_rates=target.sample_rate, channel_layouts=target.layout)
    )
    made = sounds.audio_options(target.format, target.bit_rate)
    options = dict(zip((name[1:] for name in made[::2]), made[1::2], strict=True))
    return ffmpeg.output(sound, f"file:{path}", **_CLEAN, **options, f="ipod" if target.format == "aac" else "mp4")


def _samples(target: AudioTarget) -> dict[str, str]:
    # What the others take differs; ffmpeg finds it out.
    return {"sample_fmts": "fltp"} if target.format == "aac" else {}


def _microseconds(time: Fraction) -> str:
    return f"{round(time * 1_000_000)}us"
