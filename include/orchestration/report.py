"""The last task of a run: says what became of it, in the job's folder and as the run's state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from include.errors import Cancelled, InternalError
from include.orchestration.operators.work_unit import ERROR_KEY, METRICS_KEY, is_current
from include.orchestration.transcode import job_of
from include.settings import get_settings
from include.worker.models import Outcome

if TYPE_CHECKING:
    from include.worker.job import Job

__all__ = ["ReportOperator", "first_error", "summed"]

logger = logging.getLogger(__name__)

SUMMED = ("wall_seconds", "cpu_seconds", "bytes_read", "bytes_written")


class ReportOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Write ``outcome.json`` and fail when the run has failed.

    :param work: the tasks to report on, in order; the last one publishes, so its success is the run's.
    :param job_of: returns the job that a run's parameters name; by default that of a transcode.
    :param follow_up: gets the context of a run that has succeeded, to start what is to come of it.
    """

    def __init__(
        self,
        *,
        work: Sequence[str],
        job_of: Callable[[Mapping[str, Any]], Job | None] | None = None,
        follow_up: Callable[[Context], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.work = list(work)
        self.job_of = job_of
        self.follow_up = follow_up

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the outcome as a document; raises :class:`AirflowFailException` with the first error of a failed run."""
        ti, run = context["ti"], context["dag_run"]
        states = ti.get_task_states(dag_id=self.dag_id, task_ids=self.work, run_ids=[ti.run_id]).get(ti.run_id, {})
        done = states.get(self.work[-1]) == "success"
        pulled = {key: ti.xcom_pull(task_ids=self.work, key=key) or [] for key in (ERROR_KEY, METRICS_KEY)}
        error = None if done else first_error(pulled[ERROR_KEY], states)
        outcome = Outcome(
            state="done" if done else "failed",
            error=error,
            run_id=run.run_id,
            finished_at=datetime.now(timezone.utc).replace(microsecond=0),
            metrics=summed(pulled[METRICS_KEY]) | {"run_seconds": _seconds_since(run.start_date)},
        )
        job = (self.job_of or job_of)(dict(context["params"]) | (run.conf or {}))
        if job is None:
            logger.warning("The parameters name no job folder, so the outcome is only shown here.")
        else:
            job.write_outcome(outcome)
            end_leftovers(job, run.run_id)
            settle_source(job, error)
        logger.info("%s", outcome.model_dump_json(indent=1))
        if error:
            raise AirflowFailException(f"{error['code']}: {error['message']}")
        if self.follow_up is not None:
            self.follow_up(context)
        return outcome.model_dump(mode="json")


def end_leftovers(job: Job, run_id: str) -> None:
    """End the Batch jobs of a run that is over: it cannot succeed any more where one is left. Never raises."""
    settings = get_settings()
    if not settings.batch_units:
        return
    from include.orchestration.batch import leftovers  # noqa: PLC0415
    from include.orchestration.batch.service import HookBatchService  # noqa: PLC0415

    try:
        leftovers.end_leftovers(HookBatchService(), settings.batch_queues, job.job_id, run_id)
    except Exception as error:  # the run's outcome does not depend on it
        logger.warning("Left over Batch jobs were not looked for: %s", error)


def settle_source(job: Job, error: Mapping[str, Any] | None) -> None:
    """Settle the dropped object that the job was started for, if one was. Never raises: what is left open is settled later."""
    from include.ingest.place import open_ingest  # noqa: PLC0415  these bring boto3
    from include.ingest.settling import note_of, settle_job  # noqa: PLC0415

    try:
        if (note := note_of(job)) is not None:
            settle_job(open_ingest(), job, note, error)
    # The run's outcome does not depend on it, and ingest finds claims whose runs have ended. A large object takes long to move:
    # the task's timeout, which is no Exception, comes here, too.
    except (Exception, AirflowTaskTimeout) as failure:
        logger.warning("The dropped object was not settled: %s", failure)


def first_error(errors: Iterable[Mapping[str, Any] | None], states: Mapping[str, str]) -> dict[str, Any]:
    """Return the error that made the run fail: the earliest of this attempt that is no mere consequence of another one."""
    current = [error for error in errors if error and is_current(error, states)]
    found = sorted(current, key=lambda error: (error["code"] == Cancelled.code, error["at"]))
    if found:
        return {name: found[0][name] for name in ("code", "message", "retryable")}
    failed = next((name for name, state in states.items() if state == "failed"), "a task")
    message = f"{failed} ended without a reason: it was killed, or failed by a user. Its log in Airflow may tell more."
    return InternalError(message).to_document()


def summed(metrics: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return the totals over units of what can be added up, their number, how many were reused, and the source's frames."""
    units = [unit for unit in metrics if unit]
    totals = {name: round(sum(unit.get(name) or 0 for unit in units), 3) for name in SUMMED}
    # The plan and the last unit count all frames, the units between them their own.
    frames = max((unit.get("frames") or 0 for unit in units), default=0)
    # An array job is one task of several units.
    count = sum(int(unit.get("units") or 1) for unit in units)
    return totals | {"frames": frames, "units": count, "reused": sum(bool(unit.get("reused")) for unit in units)}


def _seconds_since(start: datetime | None) -> float | None:
    return round((datetime.now(timezone.utc) - start).total_seconds(), 1) if start else None
