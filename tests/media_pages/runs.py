"""Runs without Airflow for tests: the real units of a job, one task after the other, and the states that Airflow would tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

from include.media_api.gateway import Run, TaskState
from include.media_api.services import Services
from include.media_api.upload_service import UploadService
from include.media_pages.detail import Details
from include.media_pages.models import Job, JobDetail, JobState
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.uploads.registry import Uploads
from include.worker.execute import execute
from include.worker.job import Job as WorkJob
from include.worker.job import plan_unit, split_unit
from include.worker.media import MediaTools
from include.worker.models import (
    Outcome,
    SuperResolutionRequest,
    TranscodeRequest,
    UnitResult,
    UnitSummary,
    WorkUnit,
)
from include.worker.subjects import kind_of, subject_of
from include.worker.task_request import TaskReference
from tests.media_api.fakes import FakeAirflow
from tests.uploads.memory import MemoryTable

__all__ = ["Desk", "RealRun", "now"]

_STATES: Mapping[str, JobState] = {"queued": "queued", "running": "running", "success": "done", "failed": "failed"}
_FANS_OUT = {"transcode": "encode", "super_resolution": "upscale"}


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class Desk:
    """The details of one app, with an Airflow in memory."""

    store: ObjectStore
    settings: Settings
    airflow: FakeAirflow = field(default_factory=FakeAirflow)
    table: MemoryTable = field(default_factory=MemoryTable)

    def __post_init__(self) -> None:
        services = Services(self.settings, self.store, self.airflow)
        none: Any = None
        self.uploads = UploadService(self.settings, Uploads(self.table), self.store, none, none, self.airflow)
        self.details = Details(services, self.uploads)

    def row(self, run: Run, state: JobState | None = None, error: str | None = None) -> Job:
        """Return the row of the list."""
        kind = kind_of(run.dag_id, run.conf)
        assert kind is not None
        subject = subject_of(kind, run.run_id, run.conf)
        state = state or _STATES[run.state]
        return Job(
            dag_id=run.dag_id,
            run_id=run.run_id,
            kind=kind,
            state=state,
            title=subject.title,
            destination=subject.destination,
            client=subject.client,
            content_provider=subject.content_provider,
            progress=100 if state == "done" else None,
            created_at=run.created_at or now(),
            started_at=run.start_date,
            ended_at=run.end_date,
            error=error,
            run_path=f"/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}",
            can_stop=state in {"queued", "running"},
            can_retry=state in {"failed", "cancelled"},
        )

    def detail(self, run: Run, tasks: tuple[TaskState, ...], **row: Any) -> JobDetail:
        return asyncio.run(self.details.job_detail(run, self.row(run, **row), tasks, root="/media"))

    def playlist(self, run: Run, path: str) -> str:
        # As it is now, however fast a test is.
        self.details.playlists.forget()
        return asyncio.run(self.details.playlist(run, path))


@dataclass
class RealRun:
    """A run of a transcode, a task from file to files, or a super-resolution."""

    desk: Desk
    request: TranscodeRequest | SuperResolutionRequest | TaskReference
    media: MediaTools | None = None
    state: str = "running"
    tasks: dict[tuple[str, int], TaskState] = field(default_factory=dict)
    units: tuple[UnitSummary, ...] = ()
    begun: datetime = field(default_factory=now)
    ended: datetime | None = None

    @property
    def dag_id(self) -> str:
        return "super_resolution" if isinstance(self.request, SuperResolutionRequest) else "transcode"

    @property
    def run(self) -> Run:
        conf = self.request.model_dump(mode="json")
        return Run(
            self.request.run_id,
            self.state,
            conf,
            self.begun if self.state != "queued" else None,
            self.ended,
            dag_id=self.dag_id,
            created_at=self.begun - timedelta(seconds=1),
        )

    @property
    def job(self) -> WorkJob:
        return WorkJob.of(self.desk.store, self.desk.settings, self.request)

    def detail(self, **row: Any) -> JobDetail:
        return self.desk.detail(self.run, tuple(self.tasks.values()), **row)

    # -- tasks

    def first(self) -> UnitResult:
        """Plan or split."""
        if isinstance(self.request, SuperResolutionRequest):
            result = self._work("split", split_unit(self.request))
        else:
            result = self._work("plan", plan_unit(self.request))
        self.units = result.units
        name = _FANS_OUT[self.dag_id]
        for index in range(len(self.units)):
            self.tasks[name, index] = TaskState(name, index, None)
        return result

    def unit(self, index: int) -> UnitResult:
        """Run a unit."""
        return self._work(_FANS_OUT[self.dag_id], self.job.unit_uri(self.units[index].id), index)

    def begin_unit(self, index: int, **event: Any) -> None:
        """Let a unit be at work."""
        name = _FANS_OUT[self.dag_id]
        self.tasks[name, index] = TaskState(name, index, "running", event.pop("fraction", 0.0), event, now(), None, 1)

    def last(self) -> UnitResult:
        """Finish or merge."""
        name = "merge" if self.dag_id == "super_resolution" else "finish"
        return self._work(name, self.job.unit_uri(name))

    def all(self) -> RealRun:
        """Run everything, and the report."""
        assert self.first().error is None
        for index in range(len(self.units)):
            assert self.unit(index).error is None
        result = self.last()
        assert result.error is None, result.error
        self.end()
        return self

    def end(self, error: dict[str, Any] | None = None) -> None:
        """Let the report run: the run is over."""
        started = now()
        outcome = Outcome(
            state="failed" if error else "done",
            error=error,
            run_id=self.request.run_id,
            finished_at=started.replace(microsecond=0),
            metrics={"cpu_seconds": 12.5, "wall_seconds": 20.0, "run_seconds": 7.0},
        )
        self.job.write_outcome(outcome)
        for key, task in self.tasks.items():
            if task.state is None:
                self.tasks[key] = replace(task, state="upstream_failed")
        self.tasks["report", -1] = TaskState("report", -1, "failed" if error else "success", 0.0, {}, started, now(), 1)
        self.state, self.ended = ("failed" if error else "success"), now()

    def again(self) -> None:
        """Let somebody start the whole run again."""
        self.state, self.ended, self.tasks, self.begun = "running", None, {}, now()

    def _work(self, task_id: str, unit: WorkUnit | str, index: int = -1) -> UnitResult:
        started = now()
        before = self.tasks.get((task_id, index))
        result = execute(unit, store=self.desk.store, settings=self.desk.settings, media=self.media)
        state = "success" if result.status == "done" else "failed"
        attempt = 1 + (before.try_number if before else 0)
        self.tasks[task_id, index] = TaskState(task_id, index, state, 0.0, {}, started, now(), attempt)
        return result
