"""The plan unit: look at the source, decide what is made of it, write the units."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import Any

from include.errors import ParameterError
from include.ffmpeg_ops.models import AudioTask, Chunk, Plan, VideoTask
from include.worker.job import finish_unit
from include.worker.models import (
    AudioUnitTask,
    Output,
    PlanTask,
    UnitResult,
    VideoUnitTask,
    WorkUnit,
)
from include.worker.planning import clock, look_up, write_units
from include.worker.work import Made
from include.worker.workbench import Workbench, processors

__all__ = ["PlanWork"]

_PROFILES = {"hls": "hls_ladder", "mp4": "mp4_single"}
# What these say is in the plan or its units, so another value is another plan.
_PLANNING_SETTINGS = {
    "chunk_seconds",
    "damage_policy",
    "hls_segment_type",
    "max_units",
    "quality",
    "unit_slots",
    "x264_preset",
}


class PlanWork:
    """Probes the source and writes ``request.json``, ``plan.json`` and the unit documents."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, PlanTask)  # noqa: S101 - chosen by this very type
        self._workbench = workbench
        self._request = unit.task.request
        request = self._request
        if request.folder.startswith(workbench.settings.work_prefix):
            raise ParameterError(
                f"folder must not lie under {workbench.settings.work_prefix}, where Reelflow keeps its work files."
            )
        self._source = look_up(workbench, request.bucket, request.source_key, destination_key=request.destination_key)
        name = self._request.profile or _PROFILES[self._request.container]
        self._profile = workbench.media.load_profile(name)
        if self._profile.container != self._request.container:
            raise ParameterError(f"The profile {name} makes {self._profile.container}, not {self._request.container}.")
        self._unit = unit.model_copy(update={"source": self._source})
        decided_by = [
            self._unit.fingerprint,
            self._profile.model_dump(mode="json"),
            workbench.settings.model_dump(mode="json", include=_PLANNING_SETTINGS),
        ]
        self.fingerprint = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()

    def finished(self) -> UnitResult | None:
        """Return the plan's result where source, request, profile and settings are what they were."""
        return self._workbench.job.finished(self._unit, self.fingerprint)

    def run(self) -> Made:
        """Probe, decide, write; what it makes are the documents."""
        plan, units = self._decide()
        job = self._workbench.job
        with self._workbench.phase("write", len(units), "units"):
            finish = finish_unit(self._request, self._source, tuple(unit.id for unit in units))
            documents, summaries = write_units(self._workbench, units, finish)
            outputs = (
                Output(name="request", ref=job.write_request(self._request)),
                Output(name="plan", ref=job.write_plan(plan)),
                *documents,
            )
        metrics = {"frames": plan.info.video.frames, "seconds": float(plan.info.duration), "chunks": len(plan.chunks)}
        return Made(outputs, summaries, metrics)

    def clean_up(self) -> None:
        """Nothing is left over."""

    def _decide(self) -> tuple[Plan, list[WorkUnit]]:
        workbench, request, profile, settings = self._workbench, self._request, self._profile, self._workbench.settings
        damage_policy = request.damage_policy or settings.damage_policy
        with workbench.phase("fetch", self._source.size, "bytes"):
            path = workbench.fetch(self._source, "source")
        with workbench.phase("probe"):
            info, index = workbench.media.probe(path, settings=settings, damage_policy=damage_policy)
        with workbench.phase("plan"):
            rungs = workbench.media.rungs_for(
                profile,
                info,
                source_bit_rate=request.source_bit_rate,
                source_height=request.source_height,
                preset=settings.x264_preset,
            )
            thumbnail_seconds = profile.thumbnail_seconds if request.container == "hls" else None
            timing, chunks = workbench.media.cut(
                index,
                info,
                chunk_seconds=settings.chunk_seconds,
                max_chunks=settings.max_units,
                slots=settings.unit_slots,
                gop_seconds=profile.gop_seconds,
                segment_seconds=profile.segment_seconds,
                thumbnail_seconds=thumbnail_seconds,
            )
            plan = Plan(
                info=info,
                timing=timing,
                chunks=chunks,
                rungs=rungs,
                audio=workbench.media.audio_targets(profile, info),
                container=request.container,
                segment_type=settings.hls_segment_type,
                segment_seconds=profile.segment_seconds,
                thumbnail_seconds=thumbnail_seconds,
                profile=profile.name,
            )
        return plan, self._units(plan, damage_policy)

    def _units(self, plan: Plan, damage_policy: Any) -> list[WorkUnit]:
        common: dict[str, Any] = {"job_id": self._request.job_id, "bucket": self._request.bucket, "source": self._source}
        units = []
        if plan.audio:
            units.append(
                WorkUnit(
                    id="audio",
                    task=AudioUnitTask(audio=AudioTask(targets=plan.audio, damage_policy=damage_policy)),
                    label=f"audio {len(plan.audio)} track{'s' * (len(plan.audio) > 1)}",
                    # Next to nothing beside H.264; in the video's own currency, megapixels.
                    weight=max(1e-3, 0.05 * float(plan.info.duration) * len(plan.audio)),
                    **common,
                )
            )
        settings = self._workbench.settings
        threads = max(1, processors() // min(len(plan.chunks), settings.unit_slots))
        megapixels = sum(rung.width * rung.height for rung in plan.rungs) / 1e6
        start = Fraction(0)
        for chunk in plan.chunks:
            task = VideoTask(
                stream=plan.info.video,
                timing=plan.timing,
                chunk=chunk,
                rungs=plan.rungs,
                threads=threads,
                damage_policy=damage_policy,
                measure_quality=settings.quality,
            )
            units.append(
                WorkUnit(
                    id=f"video-{chunk.index:05d}",
                    task=VideoUnitTask(video=task),
                    label=_label(chunk, len(plan.chunks), start),
                    weight=max(1e-3, chunk.frames * megapixels / float(plan.timing.frame_rate)),
                    **common,
                )
            )
            start += chunk.duration
        return units


def _label(chunk: Chunk, chunks: int, start: Fraction) -> str:
    return f"chunk {chunk.index + 1}/{chunks}  {clock(start)}–{clock(start + chunk.duration)}"
