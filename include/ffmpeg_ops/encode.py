"""Encodes a chunk or the audio and proves at once that every frame and every sample is there."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from include.errors import InputError, InvalidInputData
from include.ffmpeg_ops import commands, log, runner, tonemap
from include.ffmpeg_ops.models import AudioTarget, AudioTask, VideoTask
from include.ffmpeg_ops.runner import Command, Completed, Progress
from include.settings import Settings

__all__ = ["run_audio", "run_chunk"]

logger = logging.getLogger(__name__)

AAC_FRAME = 1024


def run_chunk(
    source: Path,
    task: VideoTask,
    out_dir: Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_restart: Callable[[Sequence[str]], None] | None = None,
    cancelled: threading.Event | None = None,
    timeout: float | None = None,
    settings: Settings | None = None,
) -> dict[str, Path]:
    """Encode one chunk in all its rungs into ``out_dir``; return role → file (rung names, ``thumbnail-00001``, …).

    What comes of a seek is not trusted: where a frame is missing, or the decoder complains, the chunk is decoded once more from
    the start of the file, and ``on_restart`` is told why. Raises :class:`InvalidInputData` for a source that is damaged in or
    before this chunk; under the policy ``salvage`` only where no frame of the chunk can be decoded.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    run_kwargs: dict[str, Any] = {"on_progress": on_progress, "cancelled": cancelled, "settings": settings}
    lut = commands.lut_path(task, out_dir)
    if lut is not None and task.stream.color.hdr is not None:
        tonemap.write_cube(task.stream.color.hdr, lut)
    faults: list[str] = []
    try:
        for attempt in _attempts(task):
            if faults and on_restart is not None:
                on_restart(faults)
            left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
            command = commands.encode_chunk(source, attempt, out_dir)
            faults = _encode(command, attempt, out_dir, timeout=left, **run_kwargs)
            if not faults:
                break
            logger.warning("chunk %d, decoded from %s: %s", task.chunk.index, attempt.chunk.seek_pts, "; ".join(faults[:5]))
    finally:
        if lut is not None:
            lut.unlink(missing_ok=True)
    files = {rung.name: out_dir / f"{rung.name}.mp4" for rung in task.rungs}
    if faults and task.damage_policy == "strict":
        raise InvalidInputData(f"The source is damaged in or before chunk {task.chunk.index}: {'; '.join(faults[:3])}.")
    if faults and not all(path.is_file() and _packets(path, settings) for path in files.values()):
        raise InvalidInputData(f"Nothing of chunk {task.chunk.index} can be decoded: {'; '.join(faults[:3])}.")
    return files | {path.stem: path for path in _thumbnails(out_dir)}


def _attempts(task: VideoTask) -> list[VideoTask]:
    if task.chunk.seek_pts is None:
        return [task]
    return [task, task.model_copy(update={"chunk": task.chunk.model_copy(update={"seek_pts": None})})]


def _encode(command: Command, task: VideoTask, out_dir: Path, *, settings: Settings | None, **run_kwargs: Any) -> list[str]:
    """Run the command and return what is wrong with its outputs or, as its decoder says, with the source."""
    for path in [*command.outputs.values(), *_thumbnails(out_dir)]:
        path.unlink(missing_ok=True)
    try:
        completed = runner.run(command, settings=settings, **run_kwargs)
    except InvalidInputData as error:
        return [error.message]
    faults = list(log.damage(completed.log, after_seek=task.chunk.seek_pts is not None))
    for name, path in command.outputs.items():
        faults += _chunk_faults(name, task, _packets(path, settings))
    pictures = len(_thumbnails(out_dir))
    if pictures != len(task.chunk.thumbnails):
        faults.append(f"{pictures} thumbnails were made, expected {len(task.chunk.thumbnails)}")
    return faults


