"""Jobs that nobody waits for any more."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from include.orchestration.batch.active import active_jobs
from include.orchestration.batch.jobs import RUN_FAILED
from include.orchestration.batch.names import job_prefix, tag
from include.orchestration.batch.service import BatchService

__all__ = ["end_leftovers"]

logger = logging.getLogger(__name__)


def end_leftovers(service: BatchService, queues: Sequence[str], job_id: str, run_id: str) -> int:
    """End the Batch jobs of a media job that a run which is over has submitted; return how many there were.

    A run fails with its first unit that fails for good, while others are at work: their tasks end with their jobs. A user who
    marks a task while its job is being submitted, or while no triggerer is there, leaves one behind.
    """
    left = [job for job in active_jobs(service, queues, job_prefix(job_id)) if job.tags.get("reelflow:run") == tag(run_id)]
    for job in left:
        logger.warning("Job %s (%s) was left behind; it is ended.", job.id, job.name)
        service.terminate(job.id, RUN_FAILED)
    return len(left)
