"""Callbacks of real runs: told from the triggerer, without a worker, whatever becomes of the run."""

from __future__ import annotations

import json
import os
import signal
import uuid
from typing import Any

import pytest

from include.client import Client, Key
from include.worker.models import job_id_for
from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that
from tests.receiver import Receiver, receiver

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]


def submit(stack: RunningStack, path: Any, hook: Receiver) -> str:
    """Ask for one video with contract 1; return the run's id."""
    name = f"webhooks/{uuid.uuid4().hex[:8]}"
    body = {
        "bucket": stack.bucket, "src": stack.upload(path, f"{name}/a.mp4"), "dst": f"{name}/out/", "time": "1", "type": "mp4",
        "testflag": "no", "callback_url": hook.url,
    }  # fmt: skip
    with stack.client() as client:
        answer = client.post("/prod/videoTranscode", json=body)
    assert answer.status_code == 200, answer.text
    run_id = str(answer.json()["run_id"])
    assert run_id == f"transcode__{job_id_for(stack.bucket, f'{name}/out/a_1/a.mp4')}"
    return run_id


def deliveries(stack: RunningStack, run_id: str) -> list[dict[str, Any]]:
    path = f"/api/v2/dags/transcode/dagRuns/{run_id}/taskInstances/webhooks/xcomEntries/deliveries"
    value = stack.http.get(path).raise_for_status().json()["value"]
    return list(json.loads(value) if isinstance(value, str) else value)


def test_a_callback_is_told_progress_and_the_end_and_the_run_shows_it(stack: RunningStack, clip: Clips) -> None:
    with receiver() as hook:
        run_id = submit(stack, clip("plain"), hook)
        assert stack.wait("transcode", run_id) == "success"
    *progress, end = (taken.event for taken in hook.received)
    assert end["type"] == "transcode.succeeded"
    assert end["data"]["run_id"] == run_id
    assert end["data"]["dst"].endswith("/out/a_1/a.mp4")
    assert {event["type"] for event in progress} == {"transcode.progress"}
    reached = [event["data"]["progress"] for event in progress]
    assert reached == sorted(set(reached))
    (shown,) = deliveries(stack, run_id)
    assert (shown["delivered"], shown["id"]) == (True, hook.received[-1].id)
    log = stack.task_log("transcode", run_id, "webhooks")
    assert "transcode.succeeded to http://127.0.0.1" in log
    assert "a-secret-token" not in log + json.dumps([shown, stack.run("transcode", run_id)])


@pytest.mark.long
def test_a_receiver_that_never_takes_it_is_shown_and_is_no_failure_of_the_run(stack: RunningStack, clip: Clips) -> None:
    with receiver((500,)) as hook:
        run_id = submit(stack, clip("two_frames"), hook)
        assert stack.wait("transcode", run_id) == "success"
    states = stack.task_states("transcode", run_id)
    assert (states["webhooks[-1]"], states["report[-1]"]) == ("failed", "success")
    (shown,) = deliveries(stack, run_id)
    assert (shown["delivered"], shown["attempts"], shown["answer"]) == (False, 2, "HTTP 500")


def test_a_task_that_its_client_stops_is_told_to_be_cancelled(stack: RunningStack, clip: Clips) -> None:
    name = f"webhooks/{uuid.uuid4().hex[:8]}"
    source = f"s3://{stack.bucket}/{stack.upload(clip('plain'), f'{name}/a.mp4')}"
    with receiver() as hook, Client(stack.stack.airflow_url, Key(*stack.stack.signing_key)) as client:
        task_id = client.create(source, [f"s3://{stack.bucket}/{name}/b.mp4"], callback_url=hook.url)
        await_that("the task is at work", lambda: client.query(task_id)["task_status"] == "RUNNING")
        await_that("progress is told", lambda: hook.received)
        assert client.delete(task_id)["task_status"] == "CANCELLED"
        await_that("the end is told", lambda: hook.types[-1] == "task.cancelled", timeout=120)
    assert hook.received[-1].event["data"]["task_id"] == task_id


@pytest.mark.long
def test_a_triggerer_that_is_killed_tells_the_end_all_the_same(stack: RunningStack, clip: Clips) -> None:
    with receiver() as hook:
        run_id = submit(stack, clip("plain"), hook)
        await_that("progress is told", lambda: hook.received)
        for process in stack.processes("airflow", "triggerer"):
            os.kill(process.pid, signal.SIGKILL)
        assert stack.wait("transcode", run_id) == "success"
    ends = [taken for taken in hook.received if taken.event["type"] == "transcode.succeeded"]
    assert len({taken.id for taken in ends}) == 1
