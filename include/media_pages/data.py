"""What the pages poll and ask for, as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import PlainTextResponse, Response

from include.media_api.gateway import Run
from include.media_pages.actions import Actions
from include.media_pages.detail import Details
from include.media_pages.forms import forms
from include.media_pages.jobs import Filter, Jobs
from include.media_pages.login import Person
from include.media_pages.models import Job, JobPage, JobState, Viewer
from include.worker.subjects import Kind

__all__ = ["router"]

router = APIRouter(prefix="/data")
JOB = "/jobs/{dag_id}/{run_id}"


def _person(request: Request) -> Person:
    person: Person = request.state.person
    return person


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _actions(request: Request) -> Actions:
    actions: Actions = request.app.state.actions
    return actions


def _details(request: Request) -> Details:
    details: Details = request.app.state.details
    return details


WhoAsks = Annotated[Person, Depends(_person)]
TheJobs = Annotated[Jobs, Depends(_jobs)]
TheActions = Annotated[Actions, Depends(_actions)]
TheDetails = Annotated[Details, Depends(_details)]


async def _run(person: WhoAsks, jobs: TheJobs, dag_id: str, run_id: str) -> Run:
    return await jobs.find(person, dag_id, run_id)


TheRun = Annotated[Run, Depends(_run)]
Words = Annotated[str | None, Query(max_length=200)]


@router.get("/me")
async def read_me(person: WhoAsks) -> Viewer:
    """Tell who is logged in, and what they may do anywhere."""
    return Viewer(user=person.name, can_start=bool(person.dags("start")), can_change=bool(person.dags("change")))


@router.get("/jobs")
async def list_jobs(
    *,
    person: WhoAsks,
    jobs: TheJobs,
    state: Annotated[list[JobState] | None, Query()] = None,
    kind: Annotated[list[Kind] | None, Query()] = None,
    client: Words = None,
    provider: Words = None,
    q: Words = None,
    cursor: Words = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
) -> JobPage:
    """List jobs of all kinds, newest first."""
    wanted = Filter(frozenset(kind or ()), frozenset(state or ()), client or None, provider or None, (q or "").strip())
    return await jobs.page(person, wanted, limit=limit, cursor=cursor or None)


@router.get(JOB, response_class=Response)
async def read_job(request: Request, person: WhoAsks, details: TheDetails, dag_id: str, run_id: str) -> Response:
    """Tell all that is known of a job: a ``JobDetail``."""
    found = await _jobs(request).detail(person, details, dag_id, run_id, root=request.scope.get("root_path", ""))
    # As it is: of two hundred units, validation takes longer than all the rest.
    return Response(found.model_dump_json(), media_type="application/json")


@router.get(JOB + "/hls/{path:path}")
async def read_playlist(details: TheDetails, run: TheRun, path: str) -> PlainTextResponse:
    """Return a playlist of a job's output; its segments are named by addresses that are good for a while."""
    return PlainTextResponse(await details.playlist(run, path), media_type="application/vnd.apple.mpegurl")


@router.post(JOB + "/stop", status_code=202)
async def stop_job(person: WhoAsks, actions: TheActions, dag_id: str, run_id: str) -> Job:
    """Stop a job that waits or runs."""
    return await actions.stop(person, dag_id, run_id)


@router.post(JOB + "/retry", status_code=202)
async def retry_job(person: WhoAsks, actions: TheActions, dag_id: str, run_id: str) -> Job:
    """Start what has failed of a job, and what follows it, again."""
    return await actions.retry(person, dag_id, run_id)


@router.get("/forms")
async def read_forms(request: Request) -> dict[str, Any]:
    """Return the JSON schemas of new jobs' bodies."""
    return forms(request.app.state.services.settings)
