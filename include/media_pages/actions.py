"""Stopping and retrying jobs, each in the name of the user who asks for it."""

from __future__ import annotations

from include.errors import AccessDenied, MediaError
from include.media_api.gateway import Run, TaskState
from include.media_api.services import Services
from include.media_api.upload_service import UploadService
from include.media_pages.jobs import Jobs
from include.media_pages.login import Person
from include.media_pages.models import Job

__all__ = ["Actions", "Conflict"]

_FAILED = {"failed", "upstream_failed"}


class Conflict(MediaError):
    """The job is in a state in which this cannot be done."""

    code = "Conflict"
    http_status = 409


class Actions:
    """What the buttons of the pages do."""

    def __init__(self, services: Services, uploads: UploadService, jobs: Jobs) -> None:
        self._services = services
        self._uploads = uploads
        self._jobs = jobs

    async def stop(self, person: Person, dag_id: str, run_id: str) -> Job:
        """Stop a job that waits or runs."""
        run = await self._changeable(person, dag_id, run_id)
        if run.is_finished:
            raise Conflict("The job has ended already.")
        await self._services.gateway.in_name_of(person.token).stop(dag_id, run_id)
        return await self._now(person, dag_id, run_id)

    async def retry(self, person: Person, dag_id: str, run_id: str) -> Job:
        """Start what has failed of a job, and what follows it, again."""
        run = await self._changeable(person, dag_id, run_id)
        if run.state != "failed":
            raise Conflict("Only a job that has failed or was stopped can be retried.")
        gateway = self._services.gateway.in_name_of(person.token)
        failed = [_key(task) for task in await self._jobs.tasks(run) if task.state in _FAILED]
        if failed:
            await gateway.clear_tasks(dag_id, run_id, failed)
        else:
            await gateway.clear(dag_id, run_id)
        return await self._now(person, dag_id, run_id)

    async def _changeable(self, person: Person, dag_id: str, run_id: str) -> Run:
        run = await self._jobs.find(person, dag_id, run_id)
        if not person.may("change", dag_id):
            raise AccessDenied("Airflow does not let you change runs of this DAG.")
        return run

    async def _now(self, person: Person, dag_id: str, run_id: str) -> Job:
        run = await self._jobs.find(person, dag_id, run_id)
        return self._jobs.row(person, run, ())


def _key(task: TaskState) -> tuple[str, int]:
    return task.task_id, task.map_index
