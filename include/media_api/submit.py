"""Submitting: one run for the same work, however often and however simultaneously it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from anyio.to_thread import run_sync

from include.media_api import callbacks
from include.media_api import submission as submissions
from include.media_api.gateway import AirflowGateway, Run
from include.media_api.submission import TRANSCODE_DAG, Submission
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.worker.job import Job
from include.worker.models import TranscodeRequest
from include.worker.override import withdraw
from include.worker.video_transcode import existing_keys

__all__ = ["RunStarter", "Submitter"]

_WRITES_AT_ONCE = 16
# What tells who asked, and not what is to be done.
_ABOUT_THE_ASKER = {"client", "content_provider", "contentprovider"}


class RunStarter:
    """Starts a run, or joins the one that there is; one for all apps of a process."""

    def __init__(self, gateway: AirflowGateway) -> None:
        self._gateway = gateway
        # By run id: who comes second finds the run that the first has started. (Between processes Airflow's own check of
        # run ids decides.) Two clears of one run would end tasks that the first has started.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def alone(self, run_id: str) -> AbstractAsyncContextManager[None]:
        """Return a context in which nobody else of this process starts, clears or stops the run."""
        return self._locks.setdefault(run_id, asyncio.Lock())

    async def ensure(
        self,
        dag_id: str,
        run_id: str,
        conf: Mapping[str, Any],
        note: str,
        *,
        is_undone: Callable[[], Awaitable[bool]],
        prepare: Callable[[Run | None], Awaitable[None]] | None = None,
        before_start: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Start the run, or start it again if it has finished and left something undone, such as after a failure.

        ``prepare`` gets the run that there is before anything is done with it, and raises where it cannot be joined.
        """
        gateway = self._gateway
        async with self.alone(run_id):
            run = (await gateway.runs(dag_id, [run_id])).get(run_id)
            if prepare is not None:
                await prepare(run)
            if run is not None and (not run.is_finished or not await is_undone()):
                return
            if before_start is not None:
                await before_start()
            if run is not None:
                if _work(run.conf) == _work(conf):
                    await gateway.clear(dag_id, run_id)
                    return
                # A cleared run keeps its conf, which is not what is asked for now.
                await gateway.delete(dag_id, run_id)
            if not await gateway.trigger(dag_id, run_id, conf, note) and prepare is not None:
                # Another process has started it at the same moment, perhaps for another request.
                await prepare((await gateway.runs(dag_id, [run_id])).get(run_id))


class Submitter:
    """Starts the run of a submission, or joins the one that there is."""

    def __init__(self, settings: Settings, store: ObjectStore, gateway: AirflowGateway, runs: RunStarter) -> None:
        self._settings = settings
        self._store = store
        self._gateway = gateway
        self._runs = runs

    async def submit(self, submission: Submission) -> None:
        """Keep the submission and see that every pending video has a run, or will have; nothing pending, no run."""
        await run_sync(submissions.save, self._store, self._settings, submission)
        if not submission.pending:
            return
        request = submission.request
        if request.callback_url is not None:
            await run_sync(self._keep_callbacks, submission)
            await callbacks.heed(self._gateway, TRANSCODE_DAG, [one.run_id for one in submission.pending])
        if request.is_folder:
            conf = request.model_dump(mode="json", exclude={"callback_url"}) | {"client": submission.client}
        else:
            conf = submission.pending[0].model_dump(mode="json")
        note = f"{request.contentprovider or submission.client}: {request.src} to {request.dst} ({request.type})"
        dag_id, first = submission.dag_id, submission.pending[0]

        async def is_undone() -> bool:
            return bool(await self._undone(submission))

        async def withdraw_override() -> None:
            if dag_id == TRANSCODE_DAG:
                await run_sync(self._withdraw_override, first)

        await self._runs.ensure(dag_id, submission.run_id, conf, note, is_undone=is_undone, before_start=withdraw_override)

    def _keep_callbacks(self, submission: Submission) -> None:
        def keep(one: TranscodeRequest) -> None:
            about = {"bucket": one.bucket, "src": one.source_key, "dst": one.destination_key, "time": submission.request.time}
            job = Job.of(self._store, self._settings, one)
            callbacks.keep(job, submission.request.callback_url, submission.client, about)

        with ThreadPoolExecutor(_WRITES_AT_ONCE) as pool:
            list(pool.map(keep, submission.pending))

    def _withdraw_override(self, request: TranscodeRequest) -> None:
        # A dispatcher leaves one where it restarts a run for another request: the run would do that instead of its conf.
        withdraw(Job.of(self._store, self._settings, request))

    async def _undone(self, submission: Submission) -> set[str]:
        """Return the destinations that neither exist nor are in the making."""
        pending = submission.pending
        runs = await self._gateway.runs(TRANSCODE_DAG, [request.run_id for request in pending])

        def is_in_the_making(request: TranscodeRequest) -> bool:
            return request.run_id in runs and not runs[request.run_id].is_finished

        wanted = {request.destination_key for request in pending if not is_in_the_making(request)}
        return wanted - await run_sync(partial(existing_keys, self._store, submission.request.bucket, wanted))


def _work(conf: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conf.items() if name not in _ABOUT_THE_ASKER}
