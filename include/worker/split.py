"""The split unit: look at the source, split its video, write the upscale units."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from include.errors import LimitExceeded
from include.ffmpeg_ops.containers import container_of
from include.ffmpeg_ops.models import MediaInfo
from include.ffmpeg_ops.segments import Manifest, Segment
from include.media_store.models import ObjectRef
from include.settings import Settings
from include.sr_model.models import UpscaleTask
from include.worker.job import merge_unit
from include.worker.keep_log import keep_log
from include.worker.models import Output, SplitTask, SuperResolutionPlan, UnitResult, UpscaleUnitTask, WorkUnit
from include.worker.parts import upload_parts
from include.worker.planning import check_dropped, clock, look_up, write_units
from include.worker.requests import INGEST_CLIENT, split_key
from include.worker.work import Made, last_fingerprint
from include.worker.workbench import Workbench

__all__ = ["SIZE_EXCEEDED", "SplitWork", "check_size"]

# Contract 2's own words.
SIZE_EXCEEDED = "Video size exceeded the limit"
# What these say is in the plan or its units, so another value is another plan.
_PLANNING_SETTINGS = {"max_units", "sr_crf", "sr_max_output_pixels", "sr_preset"}


def check_size(width: int, height: int, scale: int, settings: Settings) -> None:
    """Raise :class:`LimitExceeded` where the upscaled picture would be larger than ``MEDIA_SR_MAX_OUTPUT_PIXELS``."""
    if width * height * scale**2 > settings.sr_max_output_pixels:
        raise LimitExceeded(SIZE_EXCEEDED)


class SplitWork:
    """Probes the source, splits it and writes ``plan.json`` and the unit documents."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, SplitTask)  # noqa: S101 - chosen by this very type
        self._workbench = workbench
        self._request = unit.task.request
        self._container = container_of(split_key(self._request.key)[2])
        self._source = look_up(workbench, self._request.bucket, self._request.key, destination_key=self._request.destination_key)
        if self._request.client == INGEST_CLIENT:
            check_dropped(workbench, self._source)
        self._unit = unit.model_copy(update={"source": self._source})
        self._model = self._request.chosen_model(workbench.settings.sr_model)
        settings = workbench.settings.model_dump(mode="json", include=_PLANNING_SETTINGS)
        decided_by = [self._unit.fingerprint, self._model, settings]
        self.fingerprint = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()

    def finished(self) -> UnitResult | None:
        """Return the marker where source, request and settings are what they were and the segments are there, or not needed."""
        job = self._workbench.job
        return job.finished(self._unit, self.fingerprint) or job.published(self._unit, self.fingerprint, by="merge")

    def run(self) -> Made:
        """Probe, check, split, upload, write."""
        workbench, request = self._workbench, self._request
        folder = workbench.scratch / "out"
        folder.mkdir()
        with keep_log(workbench.scratch / "split.log") as log:
            plan = self._split(folder)
        files = {path.name: path for path in sorted(folder.iterdir())}
        if request.task == "debug":
            files["log"] = log
        parts = upload_parts(workbench, self._unit.id, files) if files else ()
        refs = {part.name: part.ref for part in parts}
        units = [self._upscale_unit(plan, segment, refs.get(segment.file, self._source)) for segment in plan.manifest.segments]
        with workbench.phase("write", len(units), "units"):
            last = merge_unit(request, self._source, tuple(unit.id for unit in units))
            documents, summaries = write_units(workbench, units, last)
            outputs = (
                Output(name="request", ref=workbench.job.write_request(request)),
                Output(name="plan", ref=workbench.job.write_plan(plan)),
                *documents,
                *parts,
            )
        metrics = {
            "frames": plan.manifest.frames,
            "seconds": float(plan.info.duration),
            "segments": len(units),
            "container": plan.manifest.container,
            "last": last_fingerprint(last, plan, units),
        }
        return Made(outputs, summaries, metrics)

    def clean_up(self) -> None:
        """Nothing is left over: the merge unit removes the segments."""

    def _split(self, folder: Path) -> SuperResolutionPlan:
        workbench, request, settings, media = self._workbench, self._request, self._workbench.settings, self._workbench.media
        with workbench.phase("fetch", self._source.size, "bytes"):
            source = workbench.fetch(self._source, f"source{split_key(request.key)[2].lower()}")
        with workbench.phase("probe"):
            info, index = media.probe(source, settings=settings, damage_policy="strict", copies_audio=True)
            check_size(info.video.width, info.video.height, request.scale, settings)
            # Whatever cannot end well fails here, and not after hours of upscaling.
            self._container.codec(info.video.bit_depth)
            kept, dropped = media.keepable(source, info, self._container, workbench.scratch, **workbench.run_arguments())
        with workbench.phase("split"):
            manifest: Manifest = media.split(
                source,
                info,
                index,
                folder,
                segment_time=request.segment_time,
                most=settings.max_units,
                always=request.task == "debug",
                **workbench.run_arguments(),
            )
        return SuperResolutionPlan(info=info, manifest=manifest, kept=kept, dropped=dropped)

    def _upscale_unit(self, plan: SuperResolutionPlan, segment: Segment, file: ObjectRef) -> WorkUnit:
        request, time_base = self._request, plan.manifest.time_base
        start = (segment.start_pts - plan.manifest.segments[0].start_pts) * time_base
        end = start + (segment.end_pts - segment.start_pts) * time_base
        return WorkUnit(
            id=f"segment-{segment.index:05d}",
            job_id=request.job_id,
            bucket=request.bucket,
            source=self._source,
            task=UpscaleUnitTask(
                segment=segment,
                file=file,
                upscale=upscale_task(plan.info, plan.manifest, segment, self._choices(plan.info)),
                env=request.env,
                debug=request.task == "debug",
            ),
            label=f"segment {segment.index + 1}/{len(plan.manifest.segments)}  {clock(start)}–{clock(end)}",
            weight=segment.frames,
        )

    def _choices(self, info: MediaInfo) -> dict[str, Any]:
        settings = self._workbench.settings
        return {
            "scale": self._request.scale,
            "model": self._model,
            "crf": settings.sr_crf,
            "preset": settings.sr_preset,
            "codec": self._container.codec(info.video.bit_depth),
        }


def upscale_task(info: MediaInfo, manifest: Manifest, segment: Segment, choices: dict[str, Any]) -> UpscaleTask:
    """Return the task that upscales a segment's file; its output's times begin at zero and are exact in the source's ticks."""
    # A segment's file holds the video alone.
    stream = info.video if manifest.container == "source" else info.video.model_copy(update={"index": 0})
    timing = manifest.timing(segment)
    return UpscaleTask(stream=stream, frames=segment.frames, frame_rate=info.video.frame_rate, **timing, **choices)
