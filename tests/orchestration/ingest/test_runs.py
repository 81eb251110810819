"""The runs of ingest, through a task's channel to Airflow, which is replaced."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from include.media_store.objects import S3ObjectStore
from include.orchestration import override, super_resolution
from include.orchestration.ingest import runs as module
from include.orchestration.ingest.runs import TaskIngestRuns
from include.orchestration.submit import Run
from include.settings import Settings
from include.worker.job import Job
from include.worker.requests import SuperResolutionRequest

ENDED = datetime(2026, 11, 21, tzinfo=timezone.utc)


def test_a_failed_upscaling_is_restarted_for_what_is_asked_for_now(
    bucket: str, s3_connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, store = Settings(bucket=bucket, work_prefix=f"{uuid.uuid4().hex[:8]}/"), S3ObjectStore(client=s3_connection)
    monkeypatch.setattr(override, "job_for", lambda request: Job.of(store, settings, request))
    for room in (module, super_resolution):
        monkeypatch.setattr(room, "job_for", override.job_for)
    before = SuperResolutionRequest(bucket=bucket, key="in/a.mp4", output_folder="out/", segment_time=60)
    now = before.model_copy(update={"segment_time": 30.0})
    conf = before.model_dump(mode="json")
    cleared: list[str] = []

    class FakeTaskRuns:
        def __init__(self, dag_id: str) -> None:
            assert dag_id == "super_resolution"

        def get(self, run_id: str) -> Run:
            return Run("failed", conf, ENDED)

        def start(self, run_id: str, conf: Any, note: str, *, again: bool = False) -> bool:
            cleared.append(run_id)
            return again

    monkeypatch.setattr(module, "TaskRuns", FakeTaskRuns)
    runs = TaskIngestRuns()
    assert runs.start("super_resolution", now.run_id, now.model_dump(mode="json"), "", again=True)
    assert cleared == [now.run_id]
    found = runs.read("super_resolution", now.run_id)
    assert (found.state, found.conf, found.ended_at) == ("failed", now.model_dump(mode="json"), ENDED)
    context = {"params": {}, "dag_run": SimpleNamespace(run_id=now.run_id, conf=conf)}
    assert super_resolution.request_of(context) == now

    assert runs.start("super_resolution", now.run_id, conf, "", again=True)
    assert super_resolution.request_of(context) == before
