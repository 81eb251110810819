"""The operator: what it tells Airflow of a unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from include.errors import InternalError, InvalidInputData, MediaError, TimedOut
from include.media_store.objects import S3ObjectStore
from include.orchestration.backends.local import LocalBackend
from include.orchestration.operators.work_unit import ERROR_KEY, METRICS_KEY, WorkUnitOperator
from include.settings import Settings
from include.worker.job import Job, plan_unit
from include.worker.models import TranscodeRequest
from tests.orchestration.fakes import FakeTaskInstance, context_of
from tests.servers import s3_server

UNIT = {"id": "video-00000", "bucket": "media", "key": "jobs/1/units/unit-video-00000.json", "label": "chunk 1/1"}


class FakeBackend:
    def __init__(self, result: Any, events: list[dict] | None = None) -> None:
        self.result, self.events, self.uris = result, events or [], []

    def run(self, uri: str, *, on_progress: Any, on_log: Any) -> Any:
        self.uris.append(uri)
        for event in self.events:
            on_progress(event)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def cancel(self) -> None:
        self.uris.append("cancelled")


def operator(backend: Any, **arguments: Any) -> WorkUnitOperator:
    task = WorkUnitOperator(task_id="encode", **(arguments or {"unit": UNIT}))
    object.__setattr__(task, "make_backend", lambda: backend)
    return task


def test_a_planned_unit_is_run_by_its_uri_and_its_numbers_are_kept() -> None:
    backend = FakeBackend({"status": "done", "metrics": {"frames": 50, "quality": {"hls0800k": 1}}, "reused": True})
    ti = FakeTaskInstance()
    assert operator(backend).execute(context_of(ti)) is None
    assert backend.uris == ["s3://media/jobs/1/units/unit-video-00000.json"]
    assert ti.pushed == {METRICS_KEY: {"frames": 50, "reused": True}}


def test_every_unit_of_a_group_is_run_though_it_was_planned_for_an_array_job_and_the_settings_have_left_batch_since() -> None:
    keys = [f"jobs/1/units/unit-video-{number:05d}.json" for number in range(3)]
    moment = "2026-01-01T00:00:00Z"
    result = {"unit_id": "video-00000", "status": "done", "fingerprint": "", "started_at": moment, "finished_at": moment}
    backend, ti = FakeBackend(result | {"metrics": {"frames": 50}}), FakeTaskInstance()
    operator(backend, unit=UNIT | {"keys": keys}).execute(context_of(ti))
    assert backend.uris == [f"s3://media/{key}" for key in keys]
    assert ti.pushed == {METRICS_KEY: {"frames": 150, "units": 3, "reused": False}}


def test_a_plan_returns_its_units_with_their_bucket() -> None:
    planned = {"id": "video-00000", "key": "k", "label": "chunk", "weight": 1.0}
    task = operator(FakeBackend({"status": "done", "units": [planned]}), make_unit=lambda context: "s3://media/unit-plan.json")
    assert task.execute(context_of()) == [planned | {"bucket": "media"}]


def test_progress_is_stored_at_once_and_then_not_too_often() -> None:
    events = [{"event": "progress", "done": n, "total": 90, "unit": "frames", "fps": 25.0} for n in range(20)]
    context = context_of()
    operator(FakeBackend({"status": "done"}, events)).execute(context)
    assert context["task_state_store"].written == [("progress", {"done": 0, "total": 90, "unit": "frames", "fps": 25.0})]


@pytest.mark.parametrize(
    ("error", "attempt", "final"),
    [
        pytest.param(InvalidInputData("It is cut off."), 1, True, id="cannot be retried"),
        pytest.param(InternalError("It was killed."), 1, False, id="will be retried"),
        pytest.param(InternalError("It was killed."), 3, True, id="last attempt"),
    ],
)
def test_an_error_is_raised_and_kept_for_the_report(error: MediaError, attempt: int, final: bool) -> None:
    ti = FakeTaskInstance(map_index=4, try_number=attempt)
    with pytest.raises(type(error)):
        operator(FakeBackend(error)).execute(context_of(ti))
    kept = ti.pushed[ERROR_KEY]
    assert (kept["code"], kept["message"], kept["final"]) == (error.code, error.message, final)
    assert (kept["task_id"], kept["map_index"]) == ("encode", 4)


def test_an_unexpected_error_is_kept_without_its_text() -> None:
    ti = FakeTaskInstance()
    with pytest.raises(ValueError, match="/secret/path"):
        operator(FakeBackend(ValueError("/secret/path"))).execute(context_of(ti))
    assert ti.pushed[ERROR_KEY]["code"] == "InternalError"
    assert "/secret/path" not in ti.pushed[ERROR_KEY]["message"]


def test_the_deadline_becomes_an_error_of_our_tree_that_names_its_setting() -> None:
    with pytest.raises(TimedOut, match="MEDIA_UNIT_TIMEOUT_SECONDS"):
        operator(FakeBackend(AirflowTaskTimeout("too long"))).execute(context_of())


def test_a_stopped_task_cancels_its_unit() -> None:
    task = operator(None)
    backend = FakeBackend({"status": "done"}, [{"done": 1, "total": 2, "unit": "frames"}])
    object.__setattr__(task, "make_backend", lambda: backend)
    context = context_of()
    context["task_state_store"].set = lambda key, value: task.on_kill()
    task.execute(context)
    task.on_kill()
    assert backend.uris == ["s3://media/jobs/1/units/unit-video-00000.json", "cancelled"]


def failed(index: int, code: str = "InvalidInputData", final: bool = True) -> dict[str, Any]:
    where = {"task_id": "encode", "map_index": index}
    return {"code": code, "message": "It is cut off.", "retryable": False, **where, "final": final, "at": 1.0}


@pytest.mark.parametrize(
    ("errors", "states", "starts"),
    [
        pytest.param([], {}, True, id="none has failed"),
        pytest.param([failed(0)], {"encode_0": "failed"}, False, id="one has failed for good"),
        pytest.param([failed(0, final=False)], {"encode_0": "up_for_retry"}, True, id="one is tried again"),
        pytest.param([failed(0)], {"encode_0": "queued"}, True, id="the failed one was cleared"),
        pytest.param([failed(3)], {"encode_3": "failed"}, True, id="it was this one"),
        pytest.param([failed(0, code="Cancelled")], {"encode_0": "failed"}, True, id="one did not start for another's sake"),
    ],
)
def test_a_unit_is_not_started_in_vain(errors: list, states: dict[str, str], starts: bool) -> None:
    backend = FakeBackend({"status": "done"})
    ti = FakeTaskInstance(map_index=3, xcoms={("encode", ERROR_KEY): errors}, states=states)
    if starts:
        operator(backend).execute(context_of(ti))
    else:
        with pytest.raises(AirflowFailException, match="InvalidInputData"):
            operator(backend).execute(context_of(ti))
        assert ti.pushed[ERROR_KEY]["code"] == "Cancelled"
    assert bool(backend.uris) is starts


def test_the_real_worker_reports_a_missing_source_as_an_error_not_to_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        monkeypatch.setenv("MEDIA_BUCKET", server.bucket)
        monkeypatch.setenv("MEDIA_CACHE_DIR", str(tmp_path))
        request = TranscodeRequest(bucket=server.bucket, source_key="none.mp4", folder="out/", name="none")
        settings = Settings(_env_file=None)
        job = Job.of(S3ObjectStore(settings), settings, request)
        unit = plan_unit(request)
        job.write_unit(unit)
        ti = FakeTaskInstance(task_id="plan")
        with pytest.raises(MediaError) as caught:
            operator(LocalBackend(), make_unit=lambda context: job.unit_uri(unit.id)).execute(context_of(ti))
        assert caught.value.code == "NotFound"
        assert not caught.value.retryable
        assert ti.pushed[ERROR_KEY]["final"]
