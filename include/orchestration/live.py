"""The unit of a live run, made from the run's parameters, and when it is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision

from include.errors import Cancelled, TimedOut
from include.orchestration.override import named_job
from include.orchestration.params import read
from include.orchestration.retry import MediaRetryPolicy
from include.orchestration.transcode import open_job
from include.settings import Settings
from include.worker.task_request import TaskReference

if TYPE_CHECKING:
    from include.worker.job import Job

__all__ = ["LiveRetryPolicy", "deadline", "job_of", "live_unit"]


def live_unit(context: Context) -> str:
    """Write the unit of a live task and return its URI; raises :class:`ParameterError` for wrong parameters."""
    from include.worker import job as jobs  # noqa: PLC0415  brings boto3

    reference = read(TaskReference, context)
    job = open_job(reference)
    # Else one that was stopped, and is started again in Airflow, would end at once.
    job.forget_cancelled(context["dag_run"].start_date)
    unit = jobs.live_unit(reference)
    job.write_unit(unit)
    return job.unit_uri(unit.id)


def job_of(parameters: Mapping[str, Any]) -> Job | None:
    """Return the job that ``parameters`` name, even where others of them are wrong; ``None`` where they name none."""
    known = {name: parameters[name] for name in ("bucket", "client", "task_id") if parameters.get(name)}
    return named_job(TaskReference, known)


def deadline(settings: Settings) -> timedelta:
    """Return how long the task may take: the stream's own deadline, and the time to finish recordings."""
    return timedelta(seconds=settings.seconds_for("live"))


class LiveRetryPolicy(MediaRetryPolicy):
    """Another attempt goes on with the stream, except where its deadline has passed or a client has stopped it."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """See :meth:`RetryPolicy.evaluate`."""
        if isinstance(exception, TimedOut):
            return RetryDecision.fail(reason="the deadline counts from the first attempt")
        if isinstance(exception, Cancelled) and context is not None and _is_stopped(context):
            return RetryDecision.fail(reason="a client has stopped the task")
        return super().evaluate(exception, try_number, max_tries, context)


def _is_stopped(context: Context) -> bool:
    job = job_of(dict(context["params"]) | (context["dag_run"].conf or {}))
    return job is not None and job.is_cancelled(context["dag_run"].start_date)
