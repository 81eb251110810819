"""S3 tells the queue, the watcher sees it, the dispatcher starts runs: on a stack of its own, whose moto sends the events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.dropping import PREFIX, Dropping, dropping, tiny_clip
from tests.e2e.stack import await_that

pytestmark = [pytest.mark.long, pytest.mark.stack, pytest.mark.xdist_group("ingest_queue"), pytest.mark.timeout(900)]

ACTIVE, BACKLOG = 8, 40


@pytest.fixture(scope="module")
def clip(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def place(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dropping]:
    with dropping(tmp_path_factory.mktemp("queue") / "state", tmp_path_factory.mktemp("cache")) as running:
        # It looks for what events have missed, once a minute: here events are to do it alone.
        running.stack.http.patch("/api/v2/dags/ingest_s3", json={"is_paused": True}).raise_for_status()
        yield running


def ended(place: Dropping, key: str) -> list[dict[str, Any]]:
    runs = place.runs_by_source().get(key, [])
    return runs if runs and all(run["state"] in ("success", "failed") for run in runs) else []


def test_events_start_a_run_for_each_object_and_what_is_no_event_is_a_dead_letter(place: Dropping, clip: bytes) -> None:
    good, text = place.drop("a b+c/é&#%2B.mp4", clip), place.drop("notes.txt", b"text")
    for _ in range(3):
        place.tell(good)
    place.tell(f"{PREFIX}never/was/there.mp4")
    place.queue.send("no JSON")

    (run,) = await_that("the run", lambda: ended(place, good), timeout=400)
    assert (run["dag_id"], run["state"]) == ("transcode", "success")
    folder = run["conf"]["folder"]
    assert folder.startswith("published/a b+c/")
    assert f"{folder}{run['conf']['name']}.m3u8" in place.stack.keys(folder)

    (refused,) = await_that("the refusal", lambda: ended(place, text), timeout=200)
    assert (refused["dag_id"], refused["state"]) == ("ingest_object", "failed")
    assert place.stack.read_json(f"{text}.error.json")["run_id"] == refused["dag_run_id"]

    await_that("every message is dealt with", lambda: place.messages() == 0, timeout=200)
    assert place.dead.waiting() == 1
    (dispatcher,) = [found for found in place.runs("ingest_queue") if found["state"] == "failed"]
    assert "it is no JSON object" in place.stack.task_log("ingest_queue", dispatcher["dag_run_id"], "dispatch")
    assert place.stack.keys(PREFIX).keys() == {text, f"{text}.error.json"}
    assert len(place.runs_by_source()) == 2

    weights = {task["priority_weight"] for task in place.stack.tasks("transcode", run["dag_run_id"])}
    assert max(weights) < 0, "runs of dropped objects give way to others"

    # The operator puts the dead letter back; it is one again.
    redrive = place.stack.trigger("ingest_queue", {"redrive": True})
    assert place.stack.wait("ingest_queue", redrive) == "failed"
    assert place.dead.waiting() == 1


@pytest.mark.long
def test_a_request_is_not_kept_waiting_by_a_backlog_of_objects(place: Dropping, clip: bytes) -> None:
    keys = {place.drop(f"backlog/{number:02}.mp4", clip) for number in range(BACKLOG)}
    await_that("as many runs as may be are at work", lambda: place.claims() == ACTIVE, timeout=300)
    place.stack.s3.put_object(Bucket=place.stack.bucket, Key="in/request.mp4", Body=clip)
    body = {"bucket": place.stack.bucket, "src": "in/request.mp4", "dst": "out/", "type": "m3u8", "time": "1", "testflag": "no"}
    with place.stack.client() as client:
        answer = client.post("/prod/videoTranscode", json=body).raise_for_status().json()
    assert place.stack.wait("transcode", answer["run_id"], timeout=600) == "success"

    waiting = place.messages()
    done = {key for key, runs in place.runs_by_source().items() if key in keys and runs[0]["state"] == "success"}
    print(f"When the request was done, {len(done)} of {BACKLOG} objects were, and {waiting} had not begun.")
    assert waiting >= BACKLOG // 2
    assert len(done) < BACKLOG // 2
    weights = {task["priority_weight"] for task in place.stack.tasks("transcode", answer["run_id"])}
    assert min(weights) > 0

    # Bounded all the while, and at last all of them.
    def drained() -> bool:
        assert place.claims() <= ACTIVE
        return all(ended(place, key) for key in keys)

    await_that("the backlog is drained", drained, timeout=1800, interval=2)
    assert {key: [run["state"] for run in place.runs_by_source()[key]] for key in keys} == {key: ["success"] for key in keys}
