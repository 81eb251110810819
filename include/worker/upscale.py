"""The upscale unit: one segment through the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.worker.keep_log import keep_log
from include.worker.models import UnitResult, UpscaleUnitTask, WorkUnit
from include.worker.parts import upload_parts
from include.worker.work import Made
from include.worker.workbench import Workbench

__all__ = ["UpscaleWork"]


class UpscaleWork:
    """Upscales one segment; frames and their times are checked by the engine before the file is there."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, UpscaleUnitTask)  # noqa: S101 - chosen by this very type
        self._workbench = workbench
        self._unit = unit
        self._task = unit.task
        self.fingerprint = unit.fingerprint

    def finished(self) -> UnitResult | None:
        """Return the marker where the file is there, or is no longer needed because the job is published."""
        return self._workbench.job.done_before(self._unit)

    def run(self) -> Made:
        """Fetch, upscale, upload; metrics tell frames, fps, how many frames were reused, and what computed."""
        workbench, task = self._workbench, self._task
        with workbench.phase("fetch", task.file.size, "bytes"):
            source = workbench.fetch(task.file, f"source{Path(task.file.key).suffix.lower()}")
        out = workbench.scratch / f"segment-{task.segment.index:05d}.mp4"
        log = workbench.scratch / f"{self._unit.id}.log"

        # Twice as many run as there are slots: while some compute, the next ones start and fetch.
        with workbench.slot("segment-slots", workbench.settings.sr_slots):
            arguments = workbench.run_arguments()
            with keep_log(log), workbench.phase("upscale", task.upscale.frames, "frames"):
                made = workbench.media.upscale(source, task.upscale, out, on_progress=workbench.progress.update, **arguments)
        files = {"video": out} | ({"log": log} if task.debug else {})
        metrics: dict[str, Any] = {
            "frames": made.frames,
            "reused_frames": made.reused,
            "fps": round(made.fps, 2),
            "backend": f"{made.backend} {made.precision}",
            "stages": made.seconds.model_dump(),
        }
        return Made(upload_parts(workbench, self._unit.id, files), metrics=metrics)

    def clean_up(self) -> None:
        """Nothing is left over: the merge unit removes the files."""
