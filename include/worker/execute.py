"""Runs one work unit from its document to its done-marker."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from include.errors import InternalError, MediaError, ParameterError
from include.media_store.locks import file_lock
from include.media_store.models import parse_uri
from include.media_store.scratch import private_folder, scratch_folder
from include.settings import Settings
from include.worker.encode import AudioWork, VideoWork
from include.worker.finish import FinishWork
from include.worker.finish_task import TaskFinishWork
from include.worker.job import Job
from include.worker.live import LiveWork
from include.worker.media import MediaTools
from include.worker.merge import MergeWork
from include.worker.models import FinishTask, PlanTask, UnitResult, WorkUnit
from include.worker.plan import PlanWork
from include.worker.plan_task import TaskPlanWork
from include.worker.progress import Progress
from include.worker.split import SplitWork
from include.worker.task_request import TaskReference
from include.worker.upscale import UpscaleWork
from include.worker.work import Work
from include.worker.workbench import Workbench, now

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["execute", "load_unit"]

logger = logging.getLogger(__name__)


def _plan(workbench: Workbench, unit: WorkUnit) -> Work:
    assert isinstance(unit.task, PlanTask)  # noqa: S101 - chosen by this very type
    return (TaskPlanWork if isinstance(unit.task.request, TaskReference) else PlanWork)(workbench, unit)


def _finish(workbench: Workbench, unit: WorkUnit) -> Work:
    assert isinstance(unit.task, FinishTask)  # noqa: S101 - chosen by this very type
    return (TaskFinishWork if isinstance(unit.task.request, TaskReference) else FinishWork)(workbench, unit)


_KINDS: dict[str, Callable[[Workbench, WorkUnit], Work]] = {
    "plan": _plan,
    "video": VideoWork,
    "audio": AudioWork,
    "finish": _finish,
    "split": SplitWork,
    "upscale": UpscaleWork,
    "merge": MergeWork,
    "live": LiveWork,
}


def load_unit(store: ObjectStore, uri: str) -> WorkUnit:
    """Return the unit document at ``s3://bucket/key``; ``ParameterError`` where it is none."""
    bucket, key = parse_uri(uri)
    try:
        return WorkUnit.model_validate_json(store.get_bytes(bucket, key))
    except ValidationError as error:
        logger.warning("%s: %s", uri, error)
        raise ParameterError(f"{uri} is not a work unit of this version of Reelflow.") from error


def execute(
    unit: WorkUnit | str,
    *,
    store: ObjectStore,
    settings: Settings,
    emit: Callable[[dict[str, Any]], None] = lambda event: None,
    cancelled: threading.Event | None = None,
    media: MediaTools | None = None,
) -> UnitResult:
    """Run a unit (or the one at a URI) and return its result, which is also written to the job's folder.

    A unit that is done already is not run again: the answer is its marker, with ``reused`` set. Two attempts on one machine
    never work at once: the second waits and finds the marker. Failures are results, too; only a URI that leads to no unit
    raises (``NotFound``, ``ParameterError``, ``StorageError``).
    """
    if isinstance(unit, str):
        unit = load_unit(store, unit)
    job = Job(store, settings, unit.bucket, unit.job_id)
    workbench = Workbench(store, settings, job, media or MediaTools(), Progress(emit), cancelled or threading.Event())
    try:
        lock = private_folder(settings.cache_dir) / "locks" / f"{job.job_id}-{unit.id}.lock"
        with file_lock(lock, workbench.check):
            return _attempt(workbench, unit)
    except MediaError as error:
        # Given up before it began: another attempt may be at work, whose marker must not be overwritten.
        return _failure(workbench, unit, unit.fingerprint, error)


def _attempt(workbench: Workbench, unit: WorkUnit) -> UnitResult:
    fingerprint = unit.fingerprint
    try:
        work = _KINDS[unit.task.kind](workbench, unit)
        fingerprint = work.fingerprint
        result = work.finished()
        if result is None:
            with scratch_folder(workbench.settings.cache_dir) as workbench.scratch:
                made = work.run()
            result = UnitResult(
                unit_id=unit.id,
                status="done",
                fingerprint=fingerprint,
                outputs=made.outputs,
                units=made.units,
                metrics=workbench.metrics() | made.metrics,
                started_at=workbench.started_at,
                finished_at=now(),
            )
            workbench.job.write_result(result)
            logger.info("unit %s is done: %d outputs", unit.id, len(result.outputs))
        else:
            logger.info("unit %s was done already, at %s", unit.id, result.finished_at)
            result = result.model_copy(update={"reused": True})
    except Exception as error:
        result = _failure(workbench, unit, fingerprint, error)
        _try(lambda: _record_failure(workbench.job, result), f"the failure of unit {unit.id} could not be written")
    else:
        _try(work.clean_up, f"work files of unit {unit.id} remain")
    return result


def _failure(workbench: Workbench, unit: WorkUnit, fingerprint: str, error: Exception) -> UnitResult:
    if isinstance(error, MediaError):
        logger.warning("unit %s failed: %s: %s", unit.id, error.code, error)
    else:
        logger.error("unit %s failed in an unexpected way", unit.id, exc_info=error)
    return UnitResult(
        unit_id=unit.id,
        status="failed",
        fingerprint=fingerprint,
        error=_public(error).to_document(),
        metrics=workbench.metrics(),
        started_at=workbench.started_at,
        finished_at=now(),
    )


def _record_failure(job: Job, result: UnitResult) -> None:
    # What an earlier success made stays listed: only so can a later one remove what it does not replace.
    before = job.read_result(result.unit_id)
    job.write_result(result.model_copy(update={"outputs": before.outputs}) if before else result)


def _public(error: Exception) -> MediaError:
    """Return the error as clients may see it: what Python or the system says may hold paths of this machine."""
    if isinstance(error, MediaError):
        return error
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return InternalError("The worker's disk is full; free space in MEDIA_CACHE_DIR or lower MEDIA_CACHE_MAX_BYTES.")
    return InternalError(f"The worker failed in an unexpected way ({type(error).__name__}); its log has the details.")


def _try(action: Callable[[], object], otherwise: str) -> None:
    try:
        action()
    except MediaError as error:
        logger.warning("%s: %s", otherwise, error)
