"""One look at all jobs that the triggers of a process wait for, however many there are."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["JobPoller", "connect", "shared_poller"]

logger = logging.getLogger(__name__)

Described = Mapping[str, Any] | None
Describe = Callable[[Sequence[str]], Awaitable[Sequence[Mapping[str, Any]]]]

AT_ONCE = 100  # DescribeJobs takes no more
GATHER_SECONDS = 0.5
LONGEST_PAUSE = 60.0


class JobPoller:
    """Describes the watched jobs every ``seconds`` and tells each watcher of its own.

    :param connect: opens what describes up to 100 jobs; it is opened anew after an error.
    """

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Describe]], seconds: float) -> None:
        self._connect = connect
        self._seconds = seconds
        self._watchers: dict[str, set[asyncio.Queue[Described]]] = {}
        self._new: set[str] = set()
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0

    @asynccontextmanager
    async def watch(self, job_id: str) -> AsyncIterator[asyncio.Queue[Described]]:
        """Return the queue with what was last seen of a job: its description, or ``None`` where Batch knows no such job."""
        latest: asyncio.Queue[Described] = asyncio.Queue(maxsize=1)
        self._watchers.setdefault(job_id, set()).add(latest)
        self._new.add(job_id)
        self._came.set()
        if self._task is None or self._task.done():
            # In a context of its own: what it logs belongs to no task, and it does not end with the one that came first.
            self._task = asyncio.get_running_loop().create_task(self._run(), name="batch-poller", context=contextvars.Context())
        try:
            yield latest
        finally:
            self._watchers[job_id].discard(latest)
            if not self._watchers[job_id]:
                del self._watchers[job_id]
                self._new.discard(job_id)

    async def _run(self) -> None:
        while self._watchers:
            try:
                async with self._connect() as describe:
                    await self._rounds(describe)
            except Exception as error:  # whatever AWS or the network says: waiting goes on
                self._failures += 1
                # Two to the power of a day's failures is no number of seconds any more.
                pause = min(LONGEST_PAUSE, self._seconds * 2 ** min(self._failures, 10))
                logger.warning("Jobs could not be looked at (%s: %s); again in %g s", type(error).__name__, error, pause)
                await asyncio.sleep(pause)

    async def _rounds(self, describe: Describe) -> None:
        """Look at all jobs every so often, and between that at those that are new."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while self._watchers:
            if clock() >= due:
                due = clock() + self._seconds
                await self._look(describe, list(self._watchers))
            else:
                await self._look(describe, list(self._new))
            self._failures = 0
            self._came.clear()
            if not self._new:
                with suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(self._came.wait(), max(0.0, due - clock()))
            if self._new:
                # Who comes, comes with others.
                await asyncio.sleep(min(GATHER_SECONDS, self._seconds))

    async def _look(self, describe: Describe, ids: Sequence[str]) -> None:
        self._new.difference_update(ids)
        for start in range(0, len(ids), AT_ONCE):
            chunk = ids[start : start + AT_ONCE]
            found = {job["jobId"]: job for job in await describe(chunk)}
            for job_id in chunk:
                for latest in self._watchers.get(job_id, ()):
                    with suppress(asyncio.QueueEmpty):
                        latest.get_nowait()
                    latest.put_nowait(found.get(job_id))


@asynccontextmanager
async def connect(aws_conn_id: str) -> AsyncIterator[Describe]:
    """Open an asynchronous client of Batch."""
    # In a thread: what it imports would hold up all triggers for a second.
    hook = await asyncio.to_thread(_hook, aws_conn_id)
    async with await hook.get_async_conn() as client:

        async def describe(ids: Sequence[str]) -> Sequence[Mapping[str, Any]]:
            answer = await client.describe_jobs(jobs=list(ids))
            jobs: Sequence[Mapping[str, Any]] = answer["jobs"]
            return jobs

        yield describe


def _hook(aws_conn_id: str) -> Any:
    from airflow.providers.amazon.aws.hooks.batch_client import BatchClientHook  # noqa: PLC0415

    return BatchClientHook(aws_conn_id=aws_conn_id)


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, float], JobPoller]] = WeakKeyDictionary()


def shared_poller(aws_conn_id: str, seconds: float) -> JobPoller:
    """Return the poller of this process (of its event loop)."""
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    key = aws_conn_id, seconds
    if key not in pollers:
        pollers[key] = JobPoller(lambda: connect(aws_conn_id), seconds)
    return pollers[key]
