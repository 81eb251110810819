"""The list of jobs: Airflow's runs of all kinds, newest first, for whoever may see them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote

from include.errors import MediaError, NotFound
from include.media_api.gateway import Run, RunQuery, RunsOf, TaskState
from include.media_api.services import Services
from include.media_api.upload_service import UploadService
from include.media_pages.detail import Details
from include.media_pages.login import DAGS, Person
from include.media_pages.models import Job, JobDetail, JobPage, JobState
from include.media_pages.rows import Row, Rows
from include.media_pages.shared import Shared
from include.worker.subjects import Kind

__all__ = ["Filter", "Jobs", "NoMediaRun"]

# Browsers ask every second or two; what they see is at most so much older.
SHARED_SECONDS = 1.0
# Where the database cannot tell what is wanted, more is read: at most so many pages for one.
MOST_READS = 8

_KINDS: Mapping[Kind, tuple[RunsOf, ...]] = {
    "transcode": (RunsOf("transcode", of_tasks=False),),
    "super_resolution": (RunsOf("super_resolution"),),
    "task": (RunsOf("transcode", of_tasks=True), RunsOf("live")),
    "upload": (RunsOf("upload"),),
    "folder": (RunsOf("video_transcode"),),
    "ingest": (RunsOf("ingest_object"),),
}
# Of a live task that was stopped and closes its recordings, Airflow knows only that it runs.
_RUN_STATES: Mapping[JobState, tuple[str, ...]] = {
    "queued": ("queued",),
    "running": ("running",),
    "done": ("success",),
    "failed": ("failed",),
    "cancelled": ("failed", "running"),
}
_NO_TIME = datetime.fromtimestamp(0, timezone.utc)


class NoMediaRun(MediaError):
    """The run's DAG is none of ours."""

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


@dataclass(frozen=True)
class _Page:
    rows: tuple[Row, ...]
    cursor: str | None


class Jobs:
    """Reads runs as jobs; those who ask for the same within a second share a read."""

    def __init__(self, services: Services, uploads: UploadService) -> None:
        self._services = services
        self._rows = Rows(services, uploads)
        self._pages: Shared[tuple[RunQuery, frozenset[JobState], int, str | None], _Page] = Shared(SHARED_SECONDS)
        self._details: Shared[tuple[str, str, str], tuple[Row, JobDetail]] = Shared(SHARED_SECONDS)

    async def page(self, person: Person, wanted: Filter, *, limit: int, cursor: str | None) -> JobPage:
        """Return some of the jobs that ``person`` may see, newest first; raises ``ParameterError`` for a cursor that is none."""
        kinds: Collection[Kind] = wanted.kinds or _KINDS.keys()
        readable = person.dags("read")
        query = RunQuery(
            of=frozenset(of for kind in kinds for of in _KINDS[kind] if of.dag_id in readable),
            states=frozenset(name for state in wanted.states for name in _RUN_STATES[state]),
            client=wanted.client,
            content_provider=wanted.content_provider,
            text=wanted.text,
        )
        if not query.of:
            return JobPage(jobs=(), next=None)
        key = (query, wanted.states, limit, cursor)
        page = await self._pages(key, lambda: self._page(query, wanted.states, limit, cursor))
        return JobPage(jobs=tuple(_job(row, person) for row in page.rows), next=page.cursor)

    async def find(self, person: Person, dag_id: str, run_id: str) -> Run:
        """Return the run of a job that ``person`` may see, as it is now."""
        if dag_id not in DAGS:
            raise NoMediaRun("This run belongs to none of the media DAGs.")
        run = (await self._services.gateway.runs(dag_id, [run_id])).get(run_id) if person.may("read", dag_id) else None
        if run is None:
            raise NotFound("There is no such run.")
        return run

    async def tasks(self, run: Run) -> tuple[TaskState, ...]:
        """Return the task instances of a run."""
        return (await self._services.gateway.tasks(run.dag_id, [run.run_id])).get(run.run_id, ())

    async def one(self, person: Person, run: Run) -> Job:
        """Return the row of one job, as it is now."""
        return _job(await self._rows.one(run, await self.tasks(run)), person)

    async def detail(self, person: Person, details: Details, dag_id: str, run_id: str, *, root: str) -> JobDetail:
        """Return all that is known of a job that ``person`` may see; ``root`` is the path that the app is mounted at."""

        async def read() -> tuple[Row, JobDetail]:
            run = await self.find(person, dag_id, run_id)
            tasks = await self.tasks(run)
            row = await self._rows.one(run, tasks)
            return row, await details.job_detail(run, _job(row, person), tasks, root=root)

        if not person.may("read", dag_id):
            # Says which of the two it is.
            await self.find(person, dag_id, run_id)
        row, detail = await self._details((dag_id, run_id, root), read)
        # It may have been read for somebody else, who may do more, or less.
        rights = {name: value for name, value in _job(row, person) if name in {"can_stop", "can_retry"}}
        related = tuple(one for one in detail.related if person.may("read", one.dag_id))
        return detail.model_copy(update={**rights, "related": related})

    def forget(self) -> None:
        """Let everybody see what was just changed."""
        self._pages.forget()
        self._details.forget()

    async def _page(self, query: RunQuery, states: Collection[JobState], limit: int, cursor: str | None) -> _Page:
        rows: list[Row] = []
        for _ in range(MOST_READS):
            page = await self._services.gateway.find(query, limit=limit - len(rows), cursor=cursor)
            cursor = page.cursor
            rows += [row for row in await self._rows.of(page.runs) if not states or row.state in states]
            if cursor is None or len(rows) == limit:
                break
        return _Page(tuple(rows), cursor)


def _job(row: Row, person: Person) -> Job:
    run, subject = row.run, row.subject
    may_change = person.may("change", run.dag_id)
    return Job(
        dag_id=run.dag_id,
        run_id=run.run_id,
        kind=subject.kind,
        state=row.state,
        title=subject.title,
        destination=subject.destination,
        client=subject.client,
        content_provider=subject.content_provider,
        progress=row.progress,
        fps=row.fps,
        live=row.live,
        created_at=run.created_at or run.start_date or _NO_TIME,
        started_at=run.start_date,
        ended_at=run.end_date,
        error=row.error,
        run_path=f"/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}",
        can_stop=may_change and not run.is_finished and row.state != "cancelled",
        can_retry=may_change and run.is_finished and row.is_retryable,
    )
