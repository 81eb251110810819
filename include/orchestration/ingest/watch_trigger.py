"""Looks for dropped objects from within Airflow's triggerer, until there is something to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from include.orchestration.ingest.runs import run_state
from include.settings import Settings, get_settings

if TYPE_CHECKING:
    from include.ingest.watch import Sight, Watch

__all__ = ["SIGHT_KEY", "DroppedTrigger"]

logger = logging.getLogger(__name__)

# XCom of what there is to do.
SIGHT_KEY = "sight"
# Where a queue tells of new objects (MEDIA_INGEST_QUEUE_URL), this only makes up for events that were lost.
SWEEP_SECONDS = 60.0
# Looks that find nothing for so long end the run, so that neither it nor its log lasts for ever; the next one begins at once.
LONGEST_SECONDS = 24 * 3600.0


class DroppedTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """Ends its task by itself: with the XCom ``sight`` where there is something to do, skipped after a day of nothing.

    What it remembers between two looks is the process's, so that a new run goes on where the last one ended; another triggerer
    only begins with one look more.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`."""
        seconds = pause(get_settings())
        end = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < end:
            try:
                sight = await asyncio.to_thread(_look)
                if sight:
                    logger.info("%d objects were dropped; overdue claims: %s", len(sight.dropped), sight.overdue)
                    await self.push(document(sight))
            except Exception as error:  # the object store or Airflow is away; they will be back
                logger.warning("The folders were not looked at: %s: %s", type(error).__name__, error)
            else:
                if sight:
                    yield TaskSuccessEvent()
                    return
            await asyncio.sleep(seconds)
        yield TaskSkippedEvent()

    async def push(self, sight: dict[str, Any]) -> None:
        """Leave word for the task that dispatches."""
        from airflow.sdk.bases.xcom import BaseXCom  # noqa: PLC0415

        # Not with the event: Airflow 3.3 writes its XComs in the transaction that ends the task, and closes that before its end.
        ti = self.task_instance
        await BaseXCom.aset(SIGHT_KEY, sight, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


def pause(settings: Settings) -> float:
    """Return the seconds between two looks."""
    return max(settings.ingest_poll_seconds, SWEEP_SECONDS if settings.ingest_queue_url else 0.0)


def document(sight: Sight) -> dict[str, Any]:
    """Return what the task that dispatches is told."""
    return {
        "dropped": [[one.bucket, one.key, one.etag] for one in sight.dropped],
        "overdue": sight.overdue,
        "backlog": sight.backlog,
    }


@lru_cache(maxsize=1)
def _watch() -> Watch:
    from include.ingest.place import open_ingest  # noqa: PLC0415  brings boto3
    from include.ingest.watch import Watch  # noqa: PLC0415

    return Watch(open_ingest())


def _look() -> Sight:
    return _watch().look(run_state)
