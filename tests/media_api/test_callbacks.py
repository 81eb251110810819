"""`callback_url` of contracts 1 and 2: checked at once, kept for the run, and no part of what identifies the work."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.ffmpeg_ops.glance import Glance
from include.media_api import super_resolution
from include.settings import Settings
from include.worker.callback import Callback
from include.worker.job import Job
from include.worker.task_request import TaskReference
from tests.media_api.conftest import body
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.media_api.signed import Caller

URL = "https://ott.example/hook?token=secret-of-ott"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # Checked as those of the environment are.
    return Settings(**settings.model_dump(exclude_unset=True) | {"webhook_secrets": f"ott:{WHSEC},demo:{WHSEC}"})


@pytest.fixture(autouse=True)
def _no_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(super_resolution, "glance", lambda *arguments: Glance(640, 360, 8, Fraction(125)))


def kept(store: MemoryStore, settings: Settings, job_id: str) -> tuple[Callback, ...]:
    return Job(store, settings, "media", job_id).read_callbacks()


def test_a_folders_callback_is_kept_for_each_video_and_is_in_no_conf(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow, settings: Settings
) -> None:
    store.add("in/a.mp4", "in/b.mp4")
    plain = client.post("/prod/videoTranscode", json=body())
    told = client.post("/prod/videoTranscode", json=body(callback_url=URL))
    assert told.status_code == 200, told.text
    assert told.json() == plain.json()
    jobs = {key.split("/")[2] for key in store.objects["media"] if "/callbacks/" in key}
    callbacks = [callback for job in jobs for callback in kept(store, settings, job)]
    assert {callback.about["src"] for callback in callbacks} == {"in/a.mp4", "in/b.mp4"}
    assert {(callback.url, callback.client) for callback in callbacks} == {(URL, "ott")}
    assert "secret-of-ott" not in json.dumps([dict(run.conf) for run in airflow.dag_runs.values()])
    assert "secret-of-ott" not in json.dumps(airflow.notes)


def test_a_run_at_work_reads_its_callbacks_again_when_another_client_joins(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow, settings: Settings
) -> None:
    store.add("in/a.mp4")
    run_id = client.post("/prod/videoTranscode", json=body(src="in/a.mp4")).json()["run_id"]
    assert airflow.count("restart_task") == 0
    client.post("/prod/videoTranscode", json=body(src="in/a.mp4", callback_url=URL))
    assert ("restart_task", f"{run_id} webhooks") in airflow.calls
    airflow.set_state("transcode", run_id, "success")
    client.post("/prod/videoTranscode", json=body(src="in/a.mp4", callback_url=URL))
    assert airflow.count("restart_task") == 1


def test_a_test_keeps_no_callback_but_says_what_is_wrong_with_one(client: TestClient, store: MemoryStore) -> None:
    store.add("in/a.mp4")
    assert client.post("/prod/videoTranscode", json=body(testflag="test", callback_url=URL)).status_code == 200
    assert client.post("/prod/videoTranscode", json=body(testflag="test", callback_url="ftp://x")).status_code == 400
    assert not [key for key in store.objects["media"] if "callbacks" in key]


def test_an_upscaling_keeps_its_callback_and_its_run(client: TestClient, store: MemoryStore, settings: Settings) -> None:
    store.add("in/a.mp4")
    plain = client.post("/prod/", json={"key": "in/a.mp4"}).json()
    told = client.post("/prod/", json={"key": "in/a.mp4", "callback_url": URL})
    assert told.status_code == 200, told.text
    assert told.json() == plain
    (callback,) = kept(store, settings, plain["run_id"].partition("__")[2])
    assert callback.about == {"bucket": "media", "key": "in/a.mp4", "output_key": "in/a_x2.mp4", "scale": 2}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "ftp://a.example/",
        "file:///etc/passwd",
        "http://127.0.0.1/x",
        "https://[::1]/",
        "http://169.254.169.254",
        7,
    ],
    ids=str,
)
def test_a_callback_that_cannot_be_is_refused_by_name(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow, url: Any
) -> None:
    store.add("in/a.mp4")
    for path, document in (
        ("/prod/videoTranscode", body(callback_url=url)),
        ("/prod/", {"key": "in/a.mp4", "callback_url": url}),
    ):
        answer = client.post(path, json=document)
        assert answer.status_code == 400, answer.text
        assert "callback_url" in answer.json()["message"]
    assert airflow.count("trigger") == 0


def test_without_a_secret_to_sign_with_a_callback_is_refused(anonymous: TestClient, store: MemoryStore) -> None:
    store.add("in/a.mp4")
    answer = anonymous.post("/prod/videoTranscode", json=body(callback_url=URL), headers={"x-api-key": "other-key-2"})
    assert answer.status_code == 400
    assert "MEDIA_WEBHOOK_SECRETS" in answer.json()["message"]


def test_a_served_callback_goes_unless_it_was_replaced_meanwhile(store: MemoryStore, settings: Settings) -> None:
    job = Job(store, settings, "media", "0" * 20)
    first, second = (Callback(url=f"https://a.example/{number}", client="ott") for number in (1, 2))
    job.write_callback(first)
    job.write_callback(second)
    job.delete_callback(first)
    assert job.read_callbacks() == (second,)
    job.delete_callback(second)
    assert job.read_callbacks() == ()


def test_a_task_that_is_joined_tells_the_later_callback_too(
    demo: Caller, store: MemoryStore, airflow: FakeAirflow, settings: Settings
) -> None:
    store.add("in/talk.mp4")
    task_id = demo.create().json()["task_id"]
    assert demo.create(callback_url=URL).json()["task_id"] == task_id
    ((_, run),) = airflow.dag_runs.items()
    assert ("restart_task", f"{run.run_id} webhooks") in airflow.calls
    (callback,) = kept(store, settings, TaskReference.model_validate(run.conf).job_id)
    assert (callback.url, callback.about["task_id"]) == (URL, task_id)
