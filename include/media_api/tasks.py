"""Contract 3, Task/Transcoding: one source, one profile, several targets."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query

from include.errors import InternalError, MediaError
from include.media_api import task_create, task_status
from include.media_api.profiles import TablesDependency
from include.media_api.services import ServicesDependency, body_documentation, json_body
from include.media_api.signing import SignedClient
from include.media_api.task_models import NewTask, TaskCreated, TaskList, TaskStatus, TaskStatusName
from include.media_api.task_paths import TASKS, Version, answers
from include.worker.task_request import task_run_prefix

__all__ = ["router"]

router = APIRouter(tags=["tasks"], dependencies=[Depends(Version)])

# Of a run that has told its end but not ended yet, Airflow knows only that it runs.
_RUN_STATES = {
    TaskStatusName.PENDING: ("queued",),
    TaskStatusName.RUNNING: ("running",),
    TaskStatusName.SUCCESS: ("success", "running"),
    TaskStatusName.FAILED: ("failed", "running"),
    TaskStatusName.CANCELLED: ("failed", "running"),
}


@router.post(TASKS, responses=answers(400, 413), openapi_extra=body_documentation(NewTask))
async def create(
    client: SignedClient,
    services: ServicesDependency,
    tables: TablesDependency,
    body: Annotated[NewTask, Depends(json_body(NewTask))],
) -> TaskCreated:
    """Create a task; the same request again, while it waits or runs or once it is done, is the same task."""
    wanted = await run_sync(task_create.check, body, client, services, tables)
    return TaskCreated(task_id=await task_create.start(services, wanted))


@router.get(TASKS, responses=answers(400))
async def list_tasks(
    client: SignedClient,
    services: ServicesDependency,
    limit: Annotated[int, Query(ge=1, le=100, description="Most tasks of the answer.")] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="As the answer before had it.")] = None,
    status: Annotated[TaskStatusName | None, Query(description="Only tasks of this status; a page may have fewer then.")] = None,
) -> TaskList:
    """List the client's tasks, newest first; there are more while the answer has a `cursor`."""
    states = _RUN_STATES[status] if status else ()
    await services.starts.settle(task_run_prefix(client))
    page = await services.gateway.page(task_run_prefix(client), states=states, limit=limit, cursor=cursor)
    tasks = await task_status.statuses(services, await task_status.load_all(services, client, page.runs))
    return TaskList(tasks=tuple(task for task in tasks if status in (None, task.task_status)), cursor=page.cursor)


@router.get(TASKS + "/{task_id}", responses=answers())
async def show(client: SignedClient, services: ServicesDependency, task_id: str) -> TaskStatus:
    """Tell what has become of a task; only to the client that has created it."""
    (task,) = await task_status.statuses(services, [await task_status.load(services, client, task_id)])
    return task


@router.delete(TASKS + "/{task_id}", responses=answers())
async def stop(client: SignedClient, services: ServicesDependency, task_id: str) -> TaskStatus:
    """Stop a task that waits or runs; one that is over stays as it is."""
    known = await task_status.load(services, client, task_id)
    if known.is_starting:
        await services.starts.finish(known.run_id)
        known = await task_status.load(services, client, task_id)
        if known.is_starting:
            raise InternalError("The task cannot be stopped while it is being started; please try again.")
    (task,) = await task_status.statuses(services, [known])
    run, job = known.run, task_status.job_of(services, known.request)
    if run is None or run.is_finished or await run_sync(task_status.settled, job, run) is not None:
        return task
    is_told_of = task.task_status is TaskStatusName.CANCELLED
    if not is_told_of:
        await run_sync(job.note_cancelled)
    try:
        await task_status.end_run(services.gateway, task_status.dag_of(known.request), run)
    except MediaError:
        # It goes on, and the client is told so: then it must not look stopped once it is done. The note of an earlier request,
        # which was told that the task is stopped, stays: a live unit may not have seen it yet.
        if not is_told_of:
            await run_sync(services.store.delete, job.bucket, job.cancelled_key)
        raise
    return await show(client, services, task_id)
