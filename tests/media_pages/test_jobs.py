"""The list: kinds, filters, pages; how a job goes and why it has failed; nothing secret."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.errors import StorageDenied, StorageError
from include.ingest.models import Claim
from include.media_api.gateway import TaskState
from include.media_api.upload_service import UploadService
from include.uploads.models import Problem
from include.worker.models import Outcome, SuperResolutionRequest, TranscodeRequest, UnitResult, UnitSummary
from include.worker.task_request import TaskReference
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.uploads.memory import an_upload

NOW = datetime.now(timezone.utc)
FILM = TranscodeRequest(
    bucket="media", source_key="in/film.mp4", folder="out/film/", name="film", client="ott", content_provider="studio"
)
OLD = SuperResolutionRequest(bucket="media", key="old/电影.mp4", client="archive")
TASK = TaskReference(
    bucket="media",
    client="demo",
    task_id="7",
    source="s3://media/in/a.mp4",
    targets=("s3://media/out/a.mp4", "s3://media/out/b.mp4"),
)
STREAM = TaskReference(
    bucket="media", client="demo", task_id="8", source="rtmp://live.example/app/***", targets=("s3://media/out/s.m3u8",)
)
FOLDER = {
    "bucket": "media",
    "src": "in/day/",
    "dst": "out/",
    "time": "1",
    "type": "m3u8",
    "client": "ott",
    "contentprovider": "studio",
}


def begin(airflow: FakeAirflow, dag_id: str, run_id: str, conf: Any, state: str = "queued") -> None:
    asyncio.run(airflow.trigger(dag_id, run_id, conf if isinstance(conf, dict) else conf.model_dump(mode="json")))
    if state != "queued":
        airflow.begin(dag_id, run_id, state, begun=NOW - timedelta(minutes=1))
    airflow.tokens.clear()


def rows(client: TestClient, query: str = "") -> list[dict[str, Any]]:
    return client.get(f"/media/data/jobs{query}").raise_for_status().json()["jobs"]


@pytest.fixture
def all_kinds(airflow: FakeAirflow) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM)
    begin(airflow, "super_resolution", OLD.run_id, OLD, "running")
    begin(airflow, "transcode", TASK.run_id, TASK, "success")
    begin(airflow, "live", STREAM.run_id, STREAM, "running")
    begin(
        airflow, "upload", "upload__u1", {"atom_id": "a", "upload_id": "u1", "client": "news", "filename": "talk.mov"}, "failed"
    )
    begin(airflow, "video_transcode", "video_transcode__1", FOLDER, "success")
    begin(
        airflow, "ingest_object", "ingest_object__1", {"bucket": "media", "key": "incoming/x.txt", "client": "ingest"}, "failed"
    )
    begin(airflow, "somebody_elses", "r", {})
    airflow.task_states["upload__u1"] = (TaskState("await_parts", -1, "failed"), TaskState("report", -1, "skipped"))


@pytest.mark.usefixtures("all_kinds")
def test_all_kinds_are_in_one_list_newest_first(ada: TestClient) -> None:
    found = rows(ada)
    assert [(job["kind"], job["state"], job["title"], job["destination"]) for job in found] == [
        ("ingest", "failed", "incoming/x.txt", None),
        ("folder", "done", "in/day/", "out/"),
        ("upload", "cancelled", "talk.mov", None),
        ("task", "running", "rtmp://live.example/app/***", "s3://media/out/s.m3u8"),
        ("task", "done", "s3://media/in/a.mp4", "s3://media/out/a.mp4"),
        ("super_resolution", "running", "old/电影.mp4", "old/电影_x2.mp4"),
        ("transcode", "queued", "in/film.mp4", "out/film/film.m3u8"),
    ]
    assert [job["client"] for job in found] == ["ingest", "ott", "news", "demo", "demo", "archive", "ott"]
    assert found[0]["run_path"] == "/dags/ingest_object/runs/ingest_object__1"
    assert found[-1]["created_at"].endswith("Z")
    assert [job["progress"] for job in found] == [None, 100, None, None, 100, 0, None]


@pytest.mark.usefixtures("all_kinds")
@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("?kind=task", ["rtmp://live.example/app/***", "s3://media/in/a.mp4"]),
        ("?kind=transcode", ["in/film.mp4"]),
        ("?kind=upload&kind=folder", ["in/day/", "talk.mov"]),
        ("?state=failed", ["incoming/x.txt"]),
        ("?state=cancelled", ["talk.mov"]),
        ("?state=queued&state=done", ["in/day/", "s3://media/in/a.mp4", "in/film.mp4"]),
        ("?client=ott", ["in/day/", "in/film.mp4"]),
        ("?provider=studio", ["in/day/", "in/film.mp4"]),
        ("?q=电影", ["old/电影.mp4"]),
        ("?q=FILM", ["in/film.mp4"]),
        ("?q=in%2F&kind=task", ["s3://media/in/a.mp4"]),
        ("?client=&provider=&q=&cursor=&kind=ingest", ["incoming/x.txt"]),
        ("?q=nothing", []),
    ],
)
def test_filters(ada: TestClient, query: str, titles: list[str]) -> None:
    assert [job["title"] for job in rows(ada, query)] == titles


@pytest.mark.parametrize(
    "query", ["?state=lost", "?kind=film", "?limit=0", "?limit=101", "?limit=x", "?cursor=x", f"?q={'x' * 201}"]
)
def test_what_no_filter_can_be_is_named(ada: TestClient, query: str) -> None:
    answer = ada.get(f"/media/data/jobs{query}")
    assert answer.status_code == 400
    assert query[1:].partition("=")[0] in answer.json()["message"]


def test_pages_follow_each_other_without_gap_or_repetition(ada: TestClient, airflow: FakeAirflow) -> None:
    for number in range(60):
        begin(airflow, "video_transcode", f"r{number}", FOLDER)
    ids: list[str] = []
    cursor = ""
    while cursor is not None:
        page = ada.get(f"/media/data/jobs?limit=25&cursor={cursor}").json()
        ids += [job["run_id"] for job in page["jobs"]]
        cursor = page["next"]
    assert ids == [f"r{number}" for number in reversed(range(60))]


def test_a_page_is_filled_where_the_database_cannot_tell_what_is_wanted(ada: TestClient, airflow: FakeAirflow) -> None:
    for number in range(40):
        begin(airflow, "upload", f"u{number}", {"client": "c"}, "failed")
        airflow.task_states[f"u{number}"] = (TaskState("report", -1, "skipped" if number % 2 else "failed"),)
    assert [job["run_id"] for job in rows(ada, "?state=cancelled&limit=15")] == [f"u{number}" for number in range(39, 9, -2)]


def test_many_who_look_cost_one_read(ada: TestClient, vera: TestClient, airflow: FakeAirflow) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "running")
    airflow.calls.clear()
    for _ in range(5):
        assert len(rows(ada)) == len(rows(vera)) == 1
        ada.get(f"/media/data/jobs/transcode/{FILM.run_id}")
    assert {name: airflow.count(name) for name in ("find", "runs", "tasks")} == {"find": 1, "runs": 1, "tasks": 2}


def test_addresses_are_shown_without_what_is_secret(ada: TestClient, airflow: FakeAirflow) -> None:
    # As somebody might type it into Airflow's form.
    conf = STREAM.model_dump(mode="json") | {
        "source": "rtmp://user:hunter2@live.example/app/streamkey99",
        "targets": ["srt://out.example:9000?passphrase=hunter2&streamid=streamkey99"],
    }
    begin(airflow, "live", "r", conf)
    begin(
        airflow, "transcode", "t", {"source_key": "https://u:hunter2@web.example/a.mp4?token=hunter2", "callback_url": "hunter2"}
    )
    for path in ("", "/live/r", "/transcode/t"):
        text = ada.get(f"/media/data/jobs{path}").raise_for_status().text
        assert "hunter2" not in text
        assert "streamkey99" not in text


def test_a_conf_that_makes_no_sense_is_a_row_all_the_same(ada: TestClient, airflow: FakeAirflow) -> None:
    for number, dag_id in enumerate(("transcode", "super_resolution", "live", "upload", "video_transcode", "ingest_object")):
        for state in ("queued", "running", "success", "failed"):
            begin(
                airflow,
                dag_id,
                f"{dag_id}-{state}",
                {"key": 7, "targets": {}, "atom_id": [], "bucket": "x", "source": number},
                state,
            )
    assert len(rows(ada)) == 24
    assert rows(ada)[0]["title"] == "ingest_object-failed"


def test_progress_and_rate_of_units_at_work(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "running")
    airflow.task_states[FILM.run_id] = (
        TaskState("plan", -1, "success"),
        TaskState("encode", 0, "success"),
        TaskState("encode", 1, "running", 0.5, {"fps": 20.04}),
        TaskState("encode", 2, "deferred", 0.5, {"fps": 5.5}),
        TaskState("encode", 3, None),
    )
    (job,) = rows(ada)
    assert (job["progress"], job["fps"]) == (2 + 45, 25.5)
    # By what the units weigh, once the plan is there.
    plan = UnitResult(
        unit_id="plan", status="done", fingerprint="f", started_at=NOW, finished_at=NOW,
        units=tuple(UnitSummary(id=f"video-{n:05}", key="k", label="l", weight=7.0 if n == 0 else 1.0) for n in range(4)),
    )  # fmt: skip
    store.add(f"_reelflow/jobs/{FILM.job_id}/results/result-plan.json", data=plan.model_dump_json().encode())
    assert ada.get(f"/media/data/jobs/transcode/{FILM.run_id}").json()["progress"] == 2 + 72


def test_a_live_stream_tells_its_length_rate_and_losses(ada: TestClient, airflow: FakeAirflow) -> None:
    begin(airflow, "live", STREAM.run_id, STREAM, "running")
    told = {"seconds": 61.5, "fps": 25, "bit_rate": 4_000_000, "targets": [{"dropped": 3}, {"dropped": 4}, "x"]}
    airflow.task_states[STREAM.run_id] = (TaskState("live", -1, "running", event=told),)
    (job,) = rows(ada)
    assert job["live"] == {"seconds": 61.5, "bit_rate": 4_000_000, "dropped": 7}
    assert (job["progress"], job["fps"], job["state"]) == (None, 25.0, "running")


def test_a_live_stream_that_was_stopped_is_cancelled_while_it_closes(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore
) -> None:
    begin(airflow, "live", STREAM.run_id, STREAM, "running")
    store.add(f"_reelflow/jobs/{STREAM.job_id}/cancelled.json", data=json.dumps({"at": NOW.isoformat()}).encode())
    (job,) = rows(ada, "?state=cancelled")
    assert (job["state"], job["can_stop"], job["can_retry"]) == ("cancelled", False, False)
    assert rows(ada, "?state=running") == []


def write_outcome(store: MemoryStore, request: Any, error: dict[str, Any], at: datetime = NOW) -> None:
    outcome = Outcome(state="failed", error=error, run_id=request.run_id, finished_at=at)
    store.add(f"_reelflow/jobs/{request.job_id}/outcome.json", data=outcome.model_dump_json().encode())


def test_a_failed_job_says_why(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "failed")
    airflow.task_states[FILM.run_id] = (TaskState("report", -1, "failed"),)
    write_outcome(
        store, FILM, {"code": "InvalidInputData", "message": "The file rtmp://a/b/streamkey99 ends early.", "retryable": False}
    )
    (job,) = rows(ada)
    assert (job["state"], job["error"], job["can_retry"]) == ("failed", "The file rtmp://a/... ends early.", True)


def test_what_an_earlier_attempt_said_is_no_reason(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "failed")
    airflow.task_states[FILM.run_id] = (TaskState("report", -1, "failed"),)
    write_outcome(store, FILM, {"code": "InvalidInputData", "message": "It was broken."}, NOW - timedelta(hours=1))
    assert "logs of its tasks" in rows(ada)[0]["error"]


def test_a_run_whose_report_never_began_was_stopped(ada: TestClient, airflow: FakeAirflow) -> None:
    begin(airflow, "super_resolution", OLD.run_id, OLD, "failed")
    airflow.task_states[OLD.run_id] = (TaskState("split", -1, "failed"), TaskState("report", -1, "skipped"))
    (job,) = rows(ada)
    assert (job["state"], job["error"], job["can_retry"]) == ("cancelled", None, True)


def test_how_a_run_has_ended_is_looked_up_once_for_each_of_its_ends(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore
) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "failed")
    assert rows(ada, "?limit=1")[0]["error"]
    airflow.calls.clear()
    assert rows(ada, "?limit=2")[0]["error"]
    assert airflow.count("tasks") == 0
    airflow.begin("transcode", FILM.run_id, "failed", begun=NOW)
    write_outcome(store, FILM, {"code": "TimeOut", "message": "Too slow."}, datetime.now(timezone.utc))
    airflow.task_states[FILM.run_id] = (TaskState("report", -1, "failed"),)
    assert rows(ada, "?limit=3")[0]["error"] == "Too slow."


def test_the_list_does_without_a_store_that_does_not_answer(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "failed")
    begin(airflow, "transcode", TASK.run_id, TASK, "running")

    def away(bucket: str, key: str) -> bytes:
        raise StorageError("The store does not answer.")

    store.get_bytes = away  # type: ignore[method-assign]
    assert [(job["state"], job["error"]) for job in rows(ada)] == [("running", None), ("failed", None)]


def test_what_the_store_refuses_the_server_is_not_forbidden_to_the_user(
    ada: TestClient, airflow: FakeAirflow, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(airflow, "transcode", FILM.run_id, FILM, "failed")

    def refused(*_: Any) -> Any:
        raise StorageDenied("The object store refuses our credentials.")

    for name in ("head", "get_bytes", "list"):
        monkeypatch.setattr(store, name, refused)
    (job,) = rows(ada)
    assert (job["state"], job["can_retry"]) == ("failed", True)
    path = f"/media/data/jobs/transcode/{FILM.run_id}"
    assert ada.get(path).status_code == ada.get(f"{path}/hls/a.m3u8").status_code == 503


def test_a_note_without_a_time_zone_is_none(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    begin(airflow, "transcode", TASK.run_id, TASK, "failed")
    store.add(f"_reelflow/jobs/{TASK.job_id}/cancelled.json", data=b'{"at": "2099-01-01T00:00:00"}')
    assert rows(ada)[0]["state"] == "failed"


def test_an_upload_goes_by_its_parts_and_destinations(ada: TestClient, airflow: FakeAirflow, uploads: UploadService) -> None:
    upload = an_upload(uploads.uploads, "a", size=12 * 2**20, part_size=6 * 2**20, destinations=("s3Bucket", "youtube"))
    begin(airflow, "upload", upload.reference.run_id, upload.reference, "running")
    assert rows(ada, "?limit=1")[0]["progress"] == 0
    uploads.uploads.set_landed(upload, lambda now: now.landed.model_copy(update={"complete": frozenset({0})}))
    uploads.uploads.set_destination("a", upload.id, "youtube", status="upload", progress=50.0)
    assert rows(ada, "?limit=2")[0]["progress"] == 25 + 6
    uploads.uploads.set_destination("a", upload.id, "youtube", status="transcoding", progress=50.0)
    uploads.uploads.set_destination("a", upload.id, "s3Bucket", status="complete")
    assert rows(ada, "?limit=3")[0]["progress"] == 25 + 18 + 25
    uploads.uploads.fail(upload.reference, Problem(code="TimeOut", message="Timed out waiting for part 1"))
    airflow.begin("upload", upload.reference.run_id, "failed")
    (job,) = rows(ada, "?limit=4")
    assert (job["state"], job["error"], job["can_retry"]) == ("failed", "Timed out waiting for part 1", True)


def test_a_refused_object_says_why(ada: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    claim = Claim(
        id="0" * 32, bucket="media", key="incoming/x.txt", etag="e", size=1, claimed_at=NOW, state="refused",
        dag_id="ingest_object", run_id="ingest_object__0", conf={},
        error={"code": "InputNotSupported", "message": "It is no video."},
    )  # fmt: skip
    store.add(f"_reelflow/ingest/settled/{claim.id}.json", data=claim.model_dump_json().encode())
    begin(airflow, "ingest_object", claim.run_id, {"key": claim.key, "claim_id": claim.id}, "failed")
    airflow.task_states[claim.run_id] = (TaskState("take", -1, "failed"),)
    (job,) = rows(ada)
    assert (job["kind"], job["state"], job["error"]) == ("ingest", "failed", "It is no video.")


def test_a_run_that_is_none_of_ours_is_told_apart(ada: TestClient) -> None:
    assert ada.get("/media/data/jobs/somebody_elses/r").status_code == 422
    assert ada.get("/media/data/jobs/transcode/nothing").status_code == 404
