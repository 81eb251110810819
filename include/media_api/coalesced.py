"""One call to Airflow for all who ask at the same time: fifty clients that poll cost hardly more than one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

__all__ = ["Coalesced"]

Value = TypeVar("Value")
Read = Callable[[str, Collection[str]], Awaitable[Mapping[str, Value]]]


class Coalesced(Generic[Value]):
    """Joins reads of runs by id: while one is on its way, the ids that are asked for meanwhile wait and go together in the next.

    So an answer is never older than its question, and the busier the server is, the more questions share a call.
    """

    def __init__(self, read: Read[Value]) -> None:
        self._read = read
        self._waiting: dict[str, dict[str, asyncio.Future[Mapping[str, Value]]]] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, dag_id: str, run_ids: Collection[str]) -> dict[str, Value]:
        """Return what ``read`` has for those of the runs that exist."""
        if not run_ids:
            return {}
        waiting = self._waiting.setdefault(dag_id, {})
        loop = asyncio.get_running_loop()
        futures = {run_id: waiting.setdefault(run_id, loop.create_future()) for run_id in run_ids}
        if dag_id not in self._readers:
            self._readers[dag_id] = asyncio.create_task(self._serve(dag_id))
        # One who goes away must not take the others' answer along.
        found = await asyncio.gather(*(asyncio.shield(future) for future in futures.values()))
        return {run_id: values[run_id] for run_id, values in zip(futures, found, strict=True) if run_id in values}

    async def _serve(self, dag_id: str) -> None:
        try:
            while asked := self._waiting.pop(dag_id, None):
                try:
                    values = await self._read(dag_id, list(asked))
                except Exception as error:  # it is theirs who have asked
                    for future in asked.values():
                        future.set_exception(error)
                        future.exception()
                else:
                    for future in asked.values():
                        future.set_result(values)
        finally:
            del self._readers[dag_id]
