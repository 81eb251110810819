"""Contract 2 at the API: request, answer, errors, idempotency, status."""

from __future__ import annotations

from datetime import datetime, timezone
from fractions import Fraction
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.errors import InputNotSupported
from include.ffmpeg_ops.glance import Glance
from include.media_api import super_resolution as module
from include.media_api.gateway import TaskState
from include.settings import Settings
from include.worker.job import Job
from include.worker.models import Outcome, Output, SuperResolutionRequest, UnitResult, UnitSummary
from include.worker.override import overridden
from tests.media_api.conftest import KEYS
from tests.media_api.fakes import FakeAirflow, MemoryStore

DAG = "super_resolution"
KEY = "in/放大 #1/a b.mp4"
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Looks:
    """What a look at the source finds."""

    def __init__(self) -> None:
        self.found: Glance | Exception = Glance(640, 360, 8, Fraction(125))
        self.urls: list[str] = []

    def __call__(self, url: str, settings: Settings, timeout: float) -> Glance:
        self.urls.append(url)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    found = Looks()
    monkeypatch.setattr(module, "glance", found)
    return found


@pytest.fixture(autouse=True)
def source(store: MemoryStore) -> None:
    store.add(KEY)


def wanted(**fields: Any) -> SuperResolutionRequest:
    return SuperResolutionRequest(**{"bucket": "media", "key": KEY} | fields)


def publish(store: MemoryStore, settings: Settings, request: SuperResolutionRequest) -> None:
    """Do as if the request's run had ended well."""
    ref = store.put_bytes("media", request.destination_key, b"large video")
    source = store.head("media", request.key)
    assert source is not None
    made = {"model": request.chosen_model(settings.sr_model), "debug": request.task == "debug"}
    metrics = {"source_etag": source.etag, "wanted": made}
    result = UnitResult(
        unit_id="merge", status="done", fingerprint="x", outputs=(Output(name="a", ref=ref),), metrics=metrics,
        started_at=NOW, finished_at=NOW,
    )  # fmt: skip
    Job.of(store, settings, request).write_result(result)


def test_the_shortest_request_is_answered_as_the_contract_says(client: TestClient, airflow: FakeAirflow) -> None:
    answer = client.post("/prod/", json={"key": KEY})
    assert answer.status_code == 200
    run_id = wanted().run_id
    assert answer.json() == {
        "message": f"{KEY} started",
        "run_id": run_id,
        "output_key": "in/放大 #1/a b_x2.mp4",
        "segments": 3,
        "status_url": f"http://reelflow.example/prod/superResolution/{run_id}",
    }
    conf = airflow.dag_runs[DAG, run_id].conf
    assert conf == wanted(client="ott").model_dump(mode="json")


