"""Runs that are about to be started: a client need not wait for Airflow, and what it was promised survives this process."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, ValidationError

from include.errors import InternalError, MediaError, NotFound
from include.media_api import callbacks
from include.media_api.gateway import AirflowGateway
from include.media_store.objects import ObjectStore
from include.settings import Settings

__all__ = ["Start", "Starts"]

log = logging.getLogger(__name__)

# Airflow triggers a run within some ten milliseconds, but one by one, and with SQLite only while the scheduler does not write.
PATIENCE_SECONDS = 0.1
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
LOOK_SECONDS = 60.0
SETTLE_SECONDS = 20.0
# With more of them at work clients wait for Airflow after all, and for so long: promises are no way to outrun it.
MOST_AT_WORK = 100
LONG_PATIENCE_SECONDS = 30.0


class Start(BaseModel):
    """What a run is triggered with."""

    model_config = ConfigDict(frozen=True)

    dag_id: str
    run_id: str
    conf: dict[str, Any]
    note: str
    has_callback: bool = False


class Starts:
    """Triggers runs, each by its id once, however often and wherever it is begun.

    A start that takes longer than :data:`PATIENCE_SECONDS` is kept in S3, and then the promise holds: it is tried until Airflow
    has the run. Those that another process has kept and not ended are taken over. All methods belong to one event loop.
    """

    def __init__(self, store: ObjectStore, settings: Settings, gateway: AirflowGateway) -> None:
        self._store, self._bucket, self._gateway = store, settings.bucket, gateway
        self._prefix = f"{settings.work_prefix}starts/"
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._promised: set[str] = set()
        self._failing: set[str] = set()
        self._looker: asyncio.Task[None] | None = None

    async def begin(self, start: Start) -> None:
        """Return once the run is there, or is sure to be; raises what Airflow says against it at once."""
        run_id = start.run_id
        task = self._tasks.get(run_id) or self._spawn(start)
        await asyncio.wait({task}, timeout=self._patience())
        if self._is_at_work(task, run_id):
            await run_sync(self._store.put_bytes, self._bucket, self._key(run_id), start.model_dump_json().encode())
            if self._is_at_work(task, run_id):
                self._promised.add(run_id)
                return
            # It ended meanwhile, this way or that.
            await run_sync(self._store.delete, self._bucket, self._key(run_id))
        if task.done():
            task.result()

    def is_at_work(self, run_id: str) -> bool:
        """Tell whether this process is about to trigger the run."""
        return run_id in self._tasks

    async def is_kept(self, run_id: str) -> bool:
        """Tell whether any process was to trigger the run, and has not told that it did."""
        return await run_sync(self._store.head, self._bucket, self._key(run_id)) is not None

    async def finish(self, run_id: str) -> None:
        """Have a run that was begun triggered before something else is done to it; ``InternalError`` where that takes long."""
        if run_id not in self._tasks:
            await self._take_over(run_id)
        if task := self._tasks.get(run_id):
            await asyncio.wait({task}, timeout=SETTLE_SECONDS)
            if self._is_at_work(task, run_id):
                raise InternalError("Airflow does not start the run; please try again.")

    async def settle(self, prefix: str) -> None:
        """Wait a while for those runs whose ids begin with ``prefix``: who has created a task finds it in a list."""
        waiting = [task for run_id, task in self._tasks.items() if run_id.startswith(prefix) and run_id not in self._failing]
        if waiting:
            await asyncio.wait(waiting, timeout=SETTLE_SECONDS)

    def look_after_others(self) -> None:
        """From now on take over what other processes, or an earlier one, have kept and not ended."""
        if self._looker is None or self._looker.done():
            self._looker = asyncio.create_task(self._look())

    def _patience(self) -> float:
        if len(self._tasks) >= MOST_AT_WORK:
            return LONG_PATIENCE_SECONDS
        # They are triggered one by one: where others are before it, it would be in vain.
        return PATIENCE_SECONDS if len(self._tasks) == 1 else 0.0

    def _is_at_work(self, task: asyncio.Task[None], run_id: str) -> bool:
        # One that has its run and only clears up is not.
        return self._tasks.get(run_id) is task

    def _spawn(self, start: Start) -> asyncio.Task[None]:
        task = self._tasks[start.run_id] = asyncio.create_task(self._start(start))
        # Of a client that has gone away nobody asks for the error.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    async def _start(self, start: Start) -> None:
        try:
            await self._trigger(start)
        finally:
            del self._tasks[start.run_id]
            self._failing.discard(start.run_id)
        if start.run_id in self._promised:
            self._promised.discard(start.run_id)
            await self._forget(start.run_id)

    async def _trigger(self, start: Start) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                created = await self._gateway.trigger(start.dag_id, start.run_id, start.conf, start.note)
                # Another API server may have been as fast: then there is a run of this id already, which does the same.
                if not created and start.has_callback:
                    await callbacks.heed(self._gateway, start.dag_id, [start.run_id])
                return
            except Exception as error:  # a promise holds whatever it is
                if start.run_id not in self._promised:
                    raise
                log.warning("The run %s cannot be started: %r It is tried again in %g s.", start.run_id, error, wait)
            self._failing.add(start.run_id)
            await asyncio.sleep(wait)
            wait = min(LONGEST_WAIT_SECONDS, 2 * wait)
            with suppress(MediaError):
                if not await self.is_kept(start.run_id):
                    # Another server has started it, or somebody wants it no more.
                    return

    async def _look(self) -> None:
        seen: set[str] = set()
        first = True
        while True:
            try:
                kept = set(await run_sync(self._kept))
                # What was there a minute ago, too, is no other server's that is at it just now.
                for run_id in kept if first else kept & seen:
                    await self._take_over(run_id)
                seen, first = kept, False
            except MediaError as error:
                log.warning("%s", error)
            await asyncio.sleep(LOOK_SECONDS)

    def _kept(self) -> list[str]:
        refs = self._store.list(self._bucket, self._prefix)
        return [ref.key.removeprefix(self._prefix).removesuffix(".json") for ref in refs]

    async def _take_over(self, run_id: str) -> None:
        if run_id in self._tasks:
            return
        try:
            start = Start.model_validate_json(await run_sync(self._store.get_bytes, self._bucket, self._key(run_id)))
            has_run = run_id in await self._gateway.runs(start.dag_id, [run_id])
        except NotFound:
            return
        except (MediaError, ValidationError) as error:
            log.warning("The start that is kept of %s cannot be taken over: %s", run_id, error)
            return
        if has_run:
            await self._forget(run_id)
        elif run_id not in self._tasks:
            self._promised.add(run_id)
            self._spawn(start)

    async def _forget(self, run_id: str) -> None:
        try:
            await run_sync(self._store.delete, self._bucket, self._key(run_id))
        except MediaError as error:  # whoever finds it finds its run, too
            log.warning("%s", error)

    def _key(self, run_id: str) -> str:
        return f"{self._prefix}{run_id}.json"