def _chunk_faults(name: str, task: VideoTask, packets: Sequence[tuple[int, bool]]) -> list[str]:
    chunk = task.chunk
    if len(packets) != chunk.frames:
        return [f"rung {name} has {len(packets)} frames, expected {chunk.frames}"]
    step = task.timing.time_base.numerator
    expected = [n * step for n in range(chunk.frames)] if chunk.pts is None else [pts * step for pts in chunk.pts]
    for number, ((pts, _), wanted) in enumerate(zip(packets, expected, strict=True)):
        if pts != wanted:
            return [f"frame {number} of rung {name} has PTS {pts}, expected {wanted} (in 1/{task.timing.timescale} s)"]
    keyframes = tuple(number for number, (_, key) in enumerate(packets) if key)
    if keyframes != chunk.keyframes:
        return [f"rung {name} has keyframes at {_shown(keyframes)}, expected {_shown(chunk.keyframes)}"]
    return []


def _shown(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")


def _packets(path: Path, settings: Settings | None) -> list[tuple[int, bool]]:
    """Return PTS and keyframe flag of every video packet of one of our files, in presentation order."""
    argv = ("ffprobe", "-select_streams", "v:0", "-show_entries", "packet=pts,flags", "-of", "csv=p=0")
    try:
        text = runner.run(Command((*argv, *runner.input_options(), f"file:{path}")), settings=settings).stdout
    except InputError:
        # An MP4 without a frame is not even valid.
        return []
    found = []
    for line in text.split():
        pts, flags = line.split(",")[:2]
        found.append((int(pts), "K" in flags))
    return sorted(found)


def _thumbnails(out_dir: Path) -> list[Path]:
    return sorted(out_dir.glob(commands.THUMBNAIL.replace("%05d", "*")))


def run_audio(
    source: Path,
    task: AudioTask,
    out_dir: Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    cancelled: threading.Event | None = None,
    timeout: float | None = None,
    settings: Settings | None = None,
) -> dict[str, Path]:
    """Encode every kept audio stream, whole, into ``out_dir``; return ``audio-<i>`` → file.

    Raises :class:`InvalidInputData` for damaged sound or sound shorter than the source promises (policy ``strict``), and for a
    stream of which nothing can be decoded, and :class:`InputNotSupported` for a channel layout that cannot be converted.
    """
    command = commands.encode_audio(source, task, out_dir)
    completed: Completed = runner.run(command, on_progress=on_progress, cancelled=cancelled, timeout=timeout, settings=settings)
    faults = list(completed.damage)
    for (name, path), target in zip(command.outputs.items(), task.targets, strict=True):
        length = _audio_length(path, settings)
        if length <= 0:
            raise InvalidInputData(f"Nothing of audio stream {target.stream.index} can be decoded.")
        faults += _audio_faults(name, target, length)
    if faults:
        logger.warning("audio: %s", "; ".join(faults[:5]))
        if task.damage_policy == "strict":
            raise InvalidInputData(f"The source's audio is damaged: {'; '.join(faults[:3])}.")
    return dict(command.outputs)


def _audio_faults(name: str, target: AudioTarget, length: Fraction) -> list[str]:
    # One frame of the encoder and one of the source's codec, whose last frame a container may count whole or trimmed.
    tolerance = Fraction(AAC_FRAME, target.sample_rate) + Fraction(AAC_FRAME, target.stream.sample_rate)
    tolerance += Fraction(commands.AUDIO_TOLERANCE_SECONDS)
    if abs(length - target.stream.duration) <= tolerance:
        return []
    return [f"{name} is {float(length):.3f} s long, expected {float(target.stream.duration):.3f} s"]


def _audio_length(path: Path, settings: Settings | None) -> Fraction:
    """Return the presented length of one of our audio files in seconds; 0 where there is none."""
    argv = ("ffprobe", "-select_streams", "a:0", "-show_entries", "stream=duration_ts,sample_rate", "-of", "json")
    try:
        text = runner.run(Command((*argv, *runner.input_options(), f"file:{path}")), settings=settings).stdout
    except InputError:
        return Fraction(0)
    streams = json.loads(text)["streams"]
    return Fraction(int(streams[0].get("duration_ts", 0)), int(streams[0]["sample_rate"])) if streams else Fraction(0)
