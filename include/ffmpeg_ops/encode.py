"""Encodes a chunk or the audio and proves at once that every frame and every sample is there."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from include.errors import InputError, InternalError, InvalidInputData, OutputNotSupported
from include.ffmpeg_ops import commands, log, rates, runner, seeking, tonemap
from include.ffmpeg_ops.encoders import STATISTICS
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
    """Encode (or copy) one chunk in all its rungs into ``out_dir``; return role → file (rung names, ``thumbnail-00001``, …).

    What comes of a seek is not trusted: where a frame is missing, or the decoder complains of what the seek does not explain, the
    chunk is decoded once more from the start of the file, and ``on_restart`` is told why. Raises :class:`InvalidInputData` for a
    source that is damaged in or before this chunk (under the policy ``salvage`` only where no frame of the chunk can be
    decoded), and :class:`OutputNotSupported` for a bitrate that is too low for the size, and for a stream that cannot be copied.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    encoder = _Encoder(source, out_dir, deadline, on_progress, cancelled, settings)
    if task.copied:
        return encoder.copy(task)
    lut = commands.lut_path(task, out_dir)
    if lut is not None and task.stream.color.hdr is not None:
        tonemap.write_cube(task.stream.color.hdr, lut)
    faults: list[str] = []
    try:
        for attempt in _attempts(task):
            if faults and on_restart is not None:
                on_restart(faults)
            faults = encoder.encode(attempt)
            if not faults:
                encoder.keep_rate(attempt)
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


@dataclass(frozen=True)
class _Encoder:
    """Runs the commands of one chunk and looks at what they have made."""

    source: Path
    out_dir: Path
    deadline: float | None
    on_progress: Callable[[Progress], None] | None
    cancelled: threading.Event | None
    settings: Settings | None

    def encode(self, task: VideoTask) -> list[str]:
        """Encode and return what is wrong with the outputs or, as its decoder says, with the source."""
        command = commands.encode_chunk(self.source, task, self.out_dir)
        for path in [*command.outputs.values(), *_thumbnails(self.out_dir)]:
            path.unlink(missing_ok=True)
        preparation = commands.first_pass(self.source, task, self.out_dir)
        try:
            if preparation is not None:
                self._run(preparation, lambda frames: frames // 2)
            before = task.chunk.frames if preparation else 0
            completed = self._run(command, lambda frames: (before + frames) // 2 if before else frames)
        except InvalidInputData as error:
            return [error.message]
        finally:
            for path in self.out_dir.glob(f"*{STATISTICS}*"):
                path.unlink()
        faults = list(completed.damage)
        for name, path in command.outputs.items():
            faults += _chunk_faults(name, task, _packets(path, self.settings))
        pictures = len(_thumbnails(self.out_dir))
        if pictures != len(task.chunk.thumbnails):
            faults.append(f"{pictures} thumbnails were made, expected {len(task.chunk.thumbnails)}")
        return [] if self._come_of_the_seek(task, faults) else faults

    def _come_of_the_seek(self, task: VideoTask, faults: Sequence[str]) -> bool:
        if task.chunk.seek_pts is None or not faults or not all(map(log.may_come_of_a_seek, faults)):
            return False
        return seeking.explains(self.source, task, timeout=self._left(), cancelled=self.cancelled, settings=self.settings)

    def keep_rate(self, task: VideoTask) -> None:
        """Encode again in two passes where one has missed its bitrate.

        Raises :class:`OutputNotSupported` where even the poorest picture takes more.
        """
        missed = self._missed(task)
        twice = rates.in_two_passes(task)
        if missed and twice is not None:
            logger.info("chunk %d misses its bitrate, %s: encoding it again in two passes", task.chunk.index, "; ".join(missed))
            faults = self.encode(twice)
            if faults:
                raise InternalError(f"Chunk {task.chunk.index} could not be encoded a second time: {'; '.join(faults[:3])}.")
            missed = self._missed(task)
        over = [rung for rung, share in missed.items() if share > 0]
        if over:
            raise OutputNotSupported(
                f"The output {over[0]} takes {float(missed[over[0]]):.0%} more than its bitrate at this size; "
                "ask for more bits or fewer pixels."
            )

    def copy(self, task: VideoTask) -> dict[str, Path]:
        """Copy the stream; raises :class:`OutputNotSupported` where its frames would not be shown at their times."""
        command = commands.copy_video(self.source, task, self.out_dir)
        self._run(command, lambda frames: frames)
        ((name, path),) = command.outputs.items()
        if faults := _chunk_faults(name, task, _packets(path, self.settings)):
            raise OutputNotSupported(
                f"The source's video cannot be copied as it is ({faults[0]}); use a profile that encodes it again."
            )
        return dict(command.outputs)

    def _missed(self, task: VideoTask) -> dict[str, Fraction]:
        found = {}
        for rung in task.rungs:
            if rates.promised(rung) is None:
                continue
            size = sum(packet.size for packet in _packets(self.out_dir / f"{rung.name}.mp4", self.settings))
            found[rung.name] = rates.deviation(rung, size, task.chunk.duration)
        return {name: share for name, share in found.items() if abs(share) > rates.TOLERANCE}

    def _run(self, command: Command, count: Callable[[int], int]) -> Completed:
        def on_progress(progress: Progress) -> None:
            if self.on_progress is not None:
                self.on_progress(replace(progress, frames=count(progress.frames)))

        return runner.run(
            command, on_progress=on_progress, timeout=self._left(), cancelled=self.cancelled, settings=self.settings
        )

    def _left(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.001)


class _Packet(NamedTuple):
    pts: int
    size: int
    key: bool


def _chunk_faults(name: str, task: VideoTask, packets: Sequence[_Packet]) -> list[str]:
    chunk = task.chunk
    if len(packets) != chunk.frames:
        return [f"rung {name} has {len(packets)} frames, expected {chunk.frames}"]
    step = task.timing.time_base.numerator
    expected = [n * step for n in range(chunk.frames)] if chunk.pts is None else [pts * step for pts in chunk.pts]
    for number, (packet, wanted) in enumerate(zip(packets, expected, strict=True)):
        if packet.pts != wanted:
            return [f"frame {number} of rung {name} has PTS {packet.pts}, expected {wanted} (in 1/{task.timing.timescale} s)"]
    keyframes = tuple(number for number, packet in enumerate(packets) if packet.key)
    if keyframes != chunk.keyframes:
        return [f"rung {name} has keyframes at {_shown(keyframes)}, expected {_shown(chunk.keyframes)}"]
    return []


def _shown(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")


def _packets(path: Path, settings: Settings | None) -> list[_Packet]:
    """Return every video packet of one of our files, in presentation order."""
    argv = ("ffprobe", "-select_streams", "v:0", "-show_entries", "packet=pts,size,flags", "-of", "csv=p=0")
    try:
        text = runner.run(Command((*argv, *runner.input_options(), f"file:{path}")), settings=settings).stdout
    except InputError:
        # An MP4 without a frame is not even valid.
        return []
    found = []
    for line in text.split():
        pts, size, flags = line.split(",")[:3]
        found.append(_Packet(int(pts), int(size), "K" in flags))
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
