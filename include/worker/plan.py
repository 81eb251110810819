"""The plan unit: look at the source, decide what is made of it, write the units."""

from __future__ import annotations

import hashlib
import json

from include.errors import ParameterError
from include.ffmpeg_ops.models import Plan
from include.worker.job import finish_unit
from include.worker.models import Output, PlanTask, TranscodeRequest, UnitResult, WorkUnit
from include.worker.planning import PLANNING_SETTINGS, check_dropped, encode_units, look_up, write_units
from include.worker.requests import INGEST_CLIENT
from include.worker.work import Made, last_fingerprint
from include.worker.workbench import Workbench

__all__ = ["PlanWork"]

_PROFILES = {"hls": "hls_ladder", "mp4": "mp4_single"}


class PlanWork:
    """Probes the source and writes ``request.json``, ``plan.json`` and the unit documents."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, PlanTask)  # noqa: S101 - chosen by this very type
        assert isinstance(unit.task.request, TranscodeRequest)  # noqa: S101 - tasks of contract 3 have a plan of their own
        self._workbench = workbench
        request = self._request = unit.task.request
        if request.folder.startswith(workbench.settings.work_prefix):
            raise ParameterError(
                f"folder must not lie under {workbench.settings.work_prefix}, where Reelflow keeps its work files."
            )
        self._source = look_up(workbench, request.bucket, request.source_key, destination_key=request.destination_key)
        if self._request.client == INGEST_CLIENT:
            check_dropped(workbench, self._source)
        name = self._request.profile or _PROFILES[self._request.container]
        self._profile = workbench.media.load_profile(name)
        if self._profile.container != self._request.container:
            raise ParameterError(f"The profile {name} makes {self._profile.container}, not {self._request.container}.")
        self._unit = unit.model_copy(update={"source": self._source})
        decided_by = [
            self._unit.fingerprint,
            self._profile.model_dump(mode="json"),
            workbench.settings.model_dump(mode="json", include=PLANNING_SETTINGS),
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
        metrics = {
            "frames": plan.info.video.frames,
            "seconds": float(plan.info.duration),
            "chunks": len(plan.chunks),
            "last": last_fingerprint(finish, plan, units),
        }
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
        return plan, encode_units(workbench, request, self._source, plan, damage_policy)
