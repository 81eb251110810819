"""Jobs that nobody waits for any more."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from include.orchestration.batch.jobs import OURS, OVER, BatchJob
from include.orchestration.batch.names import job_prefix, tag
from include.orchestration.batch.service import BatchService
from include.settings import Settings

__all__ = ["all_queues", "end_leftovers"]

logger = logging.getLogger(__name__)


def all_queues(settings: Settings) -> tuple[str, ...]:
    """Return every queue that a job may be in."""
    queues = (settings.batch_sr_queue_spot, settings.batch_sr_queue_on_demand)
    return tuple(dict.fromkeys((*queues, settings.batch_cpu_queue_spot, settings.batch_cpu_queue_on_demand)))


def end_leftovers(service: BatchService, queues: Sequence[str], job_id: str, run_id: str) -> int:
    """End the Batch jobs of a media job that a run has submitted whose tasks have all ended; return how many there were.

    A user who marks a task while its job is being submitted, or while no triggerer is there, leaves one behind.
    """
    count = 0
    for queue in queues:
        for summary in service.find(queue, job_prefix(job_id)):
            if summary["status"] in OVER:
                continue
            described = service.describe(summary["jobId"])
            job = BatchJob.of(described) if described else None
            if job is not None and not job.is_over and job.tags.get("reelflow:run") == tag(run_id):
                logger.warning("Job %s (%s) was left behind; it is ended.", job.id, job.name)
                service.terminate(job.id, f"{OURS}its run has ended")
                count += 1
    return count
