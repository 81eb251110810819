"""A job's documents in the object store: where they lie, and when a unit's done-marker may be believed."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from include.errors import InternalError, NotFound, ObjectExists
from include.ffmpeg_ops.models import Plan
from include.media_store.lookup import current
from include.media_store.models import ObjectRef, object_uri
from include.settings import Settings
from include.worker.callback import Callback
from include.worker.models import (
    FinishTask,
    LiveState,
    LiveTask,
    MergeTask,
    Outcome,
    Output,
    PlanTask,
    SplitTask,
    SuperResolutionPlan,
    SuperResolutionRequest,
    TranscodeRequest,
    UnitResult,
    WorkUnit,
)
from include.worker.task_request import TaskReference, TaskRequest

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["Job", "finish_unit", "live_unit", "merge_unit", "plan_unit", "split_unit"]

logger = logging.getLogger(__name__)

# What plans a job's last unit.
_PLANNED_BY = {"finish": "plan", "merge": "split"}

AnyDocument = TypeVar("AnyDocument", bound=BaseModel)
AnyRequest = TranscodeRequest | SuperResolutionRequest | TaskReference


def plan_unit(request: TranscodeRequest | TaskReference) -> WorkUnit:
    """Return the unit that a job starts with."""
    return WorkUnit(id="plan", job_id=request.job_id, bucket=request.bucket, task=PlanTask(request=request), label="plan")


def finish_unit(request: TranscodeRequest | TaskReference, source: ObjectRef, units: tuple[str, ...]) -> WorkUnit:
    """Return the unit that a job ends with; the plan unit writes it to ``units/unit-finish.json``."""
    task = FinishTask(request=request, units=units)
    return WorkUnit(
        id="finish", job_id=request.job_id, bucket=request.bucket, source=source, task=task, label="assemble and publish"
    )


def split_unit(request: SuperResolutionRequest) -> WorkUnit:
    """Return the unit that a super-resolution job starts with."""
    return WorkUnit(id="split", job_id=request.job_id, bucket=request.bucket, task=SplitTask(request=request), label="split")


def merge_unit(request: SuperResolutionRequest, source: ObjectRef, units: tuple[str, ...]) -> WorkUnit:
    """Return the unit that a super-resolution job ends with; the split unit writes it to ``units/unit-merge.json``."""
    task = MergeTask(request=request, units=units)
    return WorkUnit(id="merge", job_id=request.job_id, bucket=request.bucket, source=source, task=task, label="merge and publish")


def live_unit(reference: TaskReference) -> WorkUnit:
    """Return the only unit of a live job."""
    task = LiveTask(reference=reference)
    return WorkUnit(id="live", job_id=reference.job_id, bucket=reference.bucket, task=task, label="live")


class Job:
    """The folder ``<work_prefix>jobs/<job_id>/`` of one job.

    Reading raises ``NotFound`` where a document is absent and ``InternalError`` where it cannot be understood, except for
    results and the outcome: those answer ``None``, since work without a readable result is work to be done.
    """

    def __init__(self, store: ObjectStore, settings: Settings, bucket: str, job_id: str) -> None:
        self.store = store
        self.bucket = bucket
        self.job_id = job_id
        self.prefix = f"{settings.work_prefix}jobs/{job_id}/"

    @classmethod
    def of(cls, store: ObjectStore, settings: Settings, request: AnyRequest) -> Job:
        """Return the job that ``request`` belongs to."""
        return cls(store, settings, request.bucket, request.job_id)

    # -- keys

    @property
    def request_key(self) -> str:
        """Key of the request document."""
        return f"{self.prefix}request.json"

    @property
    def plan_key(self) -> str:
        """Key of the plan document."""
        return f"{self.prefix}plan.json"

    @property
    def override_key(self) -> str:
        """Key of what the job's run is to do instead of its conf."""
        return f"{self.prefix}override.json"

    @property
    def outcome_key(self) -> str:
        """Key of the outcome document."""
        return f"{self.prefix}outcome.json"

    @property
    def cancelled_key(self) -> str:
        """Key of the note that a client has stopped the job."""
        return f"{self.prefix}cancelled.json"

    @property
    def ingest_key(self) -> str:
        """Key of the note which dropped object the job was started for."""
        return f"{self.prefix}ingest.json"

    @property
    def callbacks_prefix(self) -> str:
        """Prefix of who wants to be told what becomes of the job."""
        return f"{self.prefix}callbacks/"

    @property
    def live_key(self) -> str:
        """Key of how far a live job has come."""
        return f"{self.prefix}live.json"

    @property
    def live_prefix(self) -> str:
        """Prefix of what a live job records until a file is made of it."""
        return f"{self.prefix}live/"

    @property
    def report_key(self) -> str:
        """Key of the report of a job whose output has no folder of its own."""
        return f"{self.prefix}report.json"

    @property
    def compare_prefix(self) -> str:
        """Prefix of stills before and after upscaling; they stay as long as the documents."""
        return f"{self.prefix}compare/"

    @property
    def chunks_prefix(self) -> str:
        """Prefix of all files that pass between units."""
        return f"{self.prefix}chunks/"

    def unit_key(self, unit_id: str) -> str:
        """Key of a unit document."""
        return f"{self.prefix}units/unit-{unit_id}.json"

    def result_key(self, unit_id: str) -> str:
        """Key of a unit's result."""
        return f"{self.prefix}results/result-{unit_id}.json"

    @property
    def progress_prefix(self) -> str:
        """Prefix of what units at work on other machines tell of their progress."""
        return f"{self.prefix}progress/"

    def progress_key(self, unit_id: str) -> str:
        """Key of what a unit at work on another machine tells of its progress."""
        return f"{self.progress_prefix}progress-{unit_id}.json"

    def array_key(self, name: str) -> str:
        """Key of an array job's manifest."""
        return f"{self.prefix}arrays/{name}.json"

    def unit_uri(self, unit_id: str) -> str:
        """What ``python -m include.worker run`` takes."""
        return object_uri(self.bucket, self.unit_key(unit_id))

    # -- documents

    def read_request(self) -> TranscodeRequest:
        """Return the request of a transcode."""
        return self._read(self.request_key, TranscodeRequest)

    def write_request(self, request: AnyRequest) -> ObjectRef:
        """Write the request."""
        return self._write(self.request_key, request)

    def read_task(self) -> TaskRequest:
        """Return a task of contract 3 in full."""
        return self._read(self.request_key, TaskRequest)

    def create_task(self, task: TaskRequest) -> bool:
        """Write a task in full, as :meth:`write_task` does, unless there is one; tell whether there was none."""
        try:
            self._write(self.request_key, task, if_none_match=True)
        except ObjectExists:
            return False
        return True

    def write_task(self, task: TaskRequest) -> ObjectRef:
        """Write a task in full, before its run is triggered."""
        return self._write(self.request_key, task)

    def read_plan(self) -> Plan:
        """Return the plan."""
        return self._read(self.plan_key, Plan)

    def read_super_resolution_plan(self) -> SuperResolutionPlan:
        """Return the plan of a super-resolution job."""
        return self._read(self.plan_key, SuperResolutionPlan)

    def write_plan(self, plan: Plan | SuperResolutionPlan) -> ObjectRef:
        """Write the plan."""
        return self._write(self.plan_key, plan)

    def read_live(self) -> LiveState | None:
        """Return how far the live job has come, or ``None`` where it has not begun."""
        return self._read_optional(self.live_key, LiveState)

    def write_live(self, state: LiveState) -> ObjectRef:
        """Write how far the live job has come."""
        return self._write(self.live_key, state)

    def read_unit(self, unit_id: str) -> WorkUnit:
        """Return a unit document."""
        return self._read(self.unit_key(unit_id), WorkUnit)

    def write_unit(self, unit: WorkUnit) -> ObjectRef:
        """Write a unit document."""
        return self._write(self.unit_key(unit.id), unit)

    def read_result(self, unit_id: str) -> UnitResult | None:
        """Return a unit's last result, or ``None`` where there is none that can be read."""
        return self._read_optional(self.result_key(unit_id), UnitResult)

    def write_result(self, result: UnitResult) -> ObjectRef:
        """Write a unit's result; one with status done is its marker and comes after its outputs."""
        return self._write(self.result_key(result.unit_id), result)

    def read_outcome(self) -> Outcome | None:
        """Return what became of the job, or ``None`` while that is open."""
        return self._read_optional(self.outcome_key, Outcome)

    def write_outcome(self, outcome: Outcome) -> ObjectRef:
        """Write what became of the job."""
        return self._write(self.outcome_key, outcome)

    def note_cancelled(self) -> None:
        """Keep that a client has stopped the job: its run will look as if it had failed."""
        note = {"at": datetime.now(timezone.utc).replace(microsecond=0).isoformat()}
        self.store.put_bytes(self.bucket, self.cancelled_key, json.dumps(note).encode())

    def is_cancelled(self, since: datetime | None) -> bool:
        """Tell whether a client has stopped the job, and nobody has started it again since; its run began at ``since``."""
        try:
            at = datetime.fromisoformat(json.loads(self.store.get_bytes(self.bucket, self.cancelled_key))["at"])
            # A time without a zone cannot be compared, either.
            return since is None or at >= since.replace(microsecond=0)
        except (NotFound, ValueError, KeyError, TypeError):
            return False

    def forget_cancelled(self, since: datetime | None) -> None:
        """Remove the note that a client had stopped the job before its run began again at ``since``."""
        # One that is written meanwhile stays.
        if self.store.head(self.bucket, self.cancelled_key) is not None and not self.is_cancelled(since):
            self.store.delete(self.bucket, self.cancelled_key)

    def read_callbacks(self) -> tuple[Callback, ...]:
        """Return who wants to be told what becomes of the job, one a client at most."""
        keys = [ref.key for ref in self.store.list(self.bucket, self.callbacks_prefix)]
        found = [self._read_optional(key, Callback) for key in keys]
        return tuple(callback for callback in found if callback is not None)

    def write_callback(self, callback: Callback) -> ObjectRef:
        """Write a client's callback, in the place of its last one."""
        return self._write(self._callback_key(callback), callback)

    def delete_callback(self, callback: Callback) -> None:
        """Remove a callback that is served, unless the client has named another address since."""
        if self._read_optional(self._callback_key(callback), Callback) == callback:
            self.store.delete(self.bucket, self._callback_key(callback))

    # -- markers

    def finished(self, unit: WorkUnit, fingerprint: str | None = None) -> UnitResult | None:
        """Return the unit's result where it is done, bears the fingerprint (the unit's own) and all its outputs exist."""
        result = self.read_result(unit.id)
        if result is None or result.status != "done" or result.fingerprint != (fingerprint or unit.fingerprint):
            return None
        return result if self.outputs_exist(result.outputs) else None

    def published(self, unit: WorkUnit, fingerprint: str | None = None, *, by: str = "finish") -> UnitResult | None:
        """Return the result of a unit whose files are no longer needed: what was made of them is published, and complete.

        ``by`` is the unit that publishes. Where another one is planned by now, which would fetch the files again, it is ``None``.
        """
        wanted = fingerprint or unit.fingerprint
        last = self.read_result(by)
        if last is None or last.status != "done" or last.metrics.get("units", {}).get(unit.id) != wanted:
            return None
        first = self.read_result(_PLANNED_BY[by])
        if first is None or first.metrics.get("last") != last.fingerprint:
            return None
        result = self.read_result(unit.id)
        if result is None or result.status != "done" or result.fingerprint != wanted:
            return None
        return result if self.outputs_exist(last.outputs) else None

    def done_before(self, unit: WorkUnit) -> UnitResult | None:
        """Return the marker of a fanned-out unit where its files are there, or are no longer needed: the job is published.

        It is ``None`` for those that read more than their documents to know.
        """
        if not unit.task.DECIDED_BY_DOCUMENT:
            return None
        return self.finished(unit) or self.published(unit, by="merge" if unit.task.kind == "upscale" else "finish")

    def outputs_exist(self, outputs: tuple[Output, ...]) -> bool:
        """Tell whether every output is still the version that was written."""
        refs = {output.ref for output in outputs}
        return set(current(self.store, refs).values()) == refs

    def _callback_key(self, callback: Callback) -> str:
        return f"{self.callbacks_prefix}{callback.name}.json"

    def _read(self, key: str, model: type[AnyDocument]) -> AnyDocument:
        data = self.store.get_bytes(self.bucket, key)
        try:
            return model.model_validate_json(data)
        except ValidationError as error:
            logger.warning("%s is not a %s: %s", object_uri(self.bucket, key), model.__name__, error)
            raise InternalError(
                f"{object_uri(self.bucket, key)} is damaged or of another version of Reelflow; run the job's plan again."
            ) from error

    def _read_optional(self, key: str, model: type[AnyDocument]) -> AnyDocument | None:
        try:
            return self._read(key, model)
        except (NotFound, InternalError) as error:
            # StorageError is an InternalError, too, but says nothing about the document.
            if type(error) not in (NotFound, InternalError):
                raise
            return None

    def _write(self, key: str, document: BaseModel, *, if_none_match: bool = False) -> ObjectRef:
        content = document.model_dump_json(indent=1).encode()
        return self.store.put_bytes(self.bucket, key, content, if_none_match=if_none_match)
