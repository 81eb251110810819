"""What a job's first unit does: look the source up, make the units that it has decided on, and write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from include.errors import InvalidInputData, LimitExceeded, NotFound, ParameterError
from include.ffmpeg_ops.models import AudioTask, Chunk, Plan, VideoTask
from include.media_store.models import ObjectRef, object_uri
from include.worker.models import AudioUnitTask, Output, TranscodeRequest, UnitSummary, VideoUnitTask, WorkUnit
from include.worker.task_request import TaskReference
from include.worker.work import in_parallel
from include.worker.workbench import Workbench, processors

__all__ = ["PLANNING_SETTINGS", "check_dropped", "clock", "encode_units", "look_up", "write_units"]

# What these say is in the plan or its units, so another value is another plan.
PLANNING_SETTINGS = {
    "chunk_seconds",
    "damage_policy",
    "hls_segment_type",
    "max_units",
    "quality",
    "unit_slots",
    "x264_preset",
}


def look_up(workbench: Workbench, bucket: str, key: str, *, destination_key: str) -> ObjectRef:
    """Return the source's current version; raises what is wrong with its name or its size."""
    settings = workbench.settings
    uri = object_uri(bucket, key)
    if not settings.allows_bucket(bucket):
        raise NotFound(f"Bucket {bucket!r} is not one that MEDIA_BUCKET or MEDIA_BUCKETS allows.")
    if key == destination_key:
        raise ParameterError(f"The output {uri} would replace its own source; choose another folder or name.")
    source = workbench.store.head(bucket, key)
    if source is None:
        raise NotFound(f"The source {uri} does not exist.")
    if source.size > settings.max_source_bytes:
        raise LimitExceeded(
            f"The source {uri} has {source.size} bytes; MEDIA_MAX_SOURCE_BYTES allows {settings.max_source_bytes}."
        )
    if source.size == 0:
        raise InvalidInputData(f"The source {uri} is empty.")
    return source


def check_dropped(workbench: Workbench, source: ObjectRef) -> None:
    """Raise :class:`NotFound` where the job was started for another version of a dropped object than the one that is there."""
    try:
        note = json.loads(workbench.store.get_bytes(workbench.job.bucket, workbench.job.ingest_key))
    except (NotFound, ValueError):
        return
    is_for_it = isinstance(note, dict) and (note.get("bucket"), note.get("key")) == (source.bucket, source.key)
    if is_for_it and note.get("etag") != source.etag:
        raise NotFound(f"The source {source.uri} was replaced meanwhile; its new version has a run of its own.")


def write_units(
    workbench: Workbench, units: Sequence[WorkUnit], last: WorkUnit
) -> tuple[tuple[Output, ...], tuple[UnitSummary, ...]]:
    """Write the documents of ``units``, which are fanned out, and of the ``last`` one; return them, and the summaries."""
    job = workbench.job
    documents = [*units, last]
    refs = in_parallel(job.write_unit, documents, workbench.check)
    outputs = tuple(Output(name=f"unit-{unit.id}", ref=ref) for unit, ref in zip(documents, refs, strict=True))
    return outputs, tuple(
        UnitSummary(id=unit.id, key=job.unit_key(unit.id), label=unit.label, weight=unit.weight) for unit in units
    )


def encode_units(
    workbench: Workbench, request: TranscodeRequest | TaskReference, source: ObjectRef, plan: Plan, damage_policy: Any
) -> list[WorkUnit]:
    """Return the units of a plan: audio first, which fails soonest, then the chunks."""
    common: dict[str, Any] = {"job_id": request.job_id, "bucket": request.bucket, "source": source}
    units = []
    if plan.audio:
        units.append(
            WorkUnit(
                id="audio",
                task=AudioUnitTask(audio=AudioTask(targets=plan.audio, damage_policy=damage_policy)),
                label=f"audio {len(plan.audio)} track{'s' * (len(plan.audio) > 1)}",
                # Next to nothing beside video; in the video's own currency, megapixels.
                weight=max(1e-3, 0.05 * float(plan.info.duration) * len(plan.audio)),
                **common,
            )
        )
    settings = workbench.settings
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
        )
        # Frames are compared one by one with the source's, which a copy's are and those of another rate have none of.
        measure = settings.quality and not (task.copied or task.resampled)
        units.append(
            WorkUnit(
                id=f"video-{chunk.index:05d}",
                task=VideoUnitTask(video=task.model_copy(update={"measure_quality": measure})),
                label=_label(chunk, len(plan.chunks), start),
                weight=max(1e-3, chunk.frames * megapixels / float(plan.timing.frame_rate)),
                **common,
            )
        )
        start += chunk.duration
    return units


def _label(chunk: Chunk, chunks: int, start: Fraction) -> str:
    return f"chunk {chunk.index + 1}/{chunks}  {clock(start)}–{clock(start + chunk.duration)}"


def clock(seconds: Fraction) -> str:
    """Return a time as people read it, ``hh:mm:ss``."""
    whole = round(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
