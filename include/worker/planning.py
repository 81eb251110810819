"""What a job's first unit does: look the source up, and write the units that it has decided on."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from include.errors import InvalidInputData, LimitExceeded, NotFound, ParameterError
from include.media_store.models import ObjectRef, object_uri
from include.worker.models import Output, UnitSummary, WorkUnit
from include.worker.work import in_parallel
from include.worker.workbench import Workbench

__all__ = ["clock", "look_up", "write_units"]


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


def clock(seconds: Fraction) -> str:
    """Return a time as people read it, ``hh:mm:ss``."""
    whole = round(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
