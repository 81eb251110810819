"""A transcoding task from file to files for tests: its units one after the other, and what lies at its targets."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.worker.execute import execute
from include.worker.job import Job, plan_unit
from include.worker.models import UnitResult
from include.worker.task_request import TaskReference, TaskRequest

__all__ = ["FileTask", "profile"]


def profile(*encodings: Encoding, **fields: Any) -> TaskProfile:
    """A profile of these encodings, or of one with these fields; the fastest preset."""
    return TaskProfile(profile_name="tested", encodings=encodings or (Encoding(**{"preset": "highPerformance"} | fields),))


@dataclass
class FileTask:
    """A task and all that is needed to run its units in this process."""

    store: ObjectStore
    settings: Settings
    profile: TaskProfile
    source: str
    names: Sequence[str] = ("out.mp4",)
    task_id: str = field(default_factory=lambda: str(uuid.uuid4().int)[:15])

    @property
    def folder(self) -> str:
        return f"dst/{self.task_id}/"

    @property
    def reference(self) -> TaskReference:
        return TaskReference(bucket=self.settings.bucket, client="tester", task_id=self.task_id)

    @property
    def job(self) -> Job:
        return Job.of(self.store, self.settings, self.reference)

    def write(self) -> None:
        """Write the request, as the API does."""
        targets = tuple(f"s3://{self.settings.bucket}/{self.folder}{name}" for name in self.names)
        request = TaskRequest(
            reference=self.reference,
            source_url=self.source,
            targets=targets,
            profile=self.profile,
            created_at=datetime.now(timezone.utc),
        )
        self.job.write_task(request)

    def run(self, unit: str) -> UnitResult:
        """Run one unit: plan, or what it has written."""
        made = plan_unit(self.reference) if unit == "plan" else self.job.unit_uri(unit)
        return execute(made, store=self.store, settings=self.settings)

    def plan(self) -> UnitResult:
        """Write the request and run the plan."""
        self.write()
        return self.run("plan")

    def all(self) -> list[UnitResult]:
        """Run everything up to the first failure; the results in order."""
        results = [self.plan()]
        for unit in [*(unit.id for unit in results[0].units), "finish"]:
            if results[-1].status != "done":
                break
            results.append(self.run(unit))
        return results

    def error(self) -> dict[str, Any]:
        """Run everything; the error that it ends with."""
        last = self.all()[-1]
        assert last.error is not None
        return last.error

    def fetch(self, folder: Path) -> dict[str, Path]:
        """Run everything and return what was published, by its name under the task's folder."""
        for result in self.all():
            assert result.status == "done", result.error
        return self.published(folder)

    def fetch_rest(self, folder: Path) -> dict[str, Path]:
        """Run what comes after the plan and return what was published, as :meth:`fetch` does."""
        plan = self.job.read_result("plan")
        assert plan is not None
        for unit in [*(unit.id for unit in plan.units), "finish"]:
            result = self.run(unit)
            assert result.status == "done", result.error
        return self.published(folder)

    def published(self, folder: Path) -> dict[str, Path]:
        """Download what lies in the task's folder."""
        found = {}
        for ref in self.store.list(self.settings.bucket, self.folder):
            path = folder / ref.key.removeprefix(self.folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.store.download(ref, path)
            found[ref.key.removeprefix(self.folder)] = path
        return found
