"""Runs that are about to be started: a client need not wait for Airflow, and what it was promised survives this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from include.errors import InternalError, MediaError, NotFound
from include.media_api import callbacks
from include.media_api.gateway import AirflowGateway
from include.media_store.objects import ObjectStore
from include.settings import Settings

__all__ = ["Start", "Starts", "StartsMiddleware"]

log = logging.getLogger(__name__)

# Airflow triggers a run within some ten milliseconds, but one by one, and with SQLite only while the scheduler does not write.
PATIENCE_SECONDS = 0.1
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
LOOK_SECONDS = 60.0
SETTLE_SECONDS = 20.0


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

    A start that takes longer than ``patience`` seconds is kept in S3, and then the promise holds: it is tried until Airflow has
    the run. Those that another process has kept and not ended are taken over. All methods belong to one event loop.
    """

    def __init__(
        self, store: ObjectStore, settings: Settings, gateway: AirflowGateway, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._store, self._bucket, self._gateway, self._patience = store, settings.bucket, gateway, patience
        self._prefix = f"{settings.work_prefix}starts/"
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._promised: set[str] = set()
        self._looker: asyncio.Task[None] | None = None

    async def begin(self, start: Start) -> None:
        """Return once the run is there, or is sure to be; raises what Airflow says against it at once."""
        task = self._tasks.get(start.run_id) or self._spawn(start)
        done, _ = await asyncio.wait({task}, timeout=self._patience)
        if done:
            task.result()
            return
        self._promised.add(start.run_id)
        await run_sync(self._store.put_bytes, self._bucket, self._key(start.run_id), start.model_dump_json().encode())
        if start.run_id not in self._promised:
            # It was triggered meanwhile.
            await run_sync(self._store.delete, self._bucket, self._key(start.run_id))

    def is_at_work(self, run_id: str) -> bool:
        """Tell whether this process is about to trigger the run."""
        return run_id in self._tasks

    async def is_kept(self, run_id: str) -> bool:
        """Tell whether any process was to trigger the run, and has not told that it did."""
        return await run_sync(self._store.head, self._bucket, self._key(run_id)) is not None

    async def finish(self, run_id: str) -> None:
        """Have a run that was begun triggered before something else is done to it; ``InternalError`` where that takes long."""
        if run_id not in self._tasks:
            await self._take_over(self._key(run_id))
        if task := self._tasks.get(run_id):
            done, _ = await asyncio.wait({task}, timeout=SETTLE_SECONDS)
            if not done:
                raise InternalError("Airflow does not start the run; please try again.")

    async def settle(self, prefix: str) -> None:
        """Wait a while for those runs whose ids begin with ``prefix``: who has created a task finds it in a list."""
        if waiting := [task for run_id, task in self._tasks.items() if run_id.startswith(prefix)]:
            await asyncio.wait(waiting, timeout=SETTLE_SECONDS)

    def look_after_others(self) -> None:
        """From now on take over what other processes, or an earlier one, have kept and not ended."""
        if self._looker is None or self._looker.done():
            self._looker = asyncio.create_task(self._look())

    def _spawn(self, start: Start) -> asyncio.Task[None]:
        task = self._tasks[start.run_id] = asyncio.create_task(self._trigger(start))
        # Of a client that has gone away nobody asks for the error.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    async def _trigger(self, start: Start) -> None:
        wait = FIRST_WAIT_SECONDS
        try:
            while True:
                try:
                    created = await self._gateway.trigger(start.dag_id, start.run_id, start.conf, start.note)
                    # Another API server may have been as fast: then there is a run of this id already, which does the same.
                    if not created and start.has_callback:
                        await callbacks.heed(self._gateway, start.dag_id, [start.run_id])
                    break
                except MediaError as error:
                    if start.run_id not in self._promised:
                        raise
                    log.warning("The run %s cannot be started: %s It is tried again in %g s.", start.run_id, error, wait)
                    await asyncio.sleep(wait)
                    wait = min(LONGEST_WAIT_SECONDS, 2 * wait)
        finally:
            del self._tasks[start.run_id]
        if start.run_id in self._promised:
            self._promised.discard(start.run_id)
            await run_sync(self._store.delete, self._bucket, self._key(start.run_id))

    async def _look(self) -> None:
        seen: set[str] = set()
        first = True
        while True:
            try:
                kept = set(await run_sync(self._kept))
                # What was there a minute ago, too, is no other server's that is at it just now.
                for key in kept if first else kept & seen:
                    await self._take_over(key)
                seen, first = kept, False
            except MediaError as error:
                log.warning("%s", error)
            await asyncio.sleep(LOOK_SECONDS)

    def _kept(self) -> Iterable[str]:
        return [ref.key for ref in self._store.list(self._bucket, self._prefix)]

    async def _take_over(self, key: str) -> None:
        try:
            start = Start.model_validate_json(await run_sync(self._store.get_bytes, self._bucket, key))
        except NotFound:
            return
        except (MediaError, ValidationError) as error:
            log.warning("The start kept at %s cannot be read: %s", key, error)
            return
        if start.run_id not in self._tasks:
            self._promised.add(start.run_id)
            self._spawn(start)

    def _key(self, run_id: str) -> str:
        return f"{self._prefix}{run_id}.json"


class StartsMiddleware:
    """Looks after the starts of others from the first request on, whoever sends it: before, there is no event loop."""

    def __init__(self, app: ASGIApp, starts: Starts) -> None:
        self._app, self._starts = app, starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        self._starts.look_after_others()
        await self._app(scope, receive, send)
