"""Runs one work unit as one Airflow task."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from include.errors import Cancelled, InternalError, MediaError, TimedOut
from include.media_store.models import object_uri, parse_uri
from include.orchestration.backends.base import Document, WorkBackend
from include.orchestration.backends.batch import BatchBackend, InVain, Waiting
from include.orchestration.backends.local import LocalBackend
from include.orchestration.batch.assemble import batch_backend, load_units
from include.orchestration.batch.ended import summed, unit_of
from include.orchestration.batch.jobs import Verdict
from include.orchestration.links.batch import JOB_KEY, BatchJobLink, BatchLogLink, job_url
from include.orchestration.metrics import State, record_live, record_unit
from include.orchestration.operators.follow import Follower, log_line
from include.settings import get_settings
from include.worker.groups import grouped, kind_of
from include.worker.models import UnitResult, UnitSummary

if TYPE_CHECKING:
    from include.worker.models import WorkUnit

__all__ = ["ERROR_KEY", "METRICS_KEY", "WorkUnitOperator", "is_current"]

logger = logging.getLogger(__name__)

ERROR_KEY = "error"
METRICS_KEY = "metrics"
KILL_SECONDS = 4.0


class WorkUnitOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Runs a work unit where ``MEDIA_BATCH_UNITS`` says, shows its progress and raises its error.

    :param unit: a planned unit: ``{"bucket", "key", "label", …}``, or a group of them, with ``keys``, for one array job.
    :param make_unit: instead of ``unit``: gets the context, writes the unit's document and returns its URI.

    A unit of the local backend runs as a child process of the task, whose task state store holds ``progress``: ``{"done",
    "total", "unit", "fps"?, "phase"?}``. One of the Batch backend is submitted, and the task deferred until its job has ended;
    its ``progress`` is an XCom then. Returns, for a unit that plans, the list of planned units, one mapped task each. The XComs
    ``metrics`` and ``error`` serve the report.
    Attempts, retry policy and deadline are the DAG's ``default_args``: defaults made here would not reach mapped tasks, since
    ``partial`` fills in Airflow's own first.
    """

    template_fields: Sequence[str] = ("unit",)
    ui_color: ClassVar[str] = "#d7ecf5"
    # Each link costs every task two calls to Airflow.
    operator_extra_links = (BatchJobLink(), BatchLogLink()) if get_settings().batch_units else ()

    def __init__(
        self, *, unit: Mapping[str, Any] | None = None, make_unit: Callable[[Context], str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.unit = unit
        self.make_unit = make_unit
        self._backend: WorkBackend | None = None
        self._batch: BatchBackend | None = None

    def make_backend(self) -> WorkBackend:
        """Return the backend that runs the unit as a process."""
        return LocalBackend()

    def make_batch(self, units: Sequence[WorkUnit], context: Context) -> BatchBackend:
        """Return the backend that runs the units as a Batch job."""
        return batch_backend(units, context)

    def execute(self, context: Context) -> list[dict[str, Any]] | None:
        """Run the unit; see the class."""
        with self._telling(context["ti"]):
            self._refuse_in_vain(context["ti"])
            uris = self._uris(context)
            units = self._batch_units(uris)
            return self._advance(units, uris, context) if units else self._finish(self._run_all(uris, context), uris, context)

    def resume(self, context: Context, event: Mapping[str, Any], uris: Sequence[str]) -> list[dict[str, Any]] | None:
        """Go on when the trigger of the Batch backend has fired."""
        with self._telling(context["ti"]):
            return self._advance(load_units(uris), uris, context, Verdict(event["verdict"]))

    def on_kill(self) -> None:
        """End the unit when the task is stopped from outside."""
        if self._backend is not None:
            self._backend.cancel()
        if self._batch is not None:
            # In a thread: this is a signal handler, and what it has interrupted may hold a lock that calls to AWS want.
            killing = threading.Thread(target=self._batch.kill, name="kill", daemon=True)
            killing.start()
            killing.join(KILL_SECONDS)

    @contextmanager
    def _telling(self, ti: Any) -> Iterator[None]:
        """Keep the error that is raised inside for the report."""
        try:
            yield
        except AirflowFailException:
            raise
        except InVain as error:
            self._tell(ti, Cancelled(str(error)), final=True)
            raise AirflowFailException(str(error)) from None
        except MediaError as error:
            self._tell(ti, error, final=not error.retryable or ti.try_number > ti.max_tries)
            raise
        except Exception as error:
            unexpected = InternalError(f"{self.task_id} failed unexpectedly ({type(error).__name__}); its log tells more.")
            self._tell(ti, unexpected, final=ti.try_number > ti.max_tries)
            raise

    def _finish(self, result: Document, uris: Sequence[str], context: Context) -> list[dict[str, Any]] | None:
        """Keep a result's numbers and return the units that it has planned."""
        metrics = {name: value for name, value in result.get("metrics", {}).items() if isinstance(value, (int, float, str))}
        context["ti"].xcom_push(METRICS_KEY, metrics | {"reused": bool(result.get("reused"))})
        kind = kind_of(self.unit["id"]) if self.unit else self.task_id
        waited = metrics.get("queue_seconds")
        record_unit(
            kind, "reused" if result.get("reused") else "done", metrics, backend="batch" if "job" in metrics else "local",
            queue_seconds=waited if isinstance(waited, float) else None,
        )  # fmt: skip
        summaries = [UnitSummary.model_validate(unit) for unit in result.get("units") or ()]
        bucket = parse_uri(uris[0])[0]
        return [_mapped(group, bucket) for group in grouped(summaries, get_settings())] or None

    # -- AWS Batch

    def _batch_units(self, uris: Sequence[str]) -> list[WorkUnit]:
        """Return the units where they are for Batch, else nothing."""
        wanted = get_settings().batch_units
        if not wanted:
            return []
        units = load_units(uris)
        return units if len(units) > 1 or units[0].task.kind in wanted else []

    def _advance(
        self, units: Sequence[WorkUnit], uris: Sequence[str], context: Context, advice: Verdict = Verdict.OVER
    ) -> list[dict[str, Any]] | None:
        batch = self._batch = self.make_batch(units, context)
        try:
            state = batch.advance(advice)
        finally:
            # Once it is deferred, the trigger ends the job.
            self._batch = None
            if batch.memory.note.job_id:
                self._link(batch, context["ti"])
        if not isinstance(state, Waiting):
            logger.info("Done: %s", state.get("metrics"))
            return self._finish(state, uris, context)
        from include.orchestration.triggers.batch import BatchUnitTrigger  # noqa: PLC0415

        logger.info("Waiting for job %s in queue %s: %s", state.job.id, state.job.queue, job_url(batch.address, state.job.id))
        limits, job = batch.limits, batch.job
        trigger = BatchUnitTrigger(
            job_id=state.job.id,
            movable=state.movable,
            ending=state.ending,
            runnable_seconds=limits.runnable,
            queue_seconds=limits.queue,
            run_seconds=limits.run,
            poll_seconds=batch.settings.batch_poll_seconds,
            bucket=job.bucket,
            progress_prefix=job.progress_prefix,
            unit_id=unit_of(state.job, batch.work, job).id,
            address=batch.address,
            log_group=batch.settings.batch_log_group,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"uris": list(uris)})
        return None

    @staticmethod
    def _link(batch: BatchBackend, ti: Any) -> None:
        note = batch.memory.note
        where = {"job_id": note.job_id, "log_group": note.log_group, "log_stream": note.log}
        ti.xcom_push(JOB_KEY, {**batch.address, **where})

    # -- a local process

    def _uris(self, context: Context) -> list[str]:
        if self.make_unit is not None:
            return [self.make_unit(context)]
        if self.unit is None:
            raise ValueError("one of unit and make_unit must be given")
        return [object_uri(self.unit["bucket"], key) for key in self.unit.get("keys") or [self.unit["key"]]]

    def _tell(self, ti: Any, error: MediaError, *, final: bool) -> None:
        """Keep the error for the report and for the other units of the run."""
        where = {"task_id": self.task_id, "map_index": ti.map_index}
        ti.xcom_push(ERROR_KEY, error.to_document() | where | {"final": final, "at": time.time()})
        state: State = "cancelled" if isinstance(error, Cancelled) else "failed"
        kind = kind_of(self.unit["id"]) if self.unit else self.task_id
        record_unit(kind, state, error_code=error.code, backend="batch" if kind in get_settings().batch_units else "local")

    def _run_all(self, uris: Sequence[str], context: Context) -> Document:
        results = [self._run(uri, context) for uri in uris]
        # A group was planned for Batch, which the settings have left since.
        return results[0] if len(results) == 1 else summed([UnitResult.model_validate(result) for result in results])

    def _run(self, uri: str, context: Context) -> Document:
        logger.info("Running %s (by hand: python -m include.worker run %s)", uri, uri)
        follower = Follower(context)
        self._backend = self.make_backend()
        try:
            result = self._backend.run(uri, on_progress=follower, on_log=log_line)
        except AirflowTaskTimeout:
            limit = self.execution_timeout.total_seconds() if self.execution_timeout else 0
            raise TimedOut(f"The unit ran for {limit:g} s, its deadline (MEDIA_UNIT_TIMEOUT_SECONDS), and was ended.") from None
        finally:
            self._backend = None
            if "targets" in follower.last:
                record_live(follower.last["done"] - follower.first["done"], follower.last["targets"])
        if result.get("reused"):
            logger.info("reused: this unit was finished before; its outputs exist and are still right")
        logger.info("Done: %s", result.get("metrics"))
        return result

    def _refuse_in_vain(self, ti: Any) -> None:
        """Do not start a mapped unit when another one of this run has failed for good: the run cannot succeed."""
        if ti.map_index < 0:
            return
        # A list of one task id: for a bare id Airflow answers a single value where there is just one.
        errors = ti.xcom_pull(task_ids=[self.task_id], key=ERROR_KEY) or ()
        errors = [error for error in errors if error and error["final"] and error["code"] != Cancelled.code]
        if not errors:
            return
        states = ti.get_task_states(dag_id=self.dag_id, task_ids=[self.task_id], run_ids=[ti.run_id]).get(ti.run_id, {})
        for error in errors:
            if error["map_index"] != ti.map_index and is_current(error, states):
                reason = f"Not started: unit {error['map_index']} has failed for good ({error['code']}: {error['message']})"
                raise InVain(reason)


def is_current(error: Mapping[str, Any], states: Mapping[str, str]) -> bool:
    """Tell whether the task of a kept error has failed: XComs outlive the clearing of a task, states do not.

    ``states`` are Airflow's, by task and, where it is mapped, index.
    """
    name = error["task_id"] if error["map_index"] < 0 else f"{error['task_id']}_{error['map_index']}"
    return states.get(name) == "failed"


def _mapped(group: Sequence[UnitSummary], bucket: str) -> dict[str, Any]:
    """Return what a mapped task gets: a unit, or a group of units."""
    first, last = group[0], group[-1]
    unit = {**first.model_dump(), "bucket": bucket}
    if first is last:
        return unit
    keys = [member.key for member in group]
    label = f"{len(group)} units: {first.label} to {last.label}"
    return unit | {"keys": keys, "label": label, "weight": sum(member.weight for member in group)}
