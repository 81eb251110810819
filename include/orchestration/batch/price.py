"""What a job has cost, where it is known which machines its queue has."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from include.orchestration.batch.jobs import BatchJob
from include.settings import Settings

if TYPE_CHECKING:
    from include.worker.estimate import Prices

__all__ = ["dollars"]

logger = logging.getLogger(__name__)


def dollars(job: BatchJob, settings: Settings) -> float | None:
    """Return the price of a job's machine time, by the built-in prices; ``None`` where its machines or their price are not known.

    A job costs the share of its machine that its processors are of the machine's.
    """
    name = settings.batch_instances.get(job.queue)
    if name is None:
        return None
    prices = _prices()
    instance = prices.instances.get(name)
    if instance is None:
        logger.warning("MEDIA_BATCH_INSTANCES: there is no price of %s", name)
        return None
    hour = instance.on_demand
    if job.queue in (settings.batch_sr_queue_spot, settings.batch_cpu_queue_spot):
        hour = instance.spot or hour * prices.assumed_spot_share
    share = min(1.0, job.vcpus / instance.vcpus) if job.vcpus else 1.0
    return job.machine_seconds / 3600 * hour * share


@lru_cache(maxsize=1)
def _prices() -> Prices:
    from include.worker.cost import load_prices  # noqa: PLC0415  DAG files import this room

    return load_prices()
