"""A super-resolution run's first unit, its job, and the transcode that may follow it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.errors import NotFound, ParameterError
from include.media_store.models import ObjectRef
from include.media_store.objects import S3ObjectStore
from include.orchestration import super_resolution as module
from include.orchestration.override import job_for, override
from include.orchestration.report import ReportOperator
from include.orchestration.super_resolution import is_current, job_of, merge_unit, split_unit, start_ladder
from include.settings import get_settings
from include.worker.execute import load_unit
from include.worker.job import finish_unit
from include.worker.models import Output, SplitTask, SuperResolutionRequest, TranscodeRequest, UnitResult
from tests.orchestration.fakes import FakeTaskInstance, context_of
from tests.servers import s3_server


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3ObjectStore]:
    with s3_server() as server:
        monkeypatch.setenv("MEDIA_BUCKET", server.bucket)
        get_settings.cache_clear()
        yield S3ObjectStore()
    get_settings.cache_clear()


def conf(**fields: Any) -> dict[str, Any]:
    return {"bucket": get_settings().bucket, "key": "in/a.mp4", **fields}


def test_the_first_unit_is_written_from_the_runs_parameters(store: S3ObjectStore) -> None:
    unit = load_unit(store, split_unit(context_of(conf=conf(scale="4", segment_time="30"))))
    assert isinstance(unit.task, SplitTask)
    assert (unit.task.request.scale, unit.task.request.segment_time) == (4, 30)
    assert merge_unit(context_of(conf=conf(scale=4))).endswith("units/unit-merge.json")


@pytest.mark.parametrize(
    ("fields", "error", "name"),
    [
        ({"scale": 3}, ParameterError, "scale: "),
        ({"key": "a/"}, ParameterError, "key: "),
        ({"nonsense": 1}, ParameterError, "nonsense: "),
        ({"bucket": "someone-elses"}, NotFound, "bucket: "),
    ],
    ids=["scale", "key", "unknown", "bucket"],
)
def test_wrong_parameters_are_named(store: S3ObjectStore, fields: dict[str, Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        split_unit(context_of(conf=conf(**fields)))


def test_a_job_is_known_even_where_other_parameters_are_wrong(store: S3ObjectStore) -> None:
    known, wrong = job_of(conf()), job_of(conf(task="nonsense"))
    assert known is not None
    assert wrong is not None
    assert known.job_id == wrong.job_id
    assert job_of({"key": "in/a.mp4"}) is None
    assert job_of(conf(bucket="someone-elses")) is None


def test_the_ladder_is_started_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, store: S3ObjectStore) -> None:
    submitted: list[TranscodeRequest] = []
    monkeypatch.setattr(module, "submit", lambda requests, runs, is_done: submitted.extend(requests))
    start_ladder(context_of(conf=conf()))
    assert submitted == []
    start_ladder(context_of(conf=conf(ladder="m3u8", client="ott")))
    assert [(one.source_key, one.destination_key, one.client) for one in submitted] == [
        ("in/a_x2.mp4", "in/a_x2/a_x2.m3u8", "ott")
    ]


def test_the_ladder_that_was_asked_for_while_the_run_was_at_work_is_started(
    monkeypatch: pytest.MonkeyPatch, store: S3ObjectStore
) -> None:
    submitted: list[TranscodeRequest] = []
    monkeypatch.setattr(module, "submit", lambda requests, runs, is_done: submitted.extend(requests))
    request = SuperResolutionRequest(**conf())
    override(request.model_copy(update={"ladder": "mp4"}), replaces=conf())
    start_ladder(context_of(conf=conf(), run_id=request.run_id))
    assert [one.destination_key for one in submitted] == ["in/a_x2/a_x2.mp4"]


def finished(source: ObjectRef, output: ObjectRef) -> UnitResult:
    return UnitResult(
        unit_id="finish",
        status="done",
        fingerprint="",
        outputs=(Output(name="entry", ref=output),),
        metrics={"source_etag": source.etag},
        started_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        finished_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    )


def test_a_ladder_of_an_older_result_is_not_current_though_the_new_one_is_planned(store: S3ObjectStore) -> None:
    bucket = get_settings().bucket
    request = TranscodeRequest(bucket=bucket, source_key="in/a_x2.mp4", folder="in/a_x2/", name="a_x2")
    job = job_for(request)
    assert not is_current(request)
    source = store.put_bytes(bucket, request.source_key, b"large")
    job.write_unit(finish_unit(request, source, ()))
    output = store.put_bytes(bucket, request.destination_key, b"#EXTM3U")
    assert not is_current(request), "it is planned, and not made"
    job.write_result(finished(source, output))
    assert is_current(request)
    replaced = store.put_bytes(bucket, request.source_key, b"larger")
    assert not is_current(request)
    job.write_unit(finish_unit(request, replaced, ()))
    assert not is_current(request), "what is there was made of the source before"
    job.write_result(finished(replaced, output))
    assert is_current(request)
    store.delete(bucket, request.destination_key)
    assert not is_current(request), "there is no output"


@pytest.mark.parametrize(("state", "followed"), [("success", True), ("failed", False)])
def test_only_a_run_that_has_succeeded_is_followed_up(state: str, followed: bool) -> None:
    seen: list[Any] = []
    operator = ReportOperator(task_id="report", work=["split", "merge"], job_of=lambda conf: None, follow_up=seen.append)
    context = context_of(FakeTaskInstance(states={"merge": state}))
    if followed:
        operator.execute(context)
    else:
        with pytest.raises(AirflowFailException):
            operator.execute(context)
    assert bool(seen) is followed
