"""Submitting: one run for the same work, however often and however simultaneously it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from anyio.to_thread import run_sync

from include.media_api import submission as submissions
from include.media_api.gateway import AirflowGateway
from include.media_api.submission import TRANSCODE_DAG, Submission
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.worker.models import TranscodeRequest
from include.worker.video_transcode import existing_keys

__all__ = ["Submitter"]

# What tells who asked, and not what is to be done.
_ABOUT_THE_ASKER = {"client", "content_provider", "contentprovider"}


class Submitter:
    """Starts the run of a submission, or joins the one that there is."""

    def __init__(self, settings: Settings, store: ObjectStore, gateway: AirflowGateway) -> None:
        self._settings = settings
        self._store = store
        self._gateway = gateway
        # Two clears of one run at a time would end the tasks that the first has started.
        self._restarting = asyncio.Lock()

    async def submit(self, submission: Submission) -> None:
        """Keep the submission and see that every pending video has a run, or will have; nothing pending, no run."""
        await run_sync(submissions.save, self._store, self._settings, submission)
        if not submission.pending:
            return
        request = submission.request
        if request.is_folder:
            conf = request.model_dump(mode="json") | {"client": submission.client}
        else:
            conf = submission.pending[0].model_dump(mode="json")
        note = f"{request.contentprovider or submission.client}: {request.src} to {request.dst} ({request.type})"
        run = (submission.dag_id, submission.run_id, conf, note)
        if not await self._gateway.trigger(*run):
            await self._join(submission, *run)

    async def _join(self, submission: Submission, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str) -> None:
        """Start a run again if it has finished and left something undone, such as after a failure."""
        async with self._restarting:
            run = (await self._gateway.runs(dag_id, [run_id])).get(run_id)
            if run is not None:
                if not run.is_finished or not await self._undone(submission):
                    return
                if _work(run.conf) == _work(conf):
                    await self._gateway.clear(dag_id, run_id)
                    return
                # A cleared run keeps its conf, which is not what is asked for now.
                await self._gateway.delete(dag_id, run_id)
            await self._gateway.trigger(dag_id, run_id, conf, note)

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
