"""What a trigger still has to do when a user ends its task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["finish"]

logger = logging.getLogger(__name__)

# Tasks that nobody refers to may be collected.
_at_work: set[asyncio.Task[None]] = set()


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Do ``work`` of ``on_kill`` to its end, though Airflow cancels that again.

    A trigger that a user has ended is named anew in each exchange between the triggerer and its runner (``to_cancel``, Airflow
    3.3) until it is gone, so that an ``on_kill`` of more than a second is cancelled half-way, and silently.
    """
    task = asyncio.create_task(work)
    _at_work.add(task)
    task.add_done_callback(_ended)
    await asyncio.shield(task)


def _ended(task: asyncio.Task[None]) -> None:
    _at_work.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("What was to be done for a task that was ended has failed: %r", error)