@pytest.mark.parametrize(
    "fields", [{"scale": 4, "segment_time": 30}, {"scale": "4", "segment_time": "30"}, {"scale": 4.0, "segment_time": "30.0"}]
)
def test_numbers_may_be_strings(client: TestClient, airflow: FakeAirflow, fields: dict[str, Any]) -> None:
    answer = client.post("/prod/", json={"key": KEY, "task": "debug", "env": "onDemand", **fields}).json()
    assert (answer["message"], answer["output_key"], answer["segments"]) == (f"{KEY} debug", "in/放大 #1/a b_x4.mp4", 5)
    conf = airflow.dag_runs[DAG, answer["run_id"]].conf
    assert (conf["scale"], conf["segment_time"], conf["env"], conf["task"]) == (4, 30, "onDemand", "debug")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"key": ""}, "key"),
        ({"key": "in/"}, "key"),
        ({"key": "in/../a.mp4"}, "key"),
        ({"key": "in/.mp4"}, "key"),
        ({"key": "a\nb.mp4"}, "key"),
        ({"key": 7}, "key"),
        ({"key": f"{'x' * 1020}.mp4"}, "key"),
        ({"key": "_reelflow/jobs/a.mp4"}, "key"),
        ({"key": "incoming/super_resolution/a.mp4"}, "key"),
        ({"key": "incoming/transcode/deep/a.mp4"}, "key"),
        ({"scale": 3}, "scale"),
        ({"scale": "two"}, "scale"),
        ({"scale": True}, "scale"),
        ({"scale": None}, "scale"),
        ({"task": "train"}, "task"),
        ({"env": "ondemand"}, "env"),
        ({"segment_time": 0}, "segment_time"),
        ({"segment_time": -1}, "segment_time"),
        ({"segment_time": "soon"}, "segment_time"),
        ({"segment_time": 1e300}, "segment_time"),
        ({"segment_time": "nan"}, "segment_time"),
        ({"model": "huge"}, "model"),
        ({"ladder": "hls"}, "ladder"),
        ({"bucket": "other"}, "bucket"),
        ({"client": "other"}, "client"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_or_unknown_field_is_named(client: TestClient, airflow: FakeAirflow, fields: dict[str, Any], name: str) -> None:
    answer = client.post("/prod/", json={"key": KEY} | fields)
    assert (answer.status_code, set(answer.json())) == (400, {"message"})
    assert f"{name}: " in answer.json()["message"]
    assert airflow.dag_runs == {}


def test_a_missing_key_is_named(client: TestClient) -> None:
    answer = client.post("/prod/", json={"scale": 2})
    assert (answer.status_code, answer.json()) == (400, {"message": "key: is required"})


def test_an_object_that_is_not_there_is_not_found(client: TestClient, looks: Looks) -> None:
    answer = client.post("/prod/", json={"key": "in/none.mp4"})
    assert answer.status_code == 404
    assert "in/none.mp4" in answer.json()["message"]
    assert looks.urls == []


def test_what_is_no_video_is_told_apart(client: TestClient, looks: Looks, store: MemoryStore) -> None:
    store.add("in/empty.mp4", data=b"")
    store.add("in/a.avi", "in/a")
    assert [client.post("/prod/", json={"key": key}).status_code for key in ("in/empty.mp4", "in/a.avi", "in/a")] == [415] * 3
    looks.found = InputNotSupported("The object is not a video that can be read.")
    assert client.post("/prod/", json={"key": KEY}).status_code == 415
    looks.found = Glance(640, 360, 10, Fraction(1))
    store.add("in/deep.flv")
    assert client.post("/prod/", json={"key": "in/deep.flv"}).status_code == 415


@pytest.mark.parametrize(
    ("size", "scale", "status"),
    [((1920, 1080), 2, 200), ((1920, 1081), 2, 400), ((960, 540), 4, 200), ((962, 540), 4, 400), ((2, 4147200), 2, 400)],
    ids=str,
)
def test_the_size_limit_is_inclusive(client: TestClient, looks: Looks, size: tuple[int, int], scale: int, status: int) -> None:
    looks.found = Glance(*size, 8, Fraction(1))
    answer = client.post("/prod/", json={"key": KEY, "scale": scale})
    assert answer.status_code == status
    assert status == 200 or answer.json() == {"message": "Video size exceeded the limit"}


def test_the_same_request_is_one_run_while_it_is_at_work_and_when_it_is_done(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    run_id = client.post("/prod/", json={"key": KEY}).json()["run_id"]
    for state in ("queued", "running"):
        airflow.set_state(DAG, run_id, state)
        assert client.post("/prod/", json={"key": KEY, "segment_time": 5}).json()["run_id"] == run_id
    airflow.set_state(DAG, run_id, "success")
    publish(store, settings, wanted())
    assert client.post("/prod/", json={"key": KEY}).json()["run_id"] == run_id
    assert (airflow.count("trigger"), airflow.count("clear"), airflow.count("delete")) == (1, 0, 0)


def test_a_failed_run_and_one_whose_output_is_gone_are_tried_again(client: TestClient, airflow: FakeAirflow) -> None:
    run_id = client.post("/prod/", json={"key": KEY}).json()["run_id"]
    for number, state in enumerate(("failed", "success"), start=1):
        airflow.set_state(DAG, run_id, state)
        client.post("/prod/", json={"key": KEY})
        assert airflow.count("clear") == number
    airflow.set_state(DAG, run_id, "failed")
    client.post("/prod/", json={"key": KEY, "segment_time": 5})
    assert airflow.count("delete") == 1, "a cleared run would keep the old segment_time"
    assert airflow.dag_runs[DAG, run_id].conf["segment_time"] == 5


def test_naming_the_model_that_the_output_was_made_with_starts_nothing(
    app: FastAPI, client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    started = client.post("/prod/", json={"key": KEY}).json()
    publish(store, settings, wanted())
    airflow.set_state(DAG, started["run_id"], "success")
    client.post("/prod/", json={"key": KEY, "model": "fast"})
    assert (airflow.count("trigger"), airflow.count("clear"), airflow.count("delete")) == (1, 0, 0)
    assert client.get(started["status_url"]).json()["status"] == "done"
    client.post("/prod/", json={"key": KEY})
    services = app.state.services
    object.__setattr__(services, "settings", settings.model_copy(update={"sr_model": "quality"}))
    assert client.get(started["status_url"]).json()["status"] == "done", "what was asked for was the default of then"
    client.post("/prod/", json={"key": KEY})
    assert airflow.count("trigger") + airflow.count("clear") == 2, "another default is another model"


@pytest.mark.parametrize("change", ["source", "debug", "model", "ladder"])
def test_what_the_output_lacks_is_made(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings, change: str
) -> None:
    run_id = client.post("/prod/", json={"key": KEY}).json()["run_id"]
    publish(store, settings, wanted())
    airflow.set_state(DAG, run_id, "success")
    if change == "source":
        store.add(KEY, data=b"another video")
    fields = {"debug": {"task": "debug"}, "model": {"model": "quality"}, "ladder": {"ladder": "m3u8"}}.get(change, {})
    client.post("/prod/", json={"key": KEY, **fields})
    assert airflow.count("trigger") + airflow.count("clear") == 2


def doing(airflow: FakeAirflow, store: MemoryStore, settings: Settings) -> SuperResolutionRequest:
    """Return what the run at work will have done at its end."""
    conf = airflow.dag_runs[DAG, wanted().run_id].conf
    request = SuperResolutionRequest.model_validate(conf)
    return overridden(Job.of(store, settings, request), request, conf)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_ladder_that_is_asked_for_while_the_run_is_at_work_is_made_at_its_end(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings, state: str
) -> None:
    run_id = client.post("/prod/", json={"key": KEY, "segment_time": 5}).json()["run_id"]
    airflow.set_state(DAG, run_id, state)
    airflow.task_states[run_id] = (TaskState("split", -1, "success", start_date=NOW), TaskState("report", -1, None))
    assert client.post("/prod/", json={"key": KEY, "ladder": "m3u8"}, headers={"x-api-key": KEYS["other"]}).status_code == 200
    assert doing(airflow, store, settings) == wanted(client="ott", segment_time=5, ladder="m3u8")
    assert client.post("/prod/", json={"key": KEY}).status_code == 200
    assert client.post("/prod/", json={"key": KEY, "ladder": "m3u8"}).status_code == 200
    assert doing(airflow, store, settings).ladder == "m3u8"
    answer = client.post("/prod/", json={"key": KEY, "ladder": "mp4"})
    assert (answer.status_code, "ladder m3u8" in answer.json()["message"]) == (409, True)
    assert airflow.count("trigger") == 1


def test_a_ladder_that_is_asked_for_too_late_is_refused_until_the_run_is_over(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    run_id = client.post("/prod/", json={"key": KEY}).json()["run_id"]
    airflow.set_state(DAG, run_id, "running")
    airflow.task_states[run_id] = (TaskState("report", -1, "success", start_date=NOW), TaskState("webhooks", -1, "deferred"))
    publish(store, settings, wanted())
    assert client.post("/prod/", json={"key": KEY, "ladder": "m3u8"}).status_code == 409
    airflow.set_state(DAG, run_id, "success")
    assert client.post("/prod/", json={"key": KEY, "ladder": "m3u8"}).status_code == 200
    assert airflow.dag_runs[DAG, run_id].conf["ladder"] == "m3u8"


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        ({}, {"task": "debug"}, 409),
        ({}, {"model": "quality"}, 409),
        ({"model": "quality"}, {}, 409),
        ({}, {"model": "fast"}, 200),
        ({"model": "fast"}, {}, 200),
        ({"task": "debug"}, {}, 200),
        ({"ladder": "mp4"}, {}, 200),
        ({"env": "onDemand", "segment_time": 10}, {}, 200),
    ],
    ids=str,
)
def test_a_request_that_the_run_at_work_does_not_meet_is_refused(
    client: TestClient, airflow: FakeAirflow, first: dict[str, Any], then: dict[str, Any], status: int
) -> None:
    started = client.post("/prod/", json={"key": KEY, **first}).json()
    airflow.set_state(DAG, started["run_id"], "running")
    answer = client.post("/prod/", json={"key": KEY, **then}, headers={"x-api-key": KEYS["other"]})
    assert answer.status_code == status
    if status == 409:
        assert set(answer.json()) == {"message"}
        assert answer.json()["message"].startswith(f"{next(iter(then or first))}: it is being made for another request")
        assert "post this again when that is done" in answer.json()["message"]
        assert client.get(started["status_url"], headers={"x-api-key": KEYS["other"]}).status_code == 404, "it was not taken"
    assert client.get(started["status_url"]).json()["status"] == "running"
    assert airflow.count("trigger") == 1


def test_a_request_that_loses_a_race_against_another_one_is_refused_too(
    client: TestClient, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = airflow.trigger

    async def late(dag_id: str, run_id: str, conf: Any, note: str | None = None) -> bool:
        await trigger(dag_id, run_id, wanted(model="quality").model_dump(mode="json"), "of another process")
        return await trigger(dag_id, run_id, conf, note)

    monkeypatch.setattr(airflow, "trigger", late)
    assert client.post("/prod/", json={"key": KEY}).status_code == 409


def test_a_run_that_starts_again_does_what_is_asked_for_now(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    run_id = client.post("/prod/", json={"key": KEY}).json()["run_id"]
    client.post("/prod/", json={"key": KEY, "ladder": "mp4"})
    assert doing(airflow, store, settings).ladder == "mp4"
    airflow.set_state(DAG, run_id, "failed")
    client.post("/prod/", json={"key": KEY})
    assert doing(airflow, store, settings).ladder is None


@pytest.mark.parametrize("change", ["source", "debug", "model"])
def test_an_output_that_is_another_than_was_asked_for_is_not_said_to_be_removed(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings, change: str
) -> None:
    fields = {"debug": {"task": "debug"}, "model": {"model": "quality"}}.get(change, {})
    started = client.post("/prod/", json={"key": KEY, **fields}).json()
    if change == "source":
        store.add(KEY, data=b"another video")
    publish(store, settings, wanted())
    airflow.set_state(DAG, started["run_id"], "success")
    status = client.get(started["status_url"]).json()
    assert (status["status"], "for another request" in status["error"]) == ("failed", True)
    store.delete("media", wanted().destination_key)
    assert "has been removed since" in client.get(started["status_url"]).json()["error"]


def test_the_status_tells_every_segment(client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings) -> None:
    started = client.post("/prod/", json={"key": KEY}).json()
    assert client.get(started["status_url"]).json()["status"] == "queued"
    units = tuple(UnitSummary(id=f"segment-0000{n}", key="k", label=f"segment {n}", weight=100) for n in range(4))
    split = UnitResult(unit_id="split", status="done", fingerprint="x", units=units, started_at=NOW, finished_at=NOW)
    Job.of(store, settings, wanted()).write_result(split)
    airflow.set_state(DAG, started["run_id"], "running")
    event = {"phase": "upscale", "done": 40, "total": 100, "unit": "frames", "fps": 12.5, "fraction": 0.4}
    airflow.task_states[started["run_id"]] = (
        TaskState("split", -1, "success"),
        TaskState("upscale", 0, "success"),
        TaskState("upscale", 1, "running", 0.4, event),
        TaskState("upscale", 2, "failed"),
        TaskState("upscale", 3, None),
        TaskState("merge", -1, None),
    )
    status = client.get(started["status_url"]).json()
    assert (status["status"], status["frames"], status["frames_done"], status["fps"]) == ("running", 400, 140, 12.5)
    assert status["progress"] == 3 + int(90 * 0.35)
    assert [(one["status"], one["done"], one["fps"]) for one in status["segments"]] == [
        ("done", 100, None),
        ("running", 40, 12.5),
        ("failed", 0, None),
        ("waiting", 0, None),
    ]


def test_segments_of_an_array_job_share_its_progress(
    app: FastAPI, client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    object.__setattr__(
        app.state.services, "settings", settings.model_copy(update={"batch_units": ("upscale",), "batch_array_size": 2})
    )
    started = client.post("/prod/", json={"key": KEY}).json()
    units = tuple(UnitSummary(id=f"segment-0000{n}", key="k", label=f"segment {n}", weight=100) for n in range(3))
    split = UnitResult(unit_id="split", status="done", fingerprint="x", units=units, started_at=NOW, finished_at=NOW)
    Job.of(store, settings, wanted()).write_result(split)
    airflow.set_state(DAG, started["run_id"], "running")
    event = {"phase": "array", "done": 1, "total": 2, "unit": "units", "fps": 8.0, "fraction": 0.75}
    airflow.task_states[started["run_id"]] = (
        TaskState("split", -1, "success"),
        TaskState("upscale", 0, "deferred", 0.75, event),
        TaskState("upscale", 1, "success"),
    )
    status = client.get(started["status_url"]).json()
    assert [(one["status"], one["done"], one["fps"]) for one in status["segments"]] == [
        ("running", 75, 8.0),
        ("running", 75, None),
        ("done", 100, None),
    ]
    assert (status["fps"], status["progress"]) == (8.0, 3 + int(90 * 250 / 300))


def test_a_failed_run_says_why_and_a_finished_one_that_it_is_done(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    started = client.post("/prod/", json={"key": KEY}).json()
    airflow.set_state(DAG, started["run_id"], "failed")
    error = {"code": "InvalidInputData", "message": "The source is damaged.", "retryable": False}
    Job.of(store, settings, wanted()).write_outcome(Outcome(state="failed", error=error, run_id="x", finished_at=NOW))
    status = client.get(started["status_url"]).json()
    assert (status["status"], status["error"]) == ("failed", "The source is damaged.")
    publish(store, settings, wanted())
    airflow.set_state(DAG, started["run_id"], "success")
    status = client.get(started["status_url"]).json()
    assert (status["status"], status["progress"], status["error"]) == ("done", 100, None)
    store.delete("media", wanted().destination_key)
    assert client.get(started["status_url"]).json()["status"] == "failed"


def test_the_ladder_of_the_result_is_shown(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    request = wanted(ladder="mp4")
    started = client.post("/prod/", json={"key": KEY, "ladder": "mp4"}).json()
    assert client.get(started["status_url"]).json()["ladder"]["status"] == "waiting"
    publish(store, settings, request)
    airflow.set_state(DAG, started["run_id"], "success")
    ladder = request.ladder_request
    assert ladder is not None
    airflow.set_state("transcode", ladder.run_id, "running")
    shown = client.get(started["status_url"]).json()["ladder"]
    assert (shown["status"], shown["output_key"]) == ("running", "in/放大 #1/a b_x2/a b_x2.mp4")
    airflow.set_state("transcode", ladder.run_id, "success")
    assert client.get(started["status_url"]).json()["ladder"]["status"] == "failed", "there is no output"
    store.add(ladder.destination_key)
    assert client.get(started["status_url"]).json()["ladder"]["status"] == "done"


@pytest.mark.parametrize("run", ["deleted", "kept"])
def test_a_ladder_whose_run_is_gone_is_known_by_its_output(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, settings: Settings, run: str
) -> None:
    request = wanted(ladder="mp4")
    started = client.post("/prod/", json={"key": KEY, "ladder": "mp4"}).json()
    ladder = request.ladder_request
    assert ladder is not None
    store.add(ladder.destination_key)
    assert client.get(started["status_url"]).json()["ladder"]["status"] == "waiting", "it is that of an earlier result"
    publish(store, settings, request)
    airflow.set_state(DAG, started["run_id"], "success")
    if run == "deleted":
        del airflow.dag_runs[DAG, started["run_id"]]
    status = client.get(started["status_url"]).json()
    assert (status["status"], status["ladder"]["status"], status["ladder"]["progress"]) == ("done", "done", 100)
    store.delete("media", ladder.destination_key)
    status = client.get(started["status_url"]).json()
    assert (status["status"], status["ladder"]["status"], status["ladder"]["progress"]) == ("done", "failed", 0)


def test_no_ladder_waits_for_an_upscaling_that_has_failed(client: TestClient, airflow: FakeAirflow) -> None:
    started = client.post("/prod/", json={"key": KEY, "ladder": "mp4"}).json()
    airflow.set_state(DAG, started["run_id"], "failed")
    assert client.get(started["status_url"]).json()["ladder"]["status"] == "failed"


def test_a_status_is_for_those_who_asked(client: TestClient) -> None:
    started = client.post("/prod/", json={"key": KEY}).json()
    other = client.get(started["status_url"], headers={"x-api-key": KEYS["other"]})
    assert other.status_code == 404
    client.post("/prod/", json={"key": KEY}, headers={"x-api-key": KEYS["other"]})
    assert client.get(started["status_url"], headers={"x-api-key": KEYS["other"]}).status_code == 200
    for run_id in ("super_resolution__x", "transcode__" + "0" * 20, "super_resolution__" + "0" * 20):
        assert client.get(f"/prod/superResolution/{run_id}").status_code == 404


def test_nothing_that_a_store_signs_is_shown(client: TestClient, looks: Looks) -> None:
    answer = client.post("/prod/", json={"key": KEY})
    assert len(looks.urls) == 1
    assert "signature" not in answer.text


def test_the_openapi_page_tells_of_the_contract(client: TestClient) -> None:
    operation = client.get("/prod/openapi.json").json()["paths"]["/"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["key"]
    assert all("description" in field for field in schema["properties"].values())
