"""The DAG `transcode` in the running stack: what operators see of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.worker.models import TranscodeRequest
from tests.conftest import Clips
from tests.e2e.stack import RunningStack
from tests.media import read_frame_numbers

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


def conf_of(stack: RunningStack, source: str, name: str, container: str = "hls") -> dict[str, Any]:
    return {"bucket": stack.bucket, "source_key": source, "folder": f"dag/{name}/", "name": name, "container": container}


def outcome_of(stack: RunningStack, conf: dict[str, Any]) -> dict[str, Any]:
    known = {name: conf[name] for name in ("bucket", "folder", "name", "container")}
    return stack.read_json(f"_reelflow/jobs/{TranscodeRequest(source_key='any', **known).job_id}/outcome.json")


def test_a_run_publishes_every_frame_and_a_cleared_run_reuses_what_is_done(
    stack: RunningStack, clip: Clips, tmp_path: Path
) -> None:
    conf = conf_of(stack, stack.upload(clip("short"), "dag/short.mp4"), "short")
    run_id = stack.trigger("transcode", conf)
    assert stack.wait("transcode", run_id) == "success"
    stack.download("dag/short/", tmp_path)
    assert read_frame_numbers(tmp_path / "hls0800k" / "short.m3u8") == list(range(clip.frames("short")))
    outcome = outcome_of(stack, conf)
    assert (outcome["state"], outcome["error"], outcome["run_id"]) == ("done", None, run_id)
    assert outcome["metrics"]["frames"] == clip.frames("short")
    names = {task["rendered_map_index"] for task in stack.tasks("transcode", run_id) if task["task_id"] == "encode"}
    assert all(names), "mapped tasks bear no label"

    path = f"/api/v2/dags/transcode/dagRuns/{run_id}/clear"
    stack.http.post(path, json={"dry_run": False}).raise_for_status()
    assert stack.wait("transcode", run_id) == "success"
    metrics = outcome_of(stack, conf)["metrics"]
    assert metrics["reused"] == metrics["units"]


def test_a_damaged_source_fails_at_once_with_its_reason(stack: RunningStack, clip: Clips) -> None:
    conf = conf_of(stack, stack.upload(clip("truncated_moov"), "dag/broken.mp4"), "broken")
    run_id = stack.trigger("transcode", conf)
    assert stack.wait("transcode", run_id) == "failed"
    outcome = outcome_of(stack, conf)
    assert outcome["state"] == "failed"
    assert outcome["error"]["code"] == "InvalidInputData"
    assert stack.keys("dag/broken/") == {}
    assert [task["try_number"] for task in stack.tasks("transcode", run_id) if task["task_id"] == "plan"] == [1]


def test_wrong_parameters_fail_the_run_with_a_sentence_that_names_them(stack: RunningStack) -> None:
    conf = conf_of(stack, "dag/none.mp4", "wrong") | {"nonsense": 1}
    run_id = stack.trigger("transcode", conf)
    assert stack.wait("transcode", run_id) == "failed"
    error = outcome_of(stack, conf)["error"]
    assert error["code"] == "ParameterError"
    assert "nonsense: " in error["message"]
    assert "nonsense: " in stack.task_log("transcode", run_id, "plan")


def test_parameters_that_break_the_form_are_refused_when_the_run_is_triggered(stack: RunningStack) -> None:
    body = {"logical_date": None, "conf": conf_of(stack, "a.mp4", "refused", container="avi")}
    answer = stack.http.post("/api/v2/dags/transcode/dagRuns", json=body)
    assert answer.status_code == 400
    assert "container" in answer.text


def test_a_bucket_that_is_not_configured_is_not_touched(stack: RunningStack) -> None:
    run_id = stack.trigger("transcode", conf_of(stack, "a.mp4", "elsewhere") | {"bucket": "someone-elses"})
    assert stack.wait("transcode", run_id) == "failed"
    assert "MEDIA_BUCKETS" in stack.task_log("transcode", run_id, "plan")


def test_no_secret_of_the_stack_is_in_any_log(stack: RunningStack) -> None:
    secrets = [stack.stack.admin_password, stack.stack.api_key, stack.stack.fernet_key, stack.stack.jwt_secret]
    for folder in (stack.stack.logs, stack.stack.airflow_home / "logs"):
        for path in folder.rglob("*"):
            if path.is_file():
                text = path.read_text(errors="replace")
                assert not [secret for secret in secrets if secret in text], path
