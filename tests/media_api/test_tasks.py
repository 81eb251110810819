"""Tasks of contract 3: created once, told of, listed and stopped, by their own client only."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.errors import InternalError, StorageError
from include.media_api.gateway import TaskState
from include.media_api.task_app import create_task_app
from include.media_store.models import ObjectRef
from include.settings import Settings
from include.worker.job import Job
from include.worker.models import Output, UnitResult
from include.worker.task_request import TaskReference
from tests.media_api.fakes import FakeAirflow, MemoryStore, MemoryTables
from tests.media_api.signed import TASKS, Caller, run_id, task

LIVE = {
    "source": "rtmp://live.example.com/app/secret-key",
    "targets": ["udp://relay.example.com:9000", "s3://media/out/show.m3u8"],
}


@pytest.fixture(autouse=True)
def source(store: MemoryStore) -> None:
    store.add("in/talk.mp4")


def created(caller: Caller, **changes: Any) -> str:
    answer = caller.create(**changes)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"task_id"}
    return str(answer.json()["task_id"])


def job_of(settings: Settings, store: MemoryStore, client: str, task_id: str) -> Job:
    return Job.of(store, settings, TaskReference(bucket="media", client=client, task_id=task_id))


def publish(settings: Settings, store: MemoryStore, task_id: str, *keys: str) -> None:
    """Let the task's last unit have written ``keys``."""
    refs = []
    for key in keys:
        store.add(key, data=key.encode())
        ref = store.head("media", key)
        assert ref is not None
        refs.append(ref)
    outputs = tuple(Output(name=f"target-{number}", ref=ref) for number, ref in enumerate(refs))
    times = {"started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:06Z"}
    result = UnitResult(unit_id="finish", status="done", fingerprint="f", outputs=outputs, **times)  # type: ignore[arg-type]
    job_of(settings, store, "demo", task_id).write_result(result)


# -- creating


def test_a_task_is_a_run_with_an_id_of_digits(demo: Caller, airflow: FakeAirflow) -> None:
    task_id = created(demo)
    assert re.fullmatch("[1-9][0-9]{17}", task_id)
    ((dag_id, found),) = airflow.dag_runs
    assert (dag_id, found) == ("transcode", run_id("demo", task_id))


@pytest.mark.parametrize("version", ["1", "2", "3", "007", "9" * 90])
def test_any_number_is_a_version(demo: Caller, version: str) -> None:
    answer = demo("POST", f"/api/v{version}/task/transcoding", json=task())
    assert answer.status_code == 200
    assert demo("GET", f"/api/v{version}/task/transcoding/{answer.json()['task_id']}").status_code == 200


@pytest.mark.parametrize("version", ["", "x", "-1", "1.0", "１", "%31x"])
def test_what_is_no_number_is_no_version(demo: Caller, version: str) -> None:
    answer = demo("POST", f"/api/v{version}/task/transcoding", json=task())
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


