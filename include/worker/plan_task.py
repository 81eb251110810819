"""The plan unit of a transcoding task from file to files: get the source, decide what comes of it, write the units."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from include.errors import InvalidInputData, ParameterError
from include.ffmpeg_ops.models import FrameIndex, MediaInfo, Plan
from include.media_store.models import ObjectRef
from include.net.urls import MediaUrl, parse_source, parse_target
from include.worker.job import finish_unit
from include.worker.models import Output, PlanTask, UnitResult, WorkUnit
from include.worker.planning import PLANNING_SETTINGS, encode_units, look_up, write_units
from include.worker.task_request import TaskReference
from include.worker.work import Made, last_fingerprint
from include.worker.workbench import Workbench

__all__ = ["TaskPlanWork"]

_SEGMENT_SECONDS = 6


class TaskPlanWork:
    """Reads the task, brings its source to where every unit finds it, and writes ``plan.json`` and the unit documents."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, PlanTask)  # noqa: S101 - chosen by this very type
        assert isinstance(unit.task.request, TaskReference)  # noqa: S101 - and by this one
        self._workbench = workbench
        self._reference = unit.task.request
        self._task = workbench.job.read_task()
        self._url = parse_source(self._task.source_url)
        self._targets = [parse_target(target) for target in self._task.targets]
        self._check_targets(self._targets)
        self._source: ObjectRef | None = None
        self._unit = unit
        decided_by: list[Any] = [
            self._task.model_dump(mode="json", exclude={"created_at", "callback_url"}),
            workbench.settings.model_dump(mode="json", include=PLANNING_SETTINGS),
        ]
        if self._url.kind == "s3":
            self._source = look_up(workbench, self._url.bucket, self._url.key, destination_key="")
            self._unit = unit.model_copy(update={"source": self._source})
        else:
            from include.net.http import look_at  # noqa: PLC0415  httpx is slow to import

            decided_by.append(asdict(look_at(self._url, settings=workbench.settings, check=workbench.check)))
        decided_by.append(self._unit.fingerprint)
        self.fingerprint = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()

    def finished(self) -> UnitResult | None:
        """Return the plan's result where source, task and settings are what they were."""
        return self._workbench.job.finished(self._unit, self.fingerprint)

    def run(self) -> Made:
        """Fetch, probe, decide, write; what it makes are the documents and, of a source from the web, its copy."""
        workbench, job = self._workbench, self._workbench.job
        path = workbench.scratch / "source"
        if self._source is None:
            source = self._download(self._url)
        else:
            source = self._source
            with workbench.phase("fetch", source.size, "bytes"):
                path = workbench.fetch(source, "source")
        policy = workbench.settings.damage_policy
        with workbench.phase("probe"):
            info, index = workbench.media.probe(path, settings=workbench.settings, damage_policy=policy)
        with workbench.phase("plan"):
            plan = self._decide(info, index)
            units = encode_units(workbench, self._reference, source, plan, policy)
        copies = () if self._source else (Output(name="source", ref=source),)
        with workbench.phase("write", len(units), "units"):
            finish = finish_unit(self._reference, source, tuple(unit.id for unit in units))
            documents, summaries = write_units(workbench, units, finish)
            outputs = (*copies, Output(name="plan", ref=job.write_plan(plan)), *documents)
        metrics = {
            "frames": sum(chunk.frames for chunk in plan.chunks),
            "seconds": float(plan.info.duration),
            "chunks": len(plan.chunks),
            "last": last_fingerprint(finish, plan, units, [target.text for target in self._targets]),
        }
        return Made(outputs, summaries, metrics)

    def clean_up(self) -> None:
        """Nothing is left over: the finish unit removes the copy of the source."""

    def _check_targets(self, targets: list[MediaUrl]) -> None:
        settings = self._workbench.settings
        for target in targets:
            if target.kind != "s3" or self._url.kind == "live":
                raise ParameterError("A live source or target makes a live task, which this is not; create it again.")
            if not settings.allows_bucket(target.bucket):
                raise ParameterError(f"target_url: the bucket {target.bucket!r} is not one that targets may name.")
            if target.key.startswith(settings.work_prefix):
                raise ParameterError(f"target_url: {settings.work_prefix} is where work files are kept; choose another folder.")
            if (target.bucket, target.key) == (self._url.bucket, self._url.key):
                raise ParameterError(f"target_url: {target.redacted} is the source itself; choose another name.")
        self._workbench.media.check_targets(self._task.profile, [f"{target.bucket}/{target.key}" for target in targets])

    def _download(self, url: MediaUrl) -> ObjectRef:
        from include.net.http import download  # noqa: PLC0415  httpx is slow to import

        workbench, path = self._workbench, self._workbench.scratch / "source"
        with workbench.phase("download"):
            download(url, path, settings=workbench.settings, check=workbench.check, on_bytes=workbench.progress.advance)
        if not path.stat().st_size:
            raise InvalidInputData(f"The source {url.redacted} is empty.")
        with workbench.phase("keep", path.stat().st_size, "bytes"):
            ref = workbench.store.upload(path, workbench.job.bucket, f"{workbench.job.chunks_prefix}source")
            workbench.cache.add(path, ref)
        return ref

    def _decide(self, info: MediaInfo, index: FrameIndex) -> Plan:
        workbench, profile, settings = self._workbench, self._task.profile, self._workbench.settings
        workbench.media.check_profile(profile, workbench.media.encoders(settings))
        first = profile.encodings[0]
        container = workbench.media.container_of(first, info.format)
        rungs = workbench.media.task_rungs(profile, info, container, preset=settings.x264_preset)
        audio, dropped = workbench.media.task_sounds(first, info, container)
        timing, chunks = workbench.media.task_timeline(
            profile,
            index,
            info,
            chunk_seconds=settings.chunk_seconds,
            max_chunks=settings.max_units,
            slots=settings.unit_slots,
        )
        hevc = any(rung.codec == "hevc" for rung in rungs)
        return Plan(
            info=info.model_copy(update={"dropped": (*info.dropped, *dropped)}),
            timing=timing,
            chunks=chunks,
            rungs=rungs,
            audio=audio,
            container="hls" if container == "m3u8" else container,
            # Players want H.265 in fragments of MP4 (Apple's authoring specification, 1.5).
            segment_type="fmp4" if hevc else settings.hls_segment_type,
            segment_seconds=_SEGMENT_SECONDS,
            thumbnail_seconds=None,
            profile=profile.profile_name,
        )
