"""The list of jobs: Airflow's runs of all kinds, newest first, with what the work documents add."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote

from include.errors import MediaError, NotFound
from include.media_api.gateway import Run, RunQuery, RunsOf, TaskState
from include.media_api.progress import SUPER_RESOLUTION, TRANSCODE, percent
from include.media_api.services import Services
from include.media_api.upload_service import UploadService
from include.media_pages.login import DAGS, Person
from include.media_pages.models import Job, JobPage, JobState
from include.worker.subjects import Kind, kind_of, subject_of

__all__ = ["Filter", "Jobs", "NoMediaRun"]

_KINDS: Mapping[Kind, tuple[RunsOf, ...]] = {
    "transcode": (RunsOf("transcode", of_tasks=False),),
    "super_resolution": (RunsOf("super_resolution"),),
    "task": (RunsOf("transcode", of_tasks=True), RunsOf("live")),
    "upload": (RunsOf("upload"),),
    "folder": (RunsOf("video_transcode"),),
    "ingest": (RunsOf("ingest_object"),),
}
_STATES: dict[str, JobState] = {"queued": "queued", "running": "running", "success": "done", "failed": "failed"}
_OF_KINDS: Mapping[Kind, tuple[RunsOf, ...]] = {
    "transcode": (RunsOf("transcode", of_tasks=False),),
    "super_resolution": (RunsOf("super_resolution"),),
    "task": (RunsOf("transcode", of_tasks=True), RunsOf("live")),
    "upload": (RunsOf("upload"),),
    "folder": (RunsOf("video_transcode"),),
    "ingest": (RunsOf("ingest_object"),),
}
_STATES: dict[JobState, str] = {
    "queued": "queued",
    "running": "running",
    "done": "success",
    "failed": "failed",
    "cancelled": "failed",
}
_NO_TIME = datetime.fromtimestamp(0, timezone.utc)


class NoMediaRun(MediaError):
    """The run exists, perhaps, but its DAG is none of ours."""

    code = "NoMediaRun"
    http_status = 422


@dataclass(frozen=True)
class Filter:
    """Which jobs a list has; what is empty does not matter."""

    kinds: frozenset[Kind] = frozenset()
    states: frozenset[JobState] = frozenset()
    client: str | None = None
    content_provider: str | None = None
    text: str = ""


class Jobs:
    """Reads runs as jobs."""

    def __init__(self, services: Services, uploads: UploadService) -> None:
        self._services = services
        self._uploads = uploads

    async def page(self, person: Person, wanted: Filter, *, limit: int, cursor: str | None) -> JobPage:
        """Return some of the jobs that ``person`` may see, newest first."""
        kinds: Collection[Kind] = wanted.kinds or _KINDS.keys()
        readable = person.dags()
        query = RunQuery(
            of=frozenset(of for kind in kinds for of in _KINDS[kind] if of.dag_id in readable),
            states=frozenset(_OF_STATES[state] for state in wanted.states),
            client=wanted.client,
            content_provider=wanted.content_provider,
            text=wanted.text,
        )
        if not query.of:
            return JobPage(jobs=(), next=None)
        page = await self._services.gateway.find(query, limit=limit, cursor=cursor)
        tasks: dict[tuple[str, str], tuple[TaskState, ...]] = {}
        for dag_id in sorted({run.dag_id for run in page.runs if run.state == "running"}):
            ids = [run.run_id for run in page.runs if run.dag_id == dag_id and run.state == "running"]
            found = await self._services.gateway.tasks(dag_id, ids)
            tasks |= {(dag_id, run_id): states for run_id, states in found.items()}
        rows = [self.row(person, run, tasks.get((run.dag_id, run.run_id), ())) for run in page.runs]
        shown = [row for row in rows if not wanted.states or row.state in wanted.states]
        return JobPage(jobs=tuple(shown), next=page.cursor)

    async def find(self, person: Person, dag_id: str, run_id: str) -> Run:
        """Return the run of a job that ``person`` may see."""
        if dag_id not in DAGS:
            raise NoMediaRun("This run belongs to none of the media DAGs.")
        run = (await self._services.gateway.runs(dag_id, [run_id])).get(run_id) if person.may("read", dag_id) else None
        if run is None:
            raise NotFound("There is no such run.")
        return run

    async def tasks(self, run: Run) -> tuple[TaskState, ...]:
        """Return the task instances of a run."""
        return (await self._services.gateway.tasks(run.dag_id, [run.run_id])).get(run.run_id, ())

    def row(self, person: Person, run: Run, tasks: Sequence[TaskState]) -> Job:
        """Return one row."""
        kind = kind_of(run.dag_id, run.conf)
        if kind is None:
            raise NoMediaRun("This run belongs to none of the media DAGs.")
        subject = subject_of(kind, run.run_id, run.conf)
        state = _STATES.get(run.state, "queued")
        steps = SUPER_RESOLUTION if kind == "super_resolution" else TRANSCODE
        may_change = person.may("change", run.dag_id)
        return Job(
            dag_id=run.dag_id,
            run_id=run.run_id,
            kind=kind,
            state=state,
            title=subject.title,
            destination=subject.destination,
            client=subject.client,
            content_provider=subject.content_provider,
            progress=percent(tasks, steps=steps) if state == "running" else 100 if state == "done" else None,
            created_at=run.created_at or run.start_date or _NO_TIME,
            started_at=run.start_date,
            ended_at=run.end_date,
            run_path=f"/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}",
            can_stop=may_change and state in {"queued", "running"},
            can_retry=may_change and state in {"failed", "cancelled"},
        )
