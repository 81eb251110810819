"""The video and audio units: encode, verify, measure, upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.errors import InternalError
from include.ffmpeg_ops.models import VideoTask
from include.worker.models import AudioUnitTask, UnitResult, VideoUnitTask, WorkUnit
from include.worker.parts import upload_parts
from include.worker.work import Made
from include.worker.workbench import Workbench

__all__ = ["AudioWork", "VideoWork"]


class _EncodeWork:
    """What a chunk and the audio have in common."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        self._workbench = workbench
        self._unit = unit
        self.fingerprint = unit.fingerprint

    def finished(self) -> UnitResult | None:
        """Return the marker where the files are there, or are no longer needed because the job is published."""
        return self._workbench.job.done_before(self._unit)

    def clean_up(self) -> None:
        """Nothing is left over: the finish unit removes the files."""

    def _source(self) -> tuple[Path, Path]:
        source = self._unit.source
        if source is None:
            raise InternalError(f"Unit {self._unit.id} names no source; run the job's plan again.")
        with self._workbench.phase("fetch", source.size, "bytes"):
            path = self._workbench.fetch(source, "source")
        folder = self._workbench.scratch / "out"
        folder.mkdir()
        return path, folder


class VideoWork(_EncodeWork):
    """Encodes one chunk in all its rungs."""

    def run(self) -> Made:
        """Encode, verify, measure quality, upload.

        Metrics hold frames (and those lost in salvage), fps, quality by rung, and as ``restarted`` what was wrong where the
        chunk had to be decoded from the start of the file.
        """
        assert isinstance(self._unit.task, VideoUnitTask)  # noqa: S101 - chosen by this very type
        task = self._unit.task.video
        workbench = self._workbench
        source, folder = self._source()
        restarted: list[str] = []

        def on_restart(faults: Sequence[str]) -> None:
            restarted.extend(faults[:3])

        # One task more runs than there are slots. It has started and fetched by the time that a slot is free.
        with workbench.slot("slots", workbench.settings.unit_slots), workbench.phase("encode", task.chunk.frames, "frames"):
            files: dict[str, Path] = workbench.media.run_chunk(
                source,
                task,
                folder,
                on_progress=lambda progress: workbench.progress.update(progress.frames, progress.fps),
                on_restart=on_restart,
                **workbench.run_arguments(),
            )
        with workbench.phase("verify"):
            workbench.media.verify_chunk(task, files, **workbench.run_arguments())
        frames = self._frames(task, files)
        metrics: dict[str, Any] = {"frames": frames, "frames_missing": task.chunk.frames - frames}
        metrics["fps"] = round(frames / max(workbench.phases["encode"]["wall_seconds"], 1e-3), 2)
        if restarted:
            metrics["restarted"] = restarted
            # Where seeking misled the encoder, it would mislead the measurement, too.
            task = task.model_copy(update={"chunk": task.chunk.model_copy(update={"seek_pts": None})})
        if task.measure_quality:
            with workbench.phase("quality"):
                metrics["quality"] = workbench.media.measure(source, task, files, **workbench.run_arguments())
        return Made(upload_parts(workbench, self._unit.id, files), metrics=metrics)

    def _frames(self, task: VideoTask, files: Mapping[str, Path]) -> int:
        # Under the strict policy a chunk with another count has failed already.
        if task.damage_policy == "strict":
            return task.chunk.frames
        first = task.rungs[0].name
        return int(
            self._workbench.media.count_frames(first, files[first], self._workbench.scratch, **self._workbench.run_arguments())
        )


class AudioWork(_EncodeWork):
    """Encodes all audio streams, whole."""

    def run(self) -> Made:
        """Encode and upload; metrics hold the seconds of the longest stream."""
        assert isinstance(self._unit.task, AudioUnitTask)  # noqa: S101 - chosen by this very type
        task = self._unit.task.audio
        workbench = self._workbench
        seconds = max(float(target.stream.duration) for target in task.targets)
        source, folder = self._source()
        with workbench.phase("encode", round(seconds, 1), "seconds"):
            files: dict[str, Path] = workbench.media.run_audio(
                source,
                task,
                folder,
                on_progress=lambda progress: workbench.progress.update(round(float(progress.out_time), 1)),
                **workbench.run_arguments(),
            )
        return Made(
            upload_parts(workbench, self._unit.id, files), metrics={"seconds": round(seconds, 3), "tracks": len(task.targets)}
        )
