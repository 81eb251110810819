"""The unit of a live run: a stop counts for the run that was stopped, and not for one that was started again since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.errors import Cancelled
from include.media_store.objects import S3ObjectStore
from include.orchestration.live import LiveRetryPolicy, job_of, live_unit
from include.settings import get_settings
from include.worker.execute import load_unit
from include.worker.job import Job
from include.worker.models import LiveTask
from tests.orchestration.fakes import context_of
from tests.servers import s3_server

NOW = datetime.now(timezone.utc)
BEFORE, AFTER = NOW - timedelta(days=1), NOW + timedelta(days=1)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    with s3_server() as server:
        monkeypatch.setenv("MEDIA_BUCKET", server.bucket)
        get_settings.cache_clear()
        found = job_of(conf())
        assert found is not None
        yield found
    get_settings.cache_clear()


def conf() -> dict[str, Any]:
    return {"bucket": get_settings().bucket, "client": "acme", "task_id": "3125", "source": "rtmp://a.example/live/***"}


def context(began: datetime) -> dict[str, Any]:
    found = context_of(conf=conf())
    found["dag_run"].start_date = began
    return found


def has_note(job: Job) -> bool:
    return job.store.head(job.bucket, job.cancelled_key) is not None


def decided(began: datetime) -> str:
    return LiveRetryPolicy().evaluate(Cancelled("It was stopped."), 1, 2, context(began)).action.value


def test_a_run_that_was_stopped_stays_so(job: Job) -> None:
    job.note_cancelled()
    unit = load_unit(S3ObjectStore(), live_unit(context(BEFORE)))
    assert isinstance(unit.task, LiveTask)
    assert has_note(job), "the unit ends for it"
    assert decided(BEFORE) == "fail"


def test_one_that_was_started_again_since_begins(job: Job) -> None:
    job.note_cancelled()
    assert decided(AFTER) == "retry"
    live_unit(context(AFTER))
    assert not has_note(job)
    live_unit(context(AFTER))
