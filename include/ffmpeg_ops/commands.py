"""Pure: from a task to the command line that does it."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import ffmpeg

from include.ffmpeg_ops import filters
from include.ffmpeg_ops.models import AudioTarget, AudioTask, Rung, VideoTask
from include.ffmpeg_ops.runner import Command, input_options

__all__ = ["THUMBNAIL", "encode_audio", "encode_chunk", "input_arguments", "lut_path"]

THUMBNAIL = "thumbnail-%05d.jpg"

# Gaps and overlaps in audio longer than this are filled with silence or cut; lip-sync is felt from some 40 ms.
AUDIO_TOLERANCE_SECONDS = 0.04

# Factors on the bits of the frames beside a chunk's borders, so that the picture shows no step there.
FIRST_FRAME_BONUS = 1.4
LAST_FRAMES_BONUS = 1.25
LAST_FRAMES = 3

# The same unit gives the same bytes, and nothing of the source but its pictures and sound comes along.
_CLEAN: dict[str, Any] = {"map_metadata": "-1", "map_chapters": "-1", "fflags": "+bitexact"}


def lut_path(task: VideoTask, out_dir: Path) -> Path | None:
    """Return where :func:`encode_chunk` expects the tone-mapping LUT, or ``None`` for SDR."""
    return out_dir / f"{task.stream.color.hdr}.cube" if task.stream.color.hdr else None


def encode_chunk(source: Path, task: VideoTask, out_dir: Path) -> Command:
    """Return the command that decodes one chunk once and encodes all its rungs and thumbnails.

    Outputs are ``<rung name>.mp4`` and, from 1 in this chunk, ``thumbnail-%05d.jpg``. An HDR source needs the LUT at
    :func:`lut_path`.
    """
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
    sizes: dict[tuple[int, int], list[Rung]] = {}
    for rung in task.rungs:
        sizes.setdefault((rung.width, rung.height), []).append(rung)
    videos: dict[str, Any] = {}
    for (size, rungs), branch in zip(sizes.items(), filters.split(timed, len(sizes)), strict=True):
        resized = filters.resize(branch, task, *size)
        videos.update(zip([rung.name for rung in rungs], filters.split(resized, len(rungs)), strict=True))
    files = {rung.name: out_dir / f"{rung.name}.mp4" for rung in task.rungs}
    rung_outputs = [_x264(videos[rung.name], task, rung, files[rung.name]) for rung in task.rungs]
    # Rungs first: ffmpeg's progress counts the frames of the first output.
    argv = _argv([*rung_outputs, *outputs], "-filter_complex_threads", str(task.threads))
    return Command(argv, outputs=files, frames=chunk.frames)


def encode_audio(source: Path, task: AudioTask, out_dir: Path) -> Command:
    """Return the command that encodes every kept audio stream, whole, to ``audio-<i>.m4a`` with its first sample at zero."""
    audio = ffmpeg.input(f"file:{source}", **input_arguments())
    files = {f"audio-{number}": out_dir / f"audio-{number}.m4a" for number in range(len(task.targets))}
    outputs = [
        _aac(audio[str(target.stream.index)], target, file) for target, file in zip(task.targets, files.values(), strict=True)
    ]
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
    return {"ss": _seconds(aim), "seek_timestamp": 1, "noaccurate_seek": None}


def _seconds(time: Fraction) -> str:
    microseconds = ceil(abs(time) * 1_000_000)
    return f"{'-' if time < 0 else ''}{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def _argv(outputs: list[Any], *options: str) -> tuple[str, ...]:
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    # Timestamps stay as they are in the source; a stream with many damaged frames is ours to judge, not ffmpeg's.
    return ("ffmpeg", "-copyts", "-max_error_rate", "1", *options, *ffmpeg.get_args(merged))


def _x264(video: Any, task: VideoTask, rung: Rung, path: Path) -> Any:
    timing, chunk = task.timing, task.chunk
    options: dict[str, Any] = {
        "c:v": "libx264",
        "preset": rung.preset,
        "profile:v": rung.h264_profile,
        "crf": f"{rung.crf:g}",
        "maxrate": rung.bit_rate,
        "bufsize": 2 * rung.bit_rate,
        # Keyframes where the plan wants them and nowhere else, each a closed IDR.
        "g": 1_000_000,
        "sc_threshold": 0,
        "forced-idr": 1,
        "flags:v": "+bitexact+cgop",
        "x264-params": _x264_params(task),
        "threads": task.threads,
        "fps_mode": "passthrough",
        "enc_time_base": f"{timing.time_base.numerator}:{timing.time_base.denominator}",
        "video_track_timescale": timing.timescale,
        "f": "mp4",
    }
    if chunk.force_times:
        options["force_key_frames"] = ",".join(_seconds(time) for time in chunk.force_times)
    return ffmpeg.output(video, f"file:{path}", **_CLEAN, **options)


def _x264_params(task: VideoTask) -> str:
    rate, frames = task.timing.frame_rate, task.chunk.frames
    # x264 gives the first frame of a stream no bonus over the P frames that it follows in its books (ip_factor, 1.4), and the
    # last ones little for what could refer to them. In a chunk both stand in the middle of a film.
    zones = [f"0,0,b={FIRST_FRAME_BONUS}"]
    if frames > 1:
        zones.append(f"{max(1, frames - LAST_FRAMES)},{frames - 1},b={LAST_FRAMES_BONUS}")
    # The rate in the SPS must be the plan's, the same in every chunk; chroma is sited left whatever the source says.
    return f"fps={rate.numerator}/{rate.denominator}:chromaloc=0:zones={'/'.join(zones)}"


def _jpegs(pictures: Any, pattern: Path) -> Any:
    return ffmpeg.output(
        pictures,
        f"file:{pattern}",
        **_CLEAN,
        **{"c:v": "mjpeg", "q:v": 3, "flags:v": "+bitexact", "fps_mode": "passthrough", "enc_time_base": "1:1", "f": "image2"},
    )


def _aac(audio: Any, target: AudioTarget, path: Path) -> Any:
    sound = (
        audio.filter("asetpts", "PTS-STARTPTS")
        .filter(
            "aresample",
            target.sample_rate,
            **{"async": 1, "min_hard_comp": AUDIO_TOLERANCE_SECONDS, "first_pts": 0},
            # A mix of several channels into one stays below full scale.
            rematrix_maxval=1,
        )
        .filter("aformat", sample_fmts="fltp", sample_rates=target.sample_rate, channel_layouts=target.layout)
    )
    return ffmpeg.output(
        sound, f"file:{path}", **_CLEAN, **{"c:a": "aac", "b:a": target.bit_rate, "flags:a": "+bitexact", "f": "ipod"}
    )
