"""Contract 1 over HTTP: answers, submission and status."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.errors import StorageDenied
from include.media_api.gateway import Run, TaskState
from include.worker.job import Job
from include.worker.models import Outcome, TranscodeRequest, UnitResult, UnitSummary
from tests.media_api.conftest import KEYS, body
from tests.media_api.fakes import FakeAirflow, MemoryStore

SUBMIT = "/prod/videoTranscode"
OTHER = {"x-api-key": KEYS["other"]}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
STARTED = NOW + timedelta(microseconds=900_000)


def post(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post(SUBMIT, json=body(**changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def status(client: TestClient, submitted: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.get(submitted["status_url"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["run_id"] == submitted["run_id"]
    assert answer.json()["status_url"] == submitted["status_url"]
    return list(answer.json()["videos"])


def child(key: str = "out/a_t1/a.m3u8") -> TranscodeRequest:
    folder, _, name = key.rpartition("/")
    return TranscodeRequest(bucket="media", source_key="in/a.mp4", folder=folder + "/", name=name.rpartition(".")[0])


# -- the answer


def test_a_store_that_refuses_the_server_is_not_told_as_a_wrong_key(
    client: TestClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> Any:
        raise StorageDenied("Cannot use s3://media: the object store refuses our credentials (403).")

    monkeypatch.setattr(store, "bucket_exists", refuse)
    answer = client.post(SUBMIT, json=body())
    assert answer.status_code == 503
    assert "refuses our credentials" in answer.json()["message"]
    assert "StorageDenied" in caplog.text


def test_the_answer_is_that_of_the_contract(client: TestClient, store: MemoryStore) -> None:
    store.objects["media"] = {}
    src, dst = "publicspace/videos/src/2016.04.20/", "publicspace/videos/dst/"
    store.add(src + "clips/2015.mp4", src + "cp/1.mp4", src + "cp/notes.doc", src + "cp/cover.png")
    store.add(dst + "cp/1_20160426000001/1.m3u8")
    answer = post(client, src=src, dst=dst, time="20160426000001")
    assert answer["videos"] == [
        {
            "dst": "publicspace/videos/dst/clips/2015_20160426000001/2015.m3u8",
            "error": "no",
            "keyoutpath": "publicspace/videos/dst/clips/",
            "output_key": "2015",
            "src": "publicspace/videos/src/2016.04.20/clips/2015.mp4",
            "status": "transcode",
        },
        {
            "dst": "publicspace/videos/dst/cp/1_20160426000001/1.m3u8",
            "error": "exist",
            "keyoutpath": "publicspace/videos/dst/cp/",
            "output_key": "1",
            "src": "publicspace/videos/src/2016.04.20/cp/1.mp4",
            "status": "exist",
        },
        {"error": "not .mp4", "src": "publicspace/videos/src/2016.04.20/cp/notes.doc"},
    ]
    assert set(answer) == {"videos", "run_id", "status_url"}
    assert answer["status_url"] == f"http://reelflow.example{SUBMIT}/{answer['run_id']}"


@pytest.mark.parametrize("flag", ["test", "", "yes", None, 1, [], {"no": 1}], ids=repr)
def test_a_test_tells_what_a_real_run_would_do_and_does_nothing(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow, flag: Any
) -> None:
    store.add("in/a.mp4", "in/b.mp4", "in/c.mov", "out/b_t1/b.m3u8")
    before = dict(store.objects["media"])
    tested = post(client, testflag=flag)
    assert (tested["run_id"], tested["status_url"]) == (None, None)
    assert [video.get("error") for video in tested["videos"]] == ["test", "exist", "not .mp4"]
    assert (store.objects["media"], airflow.calls) == (before, [])
    real = post(client)["videos"]
    assert [video | {"error": ""} for video in tested["videos"]] == [video | {"error": ""} for video in real]


def test_an_absent_testflag_is_a_test(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4")
    sent = body()
    del sent["testflag"]
    assert client.post(SUBMIT, json=sent).json()["videos"][0]["error"] == "test"
    assert not airflow.calls


# -- submission


def test_one_file_is_one_run_of_transcode(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4")
    answer = post(client, src="in/a.mp4", contentprovider="publicspace", v_bitrate="2000000")
    expected = child().model_copy(update={"source_bit_rate": 2000000, "content_provider": "publicspace", "client": "ott"})
    assert answer["run_id"] == expected.run_id
    ((key, run),) = airflow.dag_runs.items()
    assert key == ("transcode", expected.run_id)
    assert (run.run_id, run.state, run.conf) == (expected.run_id, "queued", expected.model_dump(mode="json"))
    assert airflow.notes[expected.run_id] == "publicspace: in/a.mp4 to out/ (m3u8)"


def test_a_folder_is_one_run_of_the_dispatcher(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4", "in/b.mp4")
    answer = post(client, v_height=1088)
    ((key, run),) = airflow.dag_runs.items()
    assert key == ("video_transcode", answer["run_id"])
    assert run.conf == {
        **body(),
        "contentprovider": None,
        "v_bitrate": None,
        "v_height": 1080,
        "client": "ott",
    }


def test_with_nothing_to_do_there_is_no_run_but_a_status(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4", "out/a_t1/a.m3u8", "in/b.mov")
    for src in ("in/", "in/a.mp4", "nothing/"):
        answer = post(client, src=src)
        assert [video | {"progress": 100} for video in answer["videos"] if "status" in video] == [
            video for video in status(client, answer) if "status" in video
        ]
    assert not airflow.dag_runs


def simultaneously(app: FastAPI, times: int, **changes: Any) -> list[dict[str, Any]]:
    async def posts() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers={"x-api-key": KEYS["ott"]}) as client:
            return await asyncio.gather(*(client.post("/videoTranscode", json=body(**changes)) for _ in range(times)))

    answers = asyncio.run(posts())
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


@pytest.mark.parametrize("src", ["in/", "in/a.mp4"])
def test_twenty_simultaneous_posts_are_one_run_and_one_answer(
    app: FastAPI, store: MemoryStore, airflow: FakeAirflow, src: str
) -> None:
    store.add("in/a.mp4", "in/b.mp4")
    answers = simultaneously(app, 20, src=src)
    assert all(answer == answers[0] for answer in answers)
    assert len(airflow.dag_runs) == 1
    assert airflow.count("clear") == airflow.count("delete") == 0


@pytest.mark.parametrize("src", ["in/", "in/a.mp4"])
def test_twenty_simultaneous_posts_after_a_failure_start_the_run_again_once(
    app: FastAPI, store: MemoryStore, airflow: FakeAirflow, src: str
) -> None:
    store.add("in/a.mp4")
    (first,) = simultaneously(app, 1, src=src)
    ((dag_id, run_id),) = airflow.dag_runs
    airflow.set_state(dag_id, run_id, "failed")
    answers = simultaneously(app, 20, src=src)
    assert all(answer == first for answer in answers)
    assert airflow.count("clear") == 1
    assert [run.state for run in airflow.dag_runs.values()] == ["queued"]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_at_work_is_left_alone(client: TestClient, store: MemoryStore, airflow: FakeAirflow, state: str) -> None:
    store.add("in/a.mp4")
    first = post(client, src="in/a.mp4")
    airflow.set_state("transcode", first["run_id"], state)
    assert post(client, src="in/a.mp4") == first
    assert airflow.count("clear") == airflow.count("delete") == 0


def test_another_source_of_the_same_output_waits_for_no_second_run(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow
) -> None:
    store.add("in/a.mp4", "in2/a.mp4")
    first, second = post(client, src="in/a.mp4"), post(client, src="in2/a.mp4")
    assert first["run_id"] == second["run_id"]
    assert second["videos"][0]["error"] == "no"
    assert len(airflow.dag_runs) == 1


def test_a_finished_run_whose_output_was_removed_starts_again(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow
) -> None:
    store.add("in/a.mp4")
    run_id = post(client, src="in/a.mp4")["run_id"]
    airflow.set_state("transcode", run_id, "success")
    post(client, src="in/a.mp4")
    assert ("clear", run_id) in airflow.calls


def test_a_run_that_starts_again_forgets_what_a_dispatcher_made_it_do_instead(
    client: TestClient, store: MemoryStore, settings: Any, airflow: FakeAirflow
) -> None:
    store.add("in/a.mp4")
    run_id = post(client, src="in/a.mp4")["run_id"]
    airflow.set_state("transcode", run_id, "failed")
    override = Job.of(store, settings, child()).override_key
    store.add(override)
    post(client, src="in/a.mp4")
    assert override not in store.objects["media"]


@pytest.mark.parametrize("changes", [{"v_bitrate": 1}, {"src": "in2/a.mp4"}], ids=str)
def test_a_failed_run_of_another_request_makes_way(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow, changes: dict[str, Any]
) -> None:
    store.add("in/a.mp4", "in2/a.mp4")
    run_id = post(client, src="in/a.mp4")["run_id"]
    airflow.set_state("transcode", run_id, "failed")
    assert post(client, **({"src": "in/a.mp4"} | changes))["run_id"] == run_id
    run = airflow.dag_runs["transcode", run_id]
    assert run.state == "queued"
    assert (run.conf["source_key"], run.conf["source_bit_rate"]) == (
        changes.get("src", "in/a.mp4"),
        changes.get("v_bitrate"),
    )


@pytest.mark.parametrize(
    ("states", "restarted"),
    [
        (("queued", "running"), False),
        (("success+output", "running"), False),
        (("failed", "running"), True),
        (("success", "running"), True),
        ((None, "running"), True),
    ],
    ids=str,
)
def test_the_dispatcher_starts_again_only_where_something_is_undone(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow, states: tuple[str | None, str], restarted: bool
) -> None:
    store.add("in/a.mp4", "in/b.mp4")
    first = post(client)
    airflow.set_state("video_transcode", first["run_id"], "success")
    for video, state in zip(first["videos"], states, strict=True):
        if state:
            airflow.set_state("transcode", child(video["dst"]).run_id, state.partition("+")[0])
    if states[0] == "success+output":
        # It appears between the listing and the run's being looked at: the same pending set, so the same run.
        original = airflow.runs

        async def runs(*arguments: Any) -> dict[str, Run]:
            store.add("out/a_t1/a.m3u8")
            return await original(*arguments)

        airflow.runs = runs  # type: ignore[method-assign]
    assert post(client)["run_id"] == first["run_id"]
    assert (airflow.count("clear") == 1) is restarted


def test_a_replaced_source_is_another_submission(client: TestClient, store: MemoryStore) -> None:
    store.add("in/a.mp4")
    first = post(client)["run_id"]
    store.add("in/a.mp4", data=b"another cut")
    assert post(client)["run_id"] != first


@pytest.mark.parametrize(
    "changes", [{"dst": "out2/"}, {"time": "t2"}, {"type": "mp4"}, {"src": "in/sub/"}], ids=["dst", "time", "type", "src"]
)
def test_what_identifies_the_work_identifies_the_run(client: TestClient, store: MemoryStore, changes: dict[str, Any]) -> None:
    store.add("in/sub/a.mp4")
    assert post(client)["run_id"] != post(client, **changes)["run_id"]


# -- status


def test_nobody_reads_the_list_of_another_client(client: TestClient, store: MemoryStore) -> None:
    store.add("in/a.mp4")
    for src in ("in/", "in/a.mp4"):
        answer = post(client, src=src)
        assert client.get(answer["status_url"]).status_code == 200
        other = client.get(answer["status_url"], headers=OTHER)
        unknown = client.get(f"{SUBMIT}/video_transcode__{'0' * 20}", headers=OTHER)
        assert (other.status_code, other.json()) == (404, unknown.json())


def test_each_client_reads_its_own_list_of_a_run_they_share(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4")
    mine = post(client, src="in/a.mp4")
    theirs = client.post(SUBMIT, json=body(src="in/a.mp4"), headers=OTHER).json()
    assert theirs["run_id"] == mine["run_id"]
    assert len(airflow.dag_runs) == 1
    assert client.get(theirs["status_url"], headers=OTHER).status_code == 200


@pytest.mark.parametrize(
    "run_id", ["x", "transcode__", "transcode__../../x", "video_transcode__" + "g" * 20, "%00", "manual__2026-01-01", "a" * 5000]
)
def test_an_unknown_run_is_not_found(client: TestClient, run_id: str) -> None:
    answer = client.get(f"{SUBMIT}/{run_id}")
    assert answer.status_code == 404
    assert set(answer.json()) == {"message"}


def test_a_status_is_found_in_every_bucket_that_requests_may_name(store: MemoryStore, airflow: FakeAirflow) -> None:
    from include.media_api.app import create_app
    from include.settings import Settings

    settings = Settings(_env_file=None, api_keys=KEYS, buckets="media,secret")  # type: ignore[call-arg,arg-type]
    store.add("in/a.mp4", bucket="secret")
    client = TestClient(create_app(settings, store, airflow), headers={"x-api-key": KEYS["ott"]})
    answer = client.post("/videoTranscode", json=body(bucket="secret")).json()
    assert client.get(answer["status_url"]).status_code == 200


@pytest.mark.parametrize("src", ["in/", "in/a.mp4"])
def test_a_video_goes_from_transcode_to_done(client: TestClient, store: MemoryStore, airflow: FakeAirflow, src: str) -> None:
    store.add("in/a.mp4")
    answer = post(client, src=src)
    (submitted,) = answer["videos"]
    assert status(client, answer) == [submitted | {"progress": 0}]
    run_id = child().run_id
    airflow.set_state("video_transcode", answer["run_id"], "success")
    airflow.set_state("transcode", run_id, "running")
    airflow.task_states[run_id] = (TaskState("plan", -1, "success"), TaskState("encode", 0, "running", 0.5))
    assert status(client, answer) == [submitted | {"progress": 47}]
    store.add("out/a_t1/a.m3u8")
    assert status(client, answer) == [submitted | {"status": "done", "progress": 100}]


def test_a_done_video_stays_done_for_who_waits_though_others_post_again(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow
) -> None:
    store.add("in/a.mp4")
    answer = post(client, src="in/a.mp4")
    airflow.set_state("transcode", answer["run_id"], "success")
    store.add("out/a_t1/a.m3u8")
    assert post(client, src="in/a.mp4")["videos"][0]["status"] == "exist"
    assert status(client, answer)[0]["status"] == "done"


def outcome(finished_at: datetime, message: str = "Damaged at 3 s.") -> Outcome:
    error = {"code": "InvalidInputData", "message": message, "retryable": False}
    return Outcome(state="failed", error=error, run_id=child().run_id, finished_at=finished_at)


@pytest.mark.parametrize("src", ["in/", "in/a.mp4"])
def test_a_failed_video_says_why(client: TestClient, store: MemoryStore, settings: Any, airflow: FakeAirflow, src: str) -> None:
    store.add("in/a.mp4")
    answer = post(client, src=src)
    airflow.set_state("video_transcode", answer["run_id"], "success")
    run_id = child().run_id
    airflow.dag_runs["transcode", run_id] = Run(run_id, "failed", {}, STARTED)
    (video,) = status(client, answer)
    assert (video["status"], video["progress"]) == ("failed", 0)
    assert run_id in video["error"]
    job = Job.of(store, settings, child())
    job.write_outcome(outcome(NOW - timedelta(seconds=1), "An earlier attempt's."))
    assert run_id in status(client, answer)[0]["error"]
    job.write_outcome(outcome(NOW))
    assert status(client, answer)[0]["error"] == "Damaged at 3 s."


def test_a_run_that_has_disappeared_is_failed(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4")
    for src in ("in/", "in/a.mp4"):
        answer = post(client, src=src)
        airflow.dag_runs.clear()
        (video,) = status(client, answer)
        assert video["status"] == "failed"
        assert "post the request again" in video["error"]


def test_an_output_that_was_removed_is_failed(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4")
    answer = post(client, src="in/a.mp4")
    airflow.set_state("transcode", answer["run_id"], "success")
    assert "removed" in status(client, answer)[0]["error"]


def test_posting_again_after_a_failure_hides_the_old_failure_at_once(
    client: TestClient, store: MemoryStore, airflow: FakeAirflow
) -> None:
    store.add("in/a.mp4")
    answer = post(client)
    airflow.set_state("video_transcode", answer["run_id"], "success")
    airflow.set_state("transcode", child().run_id, "failed")
    assert status(client, answer)[0]["status"] == "failed"
    assert post(client) == answer
    assert status(client, answer)[0] | {"progress": 0} == answer["videos"][0] | {"progress": 0}


def test_progress_is_weighted_by_units(client: TestClient, store: MemoryStore, settings: Any, airflow: FakeAirflow) -> None:
    store.add("in/a.mp4")
    answer = post(client, src="in/a.mp4")
    run_id = answer["run_id"]
    airflow.set_state("transcode", run_id, "running")
    airflow.task_states[run_id] = (
        TaskState("plan", -1, "success"),
        TaskState("encode", 0, "success"),
        TaskState("encode", 1, "running", 0.5),
        TaskState("encode", 2, None),
    )
    units = tuple(UnitSummary(id=f"video-{n:05}", key="k", label="", weight=weight) for n, weight in enumerate((1, 4, 5)))
    plan = UnitResult(unit_id="plan", status="done", fingerprint="f", units=units, started_at=NOW, finished_at=NOW)
    Job.of(store, settings, child()).write_result(plan)
    assert status(client, answer)[0]["progress"] == 2 + 27


def test_the_status_of_three_hundred_videos_asks_little(client: TestClient, store: MemoryStore, airflow: FakeAirflow) -> None:
    keys = [f"{number:03}" for number in range(300)]
    store.add(*(f"in/{key}.mp4" for key in keys))
    answer = post(client)
    store.add(*(f"out/{key}_t1/{key}.m3u8" for key in keys[:200]))
    for key in keys[200:]:
        airflow.set_state("transcode", child(f"out/{key}_t1/{key}.m3u8").run_id, "queued")
    store.calls.clear()
    airflow.calls.clear()
    videos = status(client, answer)
    assert [video["status"] for video in videos] == ["done"] * 200 + ["transcode"] * 100
    assert (store.calls["list"], store.calls["head"]) == (1, 0)
    assert len(airflow.calls) <= 3


def test_what_is_kept_of_a_submission_is_json_under_the_work_prefix(client: TestClient, store: MemoryStore) -> None:
    store.add("in/a.mp4")
    answer = post(client)
    (key,) = (key for key in store.objects["media"] if key.startswith("_reelflow/requests/"))
    assert key.endswith(f"/{answer['run_id']}.json")
    kept = json.loads(store.objects["media"][key])
    assert kept["submitted_at"].endswith("Z")
    assert KEYS["ott"] not in json.dumps(kept)
