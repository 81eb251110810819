"""Stopping and retrying jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import run_sync
from pydantic import ValidationError

from include.errors import AccessDenied, Conflict, NotFound
from include.media_api.gateway import Run
from include.media_api.services import Services
from include.media_api.submit import RunStarter
from include.media_api.task_status import end_run, settled
from include.media_api.upload_service import UPLOAD_DAG, UploadService
from include.media_pages.documents import job_of
from include.media_pages.jobs import Jobs
from include.media_pages.login import Person
from include.media_pages.models import Job
from include.uploads.models import UploadReference
from include.worker import job as documents
from include.worker.subjects import kind_of

__all__ = ["Actions"]


class Actions:
    """What the buttons of the pages do, in the name of the user whose request it is."""

    def __init__(self, services: Services, uploads: UploadService, jobs: Jobs, runs: RunStarter) -> None:
        self._services = services
        self._gateway = services.gateway
        self._uploads = uploads
        self._jobs = jobs
        self._runs = runs

    async def stop(self, person: Person, dag_id: str, run_id: str) -> Job:
        """Stop a job that waits or runs, as its contract does it."""
        async with self._runs.alone(run_id):
            run = await self._changeable(person, dag_id, run_id)
            if run.is_finished:
                raise Conflict("The job has ended already.")
            if kind_of(dag_id, run.conf) == "task":
                await self._stop_task(run)
            elif dag_id == UPLOAD_DAG:
                await self._abort_upload(run)
            else:
                await self._gateway.stop(dag_id, run_id)
        return await self._now(person, dag_id, run_id)

    async def retry(self, person: Person, dag_id: str, run_id: str) -> Job:
        """Start what is not done of a job again, and what follows that; what is done is not done again."""
        # Who comes second finds a run that is at work: to clear it again would end what the first has started.
        async with self._runs.alone(run_id):
            run = await self._changeable(person, dag_id, run_id)
            if not (await self._jobs.one(person, run)).can_retry:
                raise Conflict("Only a job that has failed, or was stopped, can be retried.")
            if kind_of(dag_id, run.conf) == "task" and (job := self._job_of(run)) is not None:
                async with self._note_restored(job):
                    # Else it would be told as cancelled, and a live one would end at once.
                    await run_sync(job.store.delete, job.bucket, job.cancelled_key)
                    await self._clear(run)
            else:
                await self._clear(run)
        return await self._now(person, dag_id, run_id)

    async def _clear(self, run: Run) -> None:
        # Tasks that were stopped before they began are skipped, and follow none that has failed.
        undone = [(task.task_id, task.map_index) for task in await self._jobs.tasks(run) if task.state != "success"]
        if run.dag_id == UPLOAD_DAG or not undone:
            # The first task of an upload's run makes it one that is at work.
            await self._gateway.clear(run.dag_id, run.run_id)
        else:
            await self._gateway.clear_tasks(run.dag_id, run.run_id, undone)

    async def _stop_task(self, run: Run) -> None:
        """Stop a task of contract 3: its client is told that it is cancelled."""
        job = self._job_of(run)
        if job is None:
            await self._gateway.stop(run.dag_id, run.run_id)
            return
        async with self._note_restored(job):
            if await run_sync(settled, job, run) is not None:
                raise Conflict("The job has ended already.")
            await run_sync(job.note_cancelled)
            await end_run(self._gateway, run.dag_id, run)

    @asynccontextmanager
    async def _note_restored(self, job: documents.Job) -> AsyncIterator[None]:
        """Put the note that a job was stopped back as it was, or was not, where what is done meanwhile fails."""
        before = await run_sync(_note_of, job)
        try:
            yield
        except Exception:
            if before is None:
                await run_sync(job.store.delete, job.bucket, job.cancelled_key)
            else:
                await run_sync(job.store.put_bytes, job.bucket, job.cancelled_key, before)
            raise

    async def _abort_upload(self, run: Run) -> None:
        """End an upload as contract 4 does: its parts are removed."""
        try:
            reference = UploadReference.model_validate(run.conf)
        except ValidationError:
            await self._gateway.stop(run.dag_id, run.run_id)
            return
        await self._uploads.abort(reference.client, reference.atom_id, reference.upload_id)

    def _job_of(self, run: Run) -> documents.Job | None:
        return job_of(self._services.store, self._services.settings, run.dag_id, run.conf)

    async def _changeable(self, person: Person, dag_id: str, run_id: str) -> Run:
        run = await self._jobs.find(person, dag_id, run_id)
        if not person.may("change", dag_id):
            raise AccessDenied("Airflow does not let you change runs of this DAG.")
        return run

    async def _now(self, person: Person, dag_id: str, run_id: str) -> Job:
        self._jobs.forget()
        return await self._jobs.one(person, await self._jobs.find(person, dag_id, run_id))


def _note_of(job: documents.Job) -> bytes | None:
    try:
        return job.store.get_bytes(job.bucket, job.cancelled_key)
    except NotFound:
        return None
