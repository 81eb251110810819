"""What became of a job that has ended: its units' results, or the error of the one that failed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from include.errors import InternalError, MediaError
from include.media_store.models import parse_uri
from include.orchestration.backends.base import Document
from include.orchestration.batch.failure import failure_of
from include.orchestration.batch.jobs import RECLAIMED, BatchJob
from include.orchestration.batch.service import BatchService
from include.orchestration.batch.submission import Work
from include.worker.models import UnitResult, WorkUnit

if TYPE_CHECKING:
    from include.worker.job import Job

__all__ = ["failed_one", "failure", "result_of", "summed", "unit_of"]

logger = logging.getLogger(__name__)

LOG_LINES = 20


def unit_of(job: BatchJob, work: Work, documents: Job) -> WorkUnit:
    """Return the unit that a job runs: of a group, what is left of it may be a single one."""
    units = {documents.unit_uri(unit.id): unit for unit in work.units}
    return units.get(job.command[-1], work.units[0]) if job.command else work.units[0]


def result_of(job: BatchJob, work: Work, documents: Job) -> Document:
    """Return the result that a job has left; raises :class:`InternalError` where there is none."""
    if len(work.units) > 1:
        results = [documents.done_before(unit) for unit in work.units]
        missing = [unit.id for unit, result in zip(work.units, results, strict=True) if result is None]
        if missing:
            raise InternalError(f"The array job has ended, but {len(missing)} of its units are not done: {missing[0]} …")
        document = summed([result for result in results if result is not None])
    else:
        unit = work.units[0]
        result = documents.read_result(unit.id)
        if result is None or result.status != "done" or not unit.is_of(result):
            raise InternalError(f"Job {job.id} ended well, but left no result of unit {unit.id}; its log may tell why.")
        document = result.model_dump(mode="json")
    metrics = document["metrics"] | {"job": job.id, "queue": job.queue}
    if job.queue_seconds is not None and not job.size:
        metrics["queue_seconds"] = round(job.queue_seconds, 1)
    return document | {"metrics": metrics}


def summed(results: Sequence[UnitResult]) -> dict[str, Any]:
    """Return the results of a group as one: numbers that can be added up, and how many units there were."""
    if len(results) == 1:
        return results[0].model_dump(mode="json")
    totals: dict[str, Any] = {}
    for result in results:
        for name, value in result.metrics.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                totals[name] = round(totals.get(name, 0) + value, 3)
    totals.pop("fps", None)
    return {
        "status": "done",
        "metrics": totals | {"units": len(results)},
        "reused": all(result.reused for result in results),
    }


def failed_one(job: BatchJob, work: Work, documents: Job, service: BatchService) -> tuple[BatchJob, WorkUnit]:
    """Return a failed job with its unit; of an array job its first failed child that did not just lose its instance, if any."""
    if not job.size:
        summaries = service.find(job.queue, job.name) if job.last_attempt.exit_code is None else ()
        return _with_exit_code(job, summaries), unit_of(job, work, documents)
    uris = _manifest(job, documents)
    units = {documents.unit_uri(unit.id): unit for unit in work.units}
    for summary in sorted(service.failed_children(job.id), key=_lost_its_instance):
        index = summary["jobId"].rpartition(":")[2]
        unit = units.get(uris[int(index)]) if index.isdecimal() and int(index) < len(uris) else None
        described = service.describe(summary["jobId"])
        if unit is not None and described is not None:
            return _with_exit_code(BatchJob.of(described), [summary]), unit
    return job, work.units[0]


def failure(job: BatchJob, unit: WorkUnit, documents: Job, service: BatchService, log_group: str) -> MediaError:
    """Return the error of a failed job, and write what Batch and the end of the last attempt's log say to the task's log."""
    attempt = job.last_attempt
    lines = service.last_lines(log_group, attempt.log_stream, LOG_LINES) if attempt.log_stream else []
    logger.error(
        "Job %s of %s failed: %s (exit code %s, %s). The end of its log:", job.id, unit.id, job.reason or "Batch gives no reason",
        attempt.exit_code, attempt.reason or "no reason of the container",
    )  # fmt: skip
    for line in lines:
        logger.error("    %s", line.rstrip())
    return failure_of(job, documents.read_result(unit.id), lines)


def _manifest(job: BatchJob, documents: Job) -> tuple[str, ...]:
    from include.worker.container import ArrayManifest  # noqa: PLC0415

    bucket, key = parse_uri(job.command[-1])
    return ArrayManifest.model_validate_json(documents.store.get_bytes(bucket, key)).units


def _lost_its_instance(summary: Mapping[str, Any]) -> bool:
    return str(summary.get("statusReason") or "").startswith(RECLAIMED)


def _with_exit_code(job: BatchJob, summaries: Sequence[Mapping[str, Any]]) -> BatchJob:
    """Return the job with the exit code that its summary has: moto tells exit codes in lists only."""
    code = next(((one.get("container") or {}).get("exitCode") for one in summaries if one["jobId"] == job.id), None)
    if code is None or job.last_attempt.exit_code is not None:
        return job
    return replace(job, attempts=(), current=replace(job.last_attempt, exit_code=code))
