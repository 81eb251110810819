"""What passes between the units of a job: the files that one uploads, the results that the last one reads, their source."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from include.errors import InternalError, InvalidInputData, NotFound
from include.media_store.models import ObjectRef
from include.worker.models import Output, UnitResult, WorkUnit
from include.worker.work import in_parallel
from include.worker.workbench import Workbench

__all__ = ["check_source", "common_source", "done_results", "fetch_outputs", "upload_parts"]

logger = logging.getLogger(__name__)


def upload_parts(workbench: Workbench, unit_id: str, files: Mapping[str, Path]) -> tuple[Output, ...]:
    """Upload the files that a unit has made for others, by their names among its outputs."""
    # A folder of its own for each attempt: attempts on two machines never mix, and the last marker is always right.
    prefix = f"{workbench.job.chunks_prefix}{unit_id}/{uuid.uuid4().hex[:8]}/"

    def upload(item: tuple[str, Path]) -> Output:
        name, path = item
        ref: ObjectRef = workbench.store.upload(path, workbench.job.bucket, f"{prefix}{path.name}")
        workbench.cache.add(path, ref)
        workbench.progress.advance(ref.size)
        return Output(name=name, ref=ref)

    with workbench.phase("upload", sum(path.stat().st_size for path in files.values()), "bytes"):
        return tuple(in_parallel(upload, files.items(), workbench.check))


def common_source(units: Sequence[WorkUnit]) -> ObjectRef:
    """Return the source that all units were planned for; raises :class:`InternalError` where there are several."""
    sources = {unit.source for unit in units}
    source = sources.pop() if len(sources) == 1 else None
    if source is None:
        raise InternalError("The units were planned for different sources; run the job's plan again.")
    return source


def done_results(workbench: Workbench, units: Sequence[WorkUnit]) -> list[UnitResult]:
    """Return the result of every unit; raises :class:`InternalError` where one is not done, or was done for another plan."""
    results = in_parallel(workbench.job.read_result, [unit.id for unit in units], workbench.check)
    done = []
    for unit, result in zip(units, results, strict=True):
        if result is None or result.status != "done":
            raise InternalError(f"Unit {unit.id} is not done; run it before the job is finished.")
        if result.fingerprint != unit.fingerprint:
            raise InternalError(f"Unit {unit.id} was done for another source or plan; run it again.")
        done.append(result)
    return done


def fetch_outputs(workbench: Workbench, results: Sequence[UnitResult]) -> dict[tuple[str, str], Path]:
    """Return the units' files by unit id and name, in timeline order, thumbnails by number."""
    wanted = [
        (result.unit_id, output)
        for result in results
        for output in sorted(result.outputs, key=lambda output: _natural(output.name))
    ]

    def fetch(item: tuple[str, Output]) -> Path:
        unit_id, output = item
        suffix = Path(output.ref.key).suffix
        try:
            return workbench.fetch(output.ref, f"parts/{unit_id}/{output.name}{suffix}")
        except (NotFound, InvalidInputData) as error:
            raise InternalError(f"File {output.name} of unit {unit_id} is gone or was replaced; run that unit again.") from error

    with workbench.phase("fetch", sum(output.ref.size for _, output in wanted), "bytes"):
        paths = in_parallel(fetch, wanted, workbench.check)
    return {(unit_id, output.name): path for (unit_id, output), path in zip(wanted, paths, strict=True)}


def check_source(workbench: Workbench, source: ObjectRef) -> None:
    """Raise :class:`InvalidInputData` where the source was replaced since the job was planned."""
    now = workbench.store.head(source.bucket, source.key)
    if now is None:
        # Everything was made from the version that the plan names; an uploader may remove it by now.
        logger.info("the source %s was removed meanwhile", source.uri)
    elif now.etag != source.etag:
        raise InvalidInputData(f"The source {source.uri} was replaced while it was worked on; start again.")


def _natural(name: str) -> list[tuple[int, str]]:
    # thumbnail-2 comes before thumbnail-10.
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
