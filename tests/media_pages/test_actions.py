"""Stop and retry: in whose name, and what each contract makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from include.errors import NotFound, StorageDenied
from include.media_api.gateway import TaskState
from include.media_api.services import Services
from include.media_api.submit import RunStarter
from include.media_api.upload_service import UploadService
from include.media_pages.actions import Actions
from include.media_pages.jobs import Jobs
from include.settings import Settings
from include.worker.models import Outcome
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.media_pages.fakes import COOKIE, person
from tests.media_pages.test_jobs import FILM, NOW, OLD, STREAM, TASK, begin, rows
from tests.uploads.memory import an_upload


def act(client: TestClient, action: str, dag_id: str, run_id: str, status: int = 202) -> dict[str, Any]:
    answer = client.post(f"/media/data/jobs/{dag_id}/{run_id}/{action}")
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(*_: Any, **__: Any) -> Any:
    raise StorageDenied("Cannot read s3://media/x: the object store refuses our credentials (AccessDenied).")


def note(store: MemoryStore, reference: Any, at: datetime = NOW) -> str:
    key = f"_reelflow/jobs/{reference.job_id}/cancelled.json"
    store.add(key, data=json.dumps({"at": at.isoformat()}).encode())
    return key


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_job_is_stopped_in_the_users_name(ada: TestClient, airflow: FakeAirflow, state: str) -> None:
    begin(airflow, "super_resolution", OLD.run_id, OLD, state)
    assert rows(ada)[0]["can_stop"] is True
    assert act(ada, "stop", "super_resolution", OLD.run_id)["can_stop"] is False
    assert airflow.tokens == ["token-of-ada"]
    # What was read before is shown to nobody.
    assert rows(ada)[0]["state"] == "failed"


def test_what_airflow_refuses_is_refused(ada: TestClient, airflow: FakeAirflow) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "running")
    airflow.powerless = {"token-of-ada"}
    assert "message" in act(ada, "stop", "transcode", FILM.run_id, 403)


@pytest.mark.parametrize(
    ("action", "state"), [("stop", "success"), ("stop", "failed"), ("retry", "success"), ("retry", "running")]
)
def test_what_cannot_be_done_is_told(ada: TestClient, airflow: FakeAirflow, action: str, state: str) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, state)
    assert "message" in act(ada, action, "transcode", FILM.run_id, 409)
    assert airflow.tokens == []


def test_a_stopped_task_of_contract_3_is_cancelled(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "transcode", TASK.run_id, TASK, "running")
    assert act(ada, "stop", "transcode", TASK.run_id)["state"] == "cancelled"
    assert f"_reelflow/jobs/{TASK.job_id}/cancelled.json" in store.objects["media"]
    assert airflow.count("stop") == 1


def test_a_stopped_live_task_is_let_close_its_recordings(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "live", STREAM.run_id, STREAM, "running")
    airflow.task_states[STREAM.run_id] = (TaskState("live", -1, "running", start_date=NOW),)
    job = act(ada, "stop", "live", STREAM.run_id)
    assert (job["state"], job["can_stop"]) == ("cancelled", False)
    assert f"_reelflow/jobs/{STREAM.job_id}/cancelled.json" in store.objects["media"]
    assert airflow.count("stop") == 0
    # One that has not begun has none.
    begin(airflow, "live", "queued", STREAM)
    act(ada, "stop", "live", "queued")
    assert airflow.count("stop") == 1
    # Nor has one whose unit waits for its slot.
    begin(airflow, "live", "waiting", STREAM, "running")
    airflow.task_states["waiting"] = (TaskState("live", -1, "scheduled"),)
    act(ada, "stop", "live", "waiting")
    assert airflow.count("stop") == 2


def test_a_task_that_has_told_its_end_is_not_stopped(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "transcode", TASK.run_id, TASK, "running")
    outcome = Outcome(state="done", run_id=TASK.run_id, finished_at=datetime.now(timezone.utc))
    store.add(f"_reelflow/jobs/{TASK.job_id}/outcome.json", data=outcome.model_dump_json().encode())
    act(ada, "stop", "transcode", TASK.run_id, 409)
    assert f"_reelflow/jobs/{TASK.job_id}/cancelled.json" not in store.objects["media"]


def test_an_upload_is_aborted_as_its_contract_does_it(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore, uploads: UploadService
) -> None:
    upload = an_upload(uploads.uploads, "a")
    store.add(upload.part(0).key)
    begin(airflow, "upload", upload.reference.run_id, upload.reference, "running")
    job = act(ada, "stop", "upload", upload.reference.run_id)
    assert (job["state"], job["can_retry"]) == ("cancelled", False)
    assert uploads.uploads.read("a", upload.id).outcome.state == "aborted"
    assert upload.part(0).key not in store.objects["media"]
    assert airflow.tokens[0] == "token-of-ada"
    act(ada, "retry", "upload", upload.reference.run_id, 409)


def test_an_upload_ends_whole_though_its_transcode_is_not_the_users_to_stop(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore, uploads: UploadService, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = an_upload(uploads.uploads, "a", client="operators")
    store.add(upload.part(0).key)
    begin(airflow, "upload", upload.reference.run_id, upload.reference, "running")
    stop = airflow.stop

    async def stop_of_uploads(dag_id: str, run_id: str) -> None:
        airflow.powerless = {"token-of-ada"} if dag_id == "transcode" else set()
        await stop(dag_id, run_id)

    monkeypatch.setattr(airflow, "stop", stop_of_uploads)
    assert ada.delete(f"/media/api2/atom/a/uploads/{upload.id}").status_code == 204
    assert airflow.tokens == ["token-of-ada", None]
    assert upload.part(0).key not in store.objects["media"]


def test_an_upload_that_has_failed_begins_anew(ada: TestClient, airflow: FakeAirflow, uploads: UploadService) -> None:
    upload = an_upload(uploads.uploads, "a")
    begin(airflow, "upload", upload.reference.run_id, upload.reference, "failed")
    airflow.task_states[upload.reference.run_id] = (TaskState("begin", -1, "success"), TaskState("join", -1, "failed"))
    assert act(ada, "retry", "upload", upload.reference.run_id)["state"] == "queued"
    assert (airflow.count("clear"), airflow.count("clear_tasks")) == (1, 0)


def test_a_retry_clears_what_is_not_done(ada: TestClient, airflow: FakeAirflow) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "failed")
    airflow.task_states[FILM.run_id] = (
        TaskState("plan", -1, "success"),
        TaskState("encode", 0, "success"),
        TaskState("encode", 1, "failed"),
        TaskState("encode", 2, "skipped"),
        TaskState("finish", -1, "upstream_failed"),
        TaskState("report", -1, "failed"),
    )
    assert act(ada, "retry", "transcode", FILM.run_id)["state"] == "queued"
    cleared = [("encode", 1), ("encode", 2), ("finish", -1), ("report", -1)]
    assert airflow.calls.count(("clear_tasks", f"{FILM.run_id} {cleared}")) == 1
    assert airflow.tokens == ["token-of-ada"]


@pytest.mark.parametrize(("dag_id", "reference"), [("transcode", TASK), ("live", STREAM)])
def test_a_cancelled_task_that_is_retried_is_cancelled_no_more(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore, dag_id: str, reference: Any
) -> None:
    begin(airflow, dag_id, reference.run_id, reference, "failed")
    key = note(store, reference, NOW + timedelta(seconds=1))
    assert rows(ada)[0]["state"] == "cancelled"
    act(ada, "retry", dag_id, reference.run_id)
    assert key not in store.objects["media"]


def test_of_two_retries_at_once_one_starts_the_job(
    client_of: Callable[[str | None], TestClient], airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "failed")
    clear = airflow.clear

    async def slow(dag_id: str, run_id: str) -> None:
        await asyncio.sleep(0.2)
        await clear(dag_id, run_id)

    monkeypatch.setattr(airflow, "clear", slow)

    async def both() -> list[int]:
        transport = httpx.ASGITransport(client_of(None).app)
        headers = {"x-reelflow": "1"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://reelflow.example", cookies={COOKIE: "ada"}, headers=headers
        ) as client:
            path = f"/media/data/jobs/transcode/{FILM.run_id}/retry"
            return [answer.status_code for answer in await asyncio.gather(client.post(path), client.post(path))]

    assert sorted(asyncio.run(both())) == [202, 409]
    assert airflow.count("clear") == 1


def test_a_retry_waits_for_a_submission_that_starts_the_same_run(
    settings: Settings, store: MemoryStore, airflow: FakeAirflow, uploads: UploadService
) -> None:
    runs, services = RunStarter(airflow), Services(settings, store, airflow)
    actions = Actions(services, uploads, Jobs(services, uploads), runs)

    async def run() -> None:
        async with runs.alone(FILM.run_id):
            retry = asyncio.create_task(actions.retry(person(), "transcode", FILM.run_id))
            await asyncio.sleep(0.05)
            assert airflow.calls == []
        with pytest.raises(NotFound):
            await retry

    asyncio.run(run())


@pytest.mark.parametrize(("action", "state"), [("stop", "running"), ("retry", "failed")])
def test_a_note_stays_as_it_is_where_airflow_refuses(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore, action: str, state: str
) -> None:
    begin(airflow, "transcode", TASK.run_id, TASK, state)
    airflow.powerless = {"token-of-ada"}
    if action == "retry":
        note(store, TASK, NOW + timedelta(seconds=1))
    before = dict(store.objects["media"])
    act(ada, action, "transcode", TASK.run_id, 403)
    assert store.objects["media"] == before


@pytest.mark.parametrize(("action", "state"), [("stop", "running"), ("retry", "failed")])
def test_that_the_store_refuses_the_server_is_not_the_users_fault(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, action: str, state: str
) -> None:
    begin(airflow, "transcode", TASK.run_id, TASK, state)
    monkeypatch.setattr(store, "get_bytes", refused)
    act(ada, action, "transcode", TASK.run_id, 503)
    assert airflow.tokens == []


def test_a_run_of_another_dag_is_left_alone(ada: TestClient, airflow: FakeAirflow) -> None:
    asyncio.run(airflow.trigger("somebody_elses", "r", {}))
    for action in ("stop", "retry"):
        act(ada, action, "somebody_elses", "r", 422)
    assert airflow.count("stop") == 0