def test_the_run_knows_addresses_only_as_they_may_be_shown(
    demo: Caller, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    urls = ["udp://relay.example.com:9000?pkt_size=1316", "rtmp://live.example.com/app/secret-key"]
    task_id = created(demo, source="https://user:secret@files.example.com/talk.mp4?token=secret", targets=urls)
    ((_, run),) = airflow.dag_runs.items()
    assert "secret" not in json.dumps([dict(run.conf), airflow.notes[run.run_id]])
    reference = TaskReference.model_validate(run.conf)
    assert (reference.client, reference.task_id, len(reference.targets)) == ("demo", task_id, 2)
    whole = job_of(settings, store, "demo", task_id).read_task()
    assert (whole.reference, whole.targets) == (reference, tuple(urls))
    assert demo.show(task_id)["source"]["source_url"].endswith("token=secret"), "its own client sees what it has sent"


@pytest.mark.parametrize(
    ("changes", "dag_id"),
    [
        ({}, "transcode"),
        ({"source": "https://files.example.com/a.mp4"}, "transcode"),
        ({"source": "rtmp://live.example.com/app/key"}, "live"),
        ({"targets": ["s3://media/out/a.mp4", "rtmp://live.example.com/app/key"]}, "live"),
    ],
)
def test_a_live_source_or_target_makes_a_live_task(demo: Caller, airflow: FakeAirflow, changes: Any, dag_id: str) -> None:
    created(demo, **changes)
    assert [dag for dag, _ in airflow.dag_runs] == [dag_id]


def test_the_default_profile_is_the_settings(demo: Caller, settings: Settings) -> None:
    for changes in ({"profile_name": None}, {}):
        sent = task() | changes
        if not changes:
            del sent["profile_name"]
        answer = demo("POST", TASKS, json=sent)
        assert demo.show(answer.json()["task_id"])["profile_name"] == settings.task_profile


def test_everything_a_run_needs_is_there_before_it(demo: Caller, airflow: FakeAirflow, store: MemoryStore) -> None:
    airflow.error = InternalError("Airflow does not answer; please try again.")
    answer = demo.create(callback_url="https://hooks.example.com/x")
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    written = [key for key in store.objects["media"] if key.startswith("_reelflow/")]
    assert any(key.endswith("request.json") for key in written)
    assert any("callback" in key for key in written)
    airflow.error = None
    assert demo.create(callback_url="https://hooks.example.com/x").status_code == 200


# -- once


def test_the_same_request_is_the_same_task_while_it_waits_and_runs(demo: Caller, airflow: FakeAirflow) -> None:
    task_id = created(demo)
    assert created(demo) == task_id
    airflow.begin("transcode", run_id("demo", task_id))
    assert created(demo) == task_id
    assert airflow.count("trigger") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "s3://media/in/other.mp4"},
        {"targets": ["s3://media/out/other.mp4"]},
        {"targets": ["s3://media/out/talk.mp4", "s3://media/out/two.mp4"]},
        {"profile_name": "video_mp4_640x360_800kbps"},
    ],
    ids=str,
)
def test_another_request_is_another_task(demo: Caller, changes: Any) -> None:
    assert created(demo) != created(demo, **changes)


def test_a_callback_makes_no_other_task(demo: Caller) -> None:
    assert created(demo) == created(demo, callback_url="https://hooks.example.com/x")


def test_two_clients_have_two_tasks(demo: Caller, other: Caller) -> None:
    assert created(demo) != created(other)


def test_a_source_that_was_replaced_is_another_task(demo: Caller, store: MemoryStore) -> None:
    before = created(demo)
    store.add("in/talk.mp4", data=b"another film")
    assert created(demo) != before


