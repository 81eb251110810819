"""The calls to AWS Batch and CloudWatch that a task makes, through the connection ``aws_default``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

from include.errors import InternalError

__all__ = ["CONNECTION", "BatchService", "HookBatchService"]

logger = logging.getLogger(__name__)

CONNECTION = "aws_default"
# Where Batch logs for definitions that name no group.
DEFAULT_GROUP = "/aws/batch/job"


class BatchService(Protocol):
    """What is asked of AWS. Methods raise :class:`InternalError` where it does not answer."""

    def submit(self, document: Mapping[str, Any]) -> str:
        """Submit a job and return its id."""
        ...

    def describe(self, job_id: str) -> Mapping[str, Any] | None:
        """Return what DescribeJobs says of a job; ``None`` where Batch has forgotten it."""
        ...

    def find(self, queue: str, prefix: str) -> list[Mapping[str, Any]]:
        """Return the summaries of the queue's jobs, ended ones among them, whose names begin with ``prefix``."""
        ...

    def failed_children(self, job_id: str) -> list[Mapping[str, Any]]:
        """Return the summaries of the failed children of an array job."""
        ...

    def terminate(self, job_id: str, reason: str) -> None:
        """End a job, whether it waits or runs; it is no error where it has ended."""
        ...

    def last_lines(self, group: str, stream: str, count: int) -> list[str]:
        """Return the last lines of a log stream; none where it cannot be read."""
        ...

    def address(self) -> dict[str, str]:
        """Return ``region_name`` and ``aws_partition``, for links."""
        ...


class HookBatchService:
    """:class:`BatchService` through the hooks of Airflow's Amazon provider."""

    def __init__(self, aws_conn_id: str = CONNECTION) -> None:
        from airflow.providers.amazon.aws.hooks.batch_client import BatchClientHook  # noqa: PLC0415  brings boto3

        self._conn_id = aws_conn_id
        self._hook = BatchClientHook(aws_conn_id=aws_conn_id)
        self._client: Any = self._hook.get_conn()
        # The SDK would send a request again whose answer was lost, and Batch takes each for another job. Ours are found by name.
        self._client.meta.events.register_first("needs-retry.batch.SubmitJob", _give_up_where_the_answer_was_lost)

    def submit(self, document: Mapping[str, Any]) -> str:
        """See :meth:`BatchService.submit`."""
        with _asked("take a job"):
            return str(self._client.submit_job(**document)["jobId"])

    def describe(self, job_id: str) -> Mapping[str, Any] | None:
        """See :meth:`BatchService.describe`."""
        with _asked("tell of a job"):
            jobs = self._client.describe_jobs(jobs=[job_id])["jobs"]
        found: Mapping[str, Any] | None = next((job for job in jobs if job["jobId"] == job_id), None)
        return found

    def find(self, queue: str, prefix: str) -> list[Mapping[str, Any]]:
        """See :meth:`BatchService.find`."""
        with _asked("list jobs"):
            pages = self._client.get_paginator("list_jobs").paginate(
                jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [f"{prefix}*"]}]
            )
            # Batch matches regardless of case; children of array jobs bear an index behind their parent's id.
            return [
                job
                for page in pages
                for job in page["jobSummaryList"]
                if job["jobName"].startswith(prefix) and ":" not in job["jobId"]
            ]

    def failed_children(self, job_id: str) -> list[Mapping[str, Any]]:
        """See :meth:`BatchService.failed_children`."""
        with _asked("list jobs"):
            pages = self._client.get_paginator("list_jobs").paginate(arrayJobId=job_id, jobStatus="FAILED")
            return [job for page in pages for job in page["jobSummaryList"]]

    def terminate(self, job_id: str, reason: str) -> None:
        """See :meth:`BatchService.terminate`."""
        with _asked("end a job"):
            self._client.terminate_job(jobId=job_id, reason=reason)

    def last_lines(self, group: str, stream: str, count: int) -> list[str]:
        """See :meth:`BatchService.last_lines`."""
        from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook  # noqa: PLC0415

        logs: Any = AwsLogsHook(aws_conn_id=self._conn_id).get_conn()
        for one in dict.fromkeys((group, DEFAULT_GROUP)):
            try:
                answer = logs.get_log_events(logGroupName=one, logStreamName=stream, startFromHead=False, limit=count)
            except Exception as error:  # a failure is told with its log or without, never hidden by this one
                logger.info("The log %s %s could not be read: %s", one, stream, type(error).__name__)
                continue
            return [event["message"] for event in islice(answer["events"], count)]
        return []

    def address(self) -> dict[str, str]:
        """See :meth:`BatchService.address`."""
        return {"region_name": self._hook.conn_region_name, "aws_partition": self._hook.conn_partition}


def _give_up_where_the_answer_was_lost(caught_exception: Exception | None, **_: Any) -> None:
    from include.media_store.errors import is_lost_answer  # noqa: PLC0415  brings boto3

    if caught_exception is not None and is_lost_answer(caught_exception):
        raise caught_exception


@contextmanager
def _asked(verb: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # What AWS says may hold account numbers and names, so it goes to the log and not to clients.
        logger.warning("AWS Batch would not %s: %s", verb, error)
        raise InternalError(f"AWS Batch would not {verb} ({type(error).__name__}); the task's log tells why.") from error
