"""Jobs that wait or run."""

from __future__ import annotations

from collections.abc import Sequence

from include.orchestration.batch.jobs import OVER, BatchJob
from include.orchestration.batch.service import BatchService

__all__ = ["active_jobs"]


def active_jobs(service: BatchService, queues: Sequence[str], prefix: str) -> list[BatchJob]:
    """Return the jobs in ``queues`` whose names begin with ``prefix`` and that have not ended."""
    waiting = [summary["jobId"] for queue in queues for summary in service.find(queue, prefix) if summary["status"] not in OVER]
    # A list may be some seconds old.
    described = [service.describe(job_id) for job_id in waiting]
    return [job for job in (BatchJob.of(document) for document in described if document) if not job.is_over]