def test_a_done_task_is_the_same_while_its_outputs_are_there(
    demo: Caller, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    task_id = created(demo)
    airflow.begin("transcode", run_id("demo", task_id), "success")
    publish(settings, store, task_id, "out/talk.mp4")
    assert created(demo) == task_id
    store.add("out/talk.mp4", data=b"of somebody else")
    again = created(demo)
    assert again != task_id
    assert created(demo) == again


def test_a_failed_task_is_tried_again_as_another_one(demo: Caller, airflow: FakeAirflow) -> None:
    ids = []
    for _ in range(45):
        ids.append(created(demo))
        airflow.begin("transcode", run_id("demo", ids[-1]), "failed")
    assert len(set(ids)) == 45
    assert {demo.show(task_id)["task_status"] for task_id in ids} == {"FAILED"}


def test_a_failed_task_that_was_started_again_in_airflow_is_joined(demo: Caller, airflow: FakeAirflow) -> None:
    first = created(demo)
    airflow.begin("transcode", run_id("demo", first), "failed")
    second = created(demo)
    airflow.begin("transcode", run_id("demo", second), "failed")
    airflow.begin("transcode", run_id("demo", first), "running")
    assert created(demo) == first


def test_a_stream_that_is_over_is_another_task_the_next_time(demo: Caller, airflow: FakeAirflow) -> None:
    task_id = created(demo, **LIVE)
    assert created(demo, **LIVE) == task_id
    airflow.begin("live", run_id("demo", task_id), "success")
    assert created(demo, **LIVE) != task_id


def test_who_creates_at_the_same_moment_elsewhere_gets_the_same_id(demo: Caller, airflow: FakeAirflow) -> None:
    """Another server has triggered between the look and the trigger: Airflow answers 409, which is no error."""
    task_id = created(demo)
    run = airflow.dag_runs.pop(("transcode", run_id("demo", task_id)))

    original = airflow.runs

    async def blind(dag_id: str, run_ids: Any) -> Any:
        found = await original(dag_id, run_ids)
        airflow.dag_runs["transcode", run.run_id] = run
        return found

    airflow.runs = blind  # type: ignore[method-assign]
    assert created(demo) == task_id


def test_a_stream_whose_run_was_deleted_is_another_one_the_next_time(
    demo: Caller, airflow: FakeAirflow, store: MemoryStore, settings: Settings
) -> None:
    """Or its marker would be taken for the end of the new one, and its first second for the new one's."""
    task_id = created(demo, **LIVE)
    del airflow.dag_runs["live", run_id("demo", task_id)]
    job = job_of(settings, store, "demo", task_id)
    left = [job.live_key, job.result_key("live"), job.outcome_key, f"{job.live_prefix}1/recording.m3u8", job.cancelled_key]
    store.add(*left)
    assert created(demo, **LIVE) == task_id
    assert [key for key in left if store.head("media", key)] == []
    assert job.read_task().reference.task_id == task_id


def test_a_callback_is_heeded_though_another_server_was_faster(
    demo: Caller, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = created(demo)
    original = airflow.runs

    async def late(dag_id: str, run_ids: Any) -> Any:
        return await original(dag_id, run_ids) if airflow.count("trigger") > 1 else {}

    monkeypatch.setattr(airflow, "runs", late)
    assert created(demo, callback_url="https://hooks.example.com/x") == task_id
    assert airflow.calls[-1] == ("restart_task", f"{run_id('demo', task_id)} webhooks")


# -- refused


@pytest.mark.parametrize(
    ("source", "urls"),
    [
        ("s3://media/in/talk.mp4", ["S3://media/in/talk.mp4"]),
        ("s3://media/in/talk.mp4", ["rtmp://a.example.com/app/key", "rtmp://A.example.com:1935/app/key"]),
        ("udp://a.example.com:9000", ["udp://a.example.com:9000"]),
    ],
)
def test_the_same_place_in_two_spellings_is_named_twice(demo: Caller, source: str, urls: list[str]) -> None:
    answer = demo.create(source=source, targets=urls)
    assert (answer.status_code, answer.json()["code"]) == (400, "ParameterError")
    assert "named twice" in answer.json()["message"]


@pytest.mark.parametrize(("length", "status"), [(2048, 200), (2049, 400), (4096, 400)])
def test_a_callback_is_as_long_as_can_be_kept(demo: Caller, length: int, status: int) -> None:
    assert demo.create(callback_url="https://hooks.example.com/".ljust(length, "x")).status_code == status


def refused(caller: Caller, **changes: Any) -> tuple[int, str, str]:
    answer = caller("POST", TASKS, json=task() | changes)
    assert set(answer.json()) == {"code", "message"}, answer.text
    return answer.status_code, answer.json()["code"], answer.json()["message"]


def targets(*urls: Any) -> list[dict[str, Any]]:
    return [{"target_url": url} for url in urls]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source": None}, "source"),
        ({"source": "s3://media/a.mp4"}, "source"),
        ({"source": {}}, "source.source_url"),
        ({"source": {"source_url": ""}}, "source.source_url"),
        ({"source": {"source_url": 7}}, "source.source_url"),
        ({"source": {"source_url": "s3://media/a.mp4", "range": 1}}, "source.range"),
        ({"targets": []}, "targets"),
        ({"targets": None}, "targets"),
        ({"targets": {"target_url": "s3://media/b.mp4"}}, "targets"),
        ({"targets": ["s3://media/b.mp4"]}, "targets.0"),
        ({"targets": [{}]}, "targets.0.target_url"),
        ({"targets": targets(*(f"s3://media/{n}.mp4" for n in range(11)))}, "targets"),
        ({"targets": targets(*(f"s3://media/{n}.mp4" for n in range(101)))}, "targets"),
        ({"profile_name": 7}, "profile_name"),
        ({"profile_name": "x" * 129}, "profile_name"),
        ({"profil_name": "x"}, "profil_name"),
        ({"callback_url": "https://hooks.example.com/" + "x" * 5000}, "callback_url"),
        ({"callback_url": "ftp://hooks.example.com/"}, "callback_url"),
        ({"callback_url": "http://127.0.0.1/"}, "127.0.0.1"),
        ({"source": {"source_url": "no address"}}, "source_url"),
        ({"source": {"source_url": "s3://secret/a.mp4"}}, "source.source_url"),
        ({"source": {"source_url": "s3://media/_reelflow/jobs/x/request.json"}}, "source.source_url"),
        ({"targets": targets("s3://media/_reelflow/x")}, "targets.0.target_url"),
        ({"targets": targets("s3://media/a.mp4", "s3://media/incoming/transcode/b.mp4")}, "targets.1.target_url"),
        ({"targets": targets("s3://secret/a.mp4")}, "targets.0.target_url"),
        ({"targets": targets("s3://media/folder/")}, "target_url"),
        ({"source": {"source_url": "http://127.0.0.1/a.mp4"}}, "127.0.0.1"),
        ({"source": {"source_url": "http://2130706433/a.mp4"}}, "source_url"),
        ({"source": {"source_url": "http://[::ffff:10.0.0.1]/a.mp4"}}, "source.source_url"),
        ({"source": {"source_url": "http://169.254.169.254/latest/meta-data/"}}, "source.source_url"),
        ({"targets": targets("s3://media/a.mp4", "rtmp://10.0.0.1/app/key")}, "targets.1.target_url"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_field_is_named(demo: Caller, airflow: FakeAirflow, changes: dict[str, Any], field: str) -> None:
    status, code, message = refused(demo, **changes)
    assert (status, code) == (400, "InvalidParameterException")
    assert field in message
    assert airflow.count("trigger") == 0


def test_a_dropped_object_may_be_a_source(demo: Caller, store: MemoryStore) -> None:
    store.add("incoming/transcode/talk.mp4")
    created(demo, source="s3://media/incoming/transcode/talk.mp4")


@pytest.mark.parametrize("field", ["source", "targets"])
def test_a_missing_field_is_named(demo: Caller, field: str) -> None:
    sent = task()
    del sent[field]
    answer = demo("POST", TASKS, json=sent)
    assert answer.json() == {"code": "InvalidParameterException", "message": f"{field}: is required"}


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"7", b"\xff\xfe{}", b"[" * 200_000, b'{"a":' * 150_000])
def test_a_body_that_is_no_json_object_is_refused(demo: Caller, content: bytes) -> None:
    answer = demo("POST", TASKS, content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameterException")


@pytest.mark.parametrize(
    "scheme", ["file", "ftp", "concat", "subfile", "data", "gopher", "pipe", "crypto", "unix", "rtp", "hls+http"]
)
def test_another_protocol_is_not_supported(demo: Caller, scheme: str) -> None:
    assert refused(demo, source={"source_url": f"{scheme}://host.example.com/a.mp4"})[:2] == (400, "InputNotSupported")
    assert refused(demo, targets=targets(f"{scheme}://host.example.com/a.mp4"))[:2] == (400, "OutputNotSupported")


@pytest.mark.parametrize("scheme", ["https", "http", "rtsp"])
def test_some_protocols_are_read_and_not_written(demo: Caller, scheme: str) -> None:
    assert refused(demo, targets=targets(f"{scheme}://host.example.com/a.mp4"))[:2] == (400, "OutputNotSupported")


@pytest.mark.parametrize(
    "name", ["nothing", "../../etc/passwd", "video_mp4_1280x720", "video_mp4_63x64_100kbps", "video_avi_64x64_100kbps", " "]
)
def test_an_unknown_profile_is_told(demo: Caller, name: str) -> None:
    status, code, message = refused(demo, profile_name=name)
    assert (status, code) == (404, "NoSuchProfile")
    assert "passwd" not in message


@pytest.mark.parametrize(
    ("profile", "urls"),
    [
        ("hls_ladder_h264", ["rtmp://live.example.com/app/key"]),
        ("archive_h265", ["rtmp://live.example.com/app/key"]),
        ("broadcast_mpeg2", ["s3://media/out/a.ts", "rtmp://live.example.com/app/key"]),
        ("video_mp4_1280x720_1728kbps", ["s3://media/out/a.mp4", "s3://media/out/a.mp4"]),
        ("video_mp4_1280x720_1728kbps", ["s3://media/in/talk.mp4"]),
        ("video_mp4_1280x720_1728kbps", ["s3://media/out/talk.m3u8"]),
        ("hls_ladder_h264", ["s3://media/out/talk.mp4"]),
    ],
)
def test_what_cannot_go_together_is_told(demo: Caller, profile: str, urls: list[str]) -> None:
    assert refused(demo, profile_name=profile, targets=targets(*urls))[:2] == (400, "ParameterError")


def test_the_samples_mp4_profile_goes_to_rtmp(demo: Caller) -> None:
    assert created(
        demo, source="rtmp://live.example.com/app/in", targets=["rtmp://a.example.com/app/1", "rtmp://b.example.com/app/2"]
    )


def test_a_callback_without_a_secret_is_refused(other: Caller) -> None:
    status, code, message = refused(other, callback_url="https://hooks.example.com/x")
    assert (status, code) == (400, "InvalidParameterException")
    assert "callback_url" in message


def test_a_source_that_is_not_there_is_a_task_that_fails(demo: Caller) -> None:
    """As in the contract: unreachable input is an error of the task, not of the request."""
    assert created(demo, source="s3://media/in/missing.mp4")


# -- one's own


def test_tasks_of_others_are_as_if_they_were_not(demo: Caller, other: Caller, airflow: FakeAirflow) -> None:
    task_id = created(demo)
    answers = [other(method, f"{TASKS}/{wanted}") for method in ("GET", "DELETE") for wanted in (task_id, "3125")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert answers[0].json()["code"] == "NoSuchTask"
    assert other("GET", TASKS).json() == {"tasks": []}
    assert airflow.count("stop") == 0


@pytest.mark.parametrize("task_id", ["0", "abc", "1" * 19, "..", "-1", "1.0", "%2e%2e", "１", "request.json", "null", "9" * 5000])
def test_what_is_no_id_is_no_task(demo: Caller, task_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = demo(method, f"{TASKS}/{task_id}")
        assert answer.status_code == 404, answer.text
        assert answer.json()["code"] in {"NoSuchTask", "NotFound"}


# -- stopping


LATER, EARLIER = timedelta(seconds=1), timedelta(seconds=-60)


@pytest.mark.parametrize(
    ("changes", "dag_id", "state", "unit", "after", "stops"),
    [
        ({}, "transcode", "queued", None, None, 1),
        ({}, "transcode", "running", None, None, 1),
        (LIVE, "live", "queued", None, None, 1),
        (LIVE, "live", "running", "scheduled", None, 1),
        (LIVE, "live", "running", "scheduled", EARLIER, 1),
        (LIVE, "live", "running", "running", LATER, 0),
        (LIVE, "live", "running", "up_for_retry", LATER, 0),
        (LIVE, "live", "running", "scheduled", LATER, 0),
    ],
    ids=[
        "waiting files",
        "files at work",
        "waiting run",
        "waiting for a slot",
        "waiting for a slot after it was cleared",
        "live",
        "between two attempts",
        "waiting for a slot for another attempt",
    ],
)
def test_a_task_is_stopped(
    demo: Caller,
    airflow: FakeAirflow,
    changes: Any,
    dag_id: str,
    state: str,
    unit: str | None,
    after: timedelta | None,
    stops: int,
) -> None:
    """A live unit that has begun looks for the note and ends its recordings; Airflow would kill it."""
    task_id = created(demo, **changes)
    now = datetime.now(timezone.utc)
    if state == "running":
        airflow.begin(dag_id, run_id("demo", task_id), begun=now)
        start_date = now + after if after else None
        airflow.task_states[run_id("demo", task_id)] = (
            TaskState("live", -1, unit, start_date=start_date),
            TaskState("report", -1, None),
        )
    answer = demo("DELETE", f"{TASKS}/{task_id}")
    assert (answer.status_code, answer.json()["task_status"]) == (200, "CANCELLED")
    assert "error" not in answer.json()
    assert demo("DELETE", f"{TASKS}/{task_id}").json()["task_status"] == "CANCELLED"
    assert airflow.calls.count(("stop", run_id("demo", task_id))) == stops
    assert created(demo, **changes) != task_id


def test_a_task_that_was_stopped_and_started_again_in_airflow_is_as_it_is_now(demo: Caller, airflow: FakeAirflow) -> None:
    task_id = created(demo)
    demo("DELETE", f"{TASKS}/{task_id}")
    later = datetime.now(timezone.utc) + timedelta(seconds=5)
    for state, status in (("running", "RUNNING"), ("failed", "FAILED"), ("success", "SUCCESS")):
        airflow.begin("transcode", run_id("demo", task_id), state, begun=later)
        assert demo.show(task_id)["task_status"] == status


@pytest.mark.parametrize(("state", "status"), [("success", "SUCCESS"), ("failed", "FAILED")])
def test_a_task_that_is_over_stays_as_it_is(demo: Caller, airflow: FakeAirflow, state: str, status: str) -> None:
    task_id = created(demo)
    airflow.begin("transcode", run_id("demo", task_id), state)
    assert demo("DELETE", f"{TASKS}/{task_id}").json()["task_status"] == status
    assert airflow.count("stop") == 0


@pytest.mark.parametrize("changes", [{}, LIVE])
def test_a_stop_that_airflow_did_not_hear_is_repeated(demo: Caller, airflow: FakeAirflow, changes: Any) -> None:
    task_id = created(demo, **changes)
    original = airflow.stop

    async def fail(dag_id: str, run_id: str) -> None:
        airflow.stop = original  # type: ignore[method-assign]
        raise InternalError("Airflow does not answer; please try again.")

    airflow.stop = fail  # type: ignore[method-assign]
    assert demo("DELETE", f"{TASKS}/{task_id}").status_code == 500
    assert demo.show(task_id)["task_status"] == "PENDING"
    assert demo("DELETE", f"{TASKS}/{task_id}").json()["task_status"] == "CANCELLED"
    ((_, run),) = airflow.dag_runs.items()
    assert run.state == "failed"


def test_a_stop_that_was_promised_holds_though_the_next_request_for_it_fails(demo: Caller, airflow: FakeAirflow) -> None:
    task_id = created(demo, **LIVE)
    now = datetime.now(timezone.utc)
    airflow.begin("live", run_id("demo", task_id), begun=now)
    airflow.task_states[run_id("demo", task_id)] = (TaskState("live", -1, "running", start_date=now),)
    assert demo("DELETE", f"{TASKS}/{task_id}").json()["task_status"] == "CANCELLED"
    original, asked = airflow.tasks, []

    async def fail_once_it_is_to_be_stopped(dag_id: str, run_ids: Any) -> Any:
        asked.append(dag_id)
        if len(asked) == 2:
            raise InternalError("Airflow's database does not answer; please try again.")
        return await original(dag_id, run_ids)

    airflow.tasks = fail_once_it_is_to_be_stopped  # type: ignore[method-assign]
    assert demo("DELETE", f"{TASKS}/{task_id}").status_code == 500
    assert demo.show(task_id)["task_status"] == "CANCELLED"


# -- listing


def test_tasks_are_listed_newest_first_and_in_pages(demo: Caller, other: Caller) -> None:
    ids = [created(demo, targets=[f"s3://media/out/{number}.mp4"]) for number in range(7)]
    created(other)
    seen: list[str] = []
    cursor: str | None = None
    for expected in (3, 3, 1):
        page = demo("GET", TASKS, params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["tasks"]) == expected
        seen += [one["task_id"] for one in page["tasks"]]
        cursor = page.get("cursor")
    assert (seen, cursor) == (ids[::-1], None)


def test_the_list_tells_the_same_as_each_task(demo: Caller, airflow: FakeAirflow) -> None:
    ids = [created(demo), created(demo, **LIVE)]
    airflow.begin("transcode", run_id("demo", ids[0]))
    assert demo("GET", TASKS).json()["tasks"] == [demo.show(task_id) for task_id in reversed(ids)]


def test_tasks_of_one_status_are_listed(demo: Caller, airflow: FakeAirflow) -> None:
    states = {"queued": "PENDING", "running": "RUNNING", "success": "SUCCESS", "failed": "FAILED"}
    made = {}
    for state, status in states.items():
        made[status] = created(demo, targets=[f"s3://media/out/{state}.mp4"])
        if state != "queued":
            airflow.begin("transcode", run_id("demo", made[status]), state)
    made["CANCELLED"] = created(demo)
    demo("DELETE", f"{TASKS}/{made['CANCELLED']}")
    for status, task_id in made.items():
        listed = demo("GET", TASKS, params={"status": status}).json()["tasks"]
        assert [(one["task_id"], one["task_status"]) for one in listed] == [(task_id, status)]


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"status": "running"}, {"cursor": "x"}, {"cursor": "1" * 300}]
)
def test_a_wrong_parameter_of_the_list_is_named(demo: Caller, query: dict[str, Any]) -> None:
    answer = demo("GET", TASKS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameterException")
    assert next(iter(query)) in answer.json()["message"]


def test_runs_that_somebody_has_made_by_hand_are_no_tasks(demo: Caller, airflow: FakeAirflow) -> None:
    task_id = created(demo)
    asyncio.run(airflow.trigger("transcode", run_id("demo", "by-hand"), {}))
    asyncio.run(airflow.trigger("transcode", run_id("demo", "again"), {"task_id": task_id}))
    asyncio.run(airflow.trigger("transcode", run_id("demo", "77"), {"task_id": "77"}))
    assert [task["task_id"] for task in demo("GET", TASKS).json()["tasks"]] == [task_id]


def test_a_task_that_cannot_be_read_is_left_out_of_the_list(
    demo: Caller, airflow: FakeAirflow, tables: MemoryTables, store: MemoryStore, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    task_id, broken = created(demo), created(demo, targets=["s3://media/out/other.mp4"])
    store.add(job_of(settings, store, "demo", broken).request_key, data=b"{")
    # By another server: this one remembers what it has written.
    with TestClient(create_task_app(settings, store, airflow, tables)) as client:
        assert [task["task_id"] for task in Caller(client)("GET", TASKS).json()["tasks"]] == [task_id]

    def fail(*_: Any) -> bytes:
        raise StorageError("The object store did not answer.")

    monkeypatch.setattr(store, "get_bytes", fail)
    with TestClient(create_task_app(settings, store, airflow, tables)) as client:
        assert Caller(client)("GET", TASKS).status_code == 503


# -- errors of ours


def test_a_store_that_does_not_answer_is_told_so(demo: Caller, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> ObjectRef:
        raise StorageError("The object store did not answer.")

    monkeypatch.setattr(store, "head", fail)
    answer = demo.create()
    assert (answer.status_code, answer.json()) == (503, {"code": "InternalError", "message": "The object store did not answer."})


def test_what_nobody_foresaw_has_a_code_too(demo: Caller, airflow: FakeAirflow) -> None:
    airflow.error = ZeroDivisionError("/etc/passwd")
    answer = demo.create()
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert "passwd" not in answer.text


def test_an_unknown_path_and_method_answer_in_the_contracts_shape(demo: Caller) -> None:
    missing, wrong = demo("GET", "/api/v1/profiles/x"), demo("PUT", TASKS)
    assert (missing.status_code, missing.json()) == (404, {"code": "NotFound", "message": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"code": "MethodNotAllowed", "message": "Method Not Allowed"})
