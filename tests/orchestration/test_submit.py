"""The dispatcher: one run per video, however often it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from include.errors import InternalError
from include.orchestration import submit as module
from include.orchestration.submit import Run, submit
from include.worker.models import TranscodeRequest


def request(name: str = "a", **changes: Any) -> TranscodeRequest:
    return TranscodeRequest(bucket="media", source_key=f"{name}.mp4", folder=f"out/{name}/", name=name, **changes)


class FakeRuns:
    def __init__(self, **existing: Run) -> None:
        self.existing, self.started, self.refuse = existing, [], set()

    def start(self, run_id: str, conf: Mapping[str, Any], note: str, *, again: bool = False) -> bool:
        if run_id in self.refuse:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={}))
        if run_id in self.existing and not again:
            return False
        self.started.append((run_id, again))
        return True

    def get(self, run_id: str) -> Run:
        return self.existing[run_id]


@pytest.fixture
def overrides(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(module, "override", lambda request, replaces: seen.append((request.source_key, dict(replaces))))
    monkeypatch.setattr(module, "withdraw", lambda request: seen.append("withdrawn"))
    return seen


def test_each_video_gets_a_run_with_its_own_id() -> None:
    runs = FakeRuns()
    counts = submit([request("a"), request("b")], runs, is_done=lambda one: False)
    assert counts == {"started": 2}
    assert runs.started == [(request("a").run_id, False), (request("b").run_id, False)]


@pytest.mark.parametrize(
    ("state", "exists", "expected"),
    [
        ("queued", False, "running"),
        ("running", False, "running"),
        ("failed", False, "restarted"),
        ("success", True, "done"),
        ("success", False, "restarted"),
    ],
)
def test_a_run_that_exists_is_joined_or_started_again(state: str, exists: bool, expected: str, overrides: list[Any]) -> None:
    one = request()
    runs = FakeRuns(**{one.run_id: Run(state, one.model_dump(mode="json"))})
    assert submit([one], runs, is_done=lambda one: exists) == {expected: 1}
    assert runs.started == ([(one.run_id, True)] if expected == "restarted" else [])
    assert overrides == (["withdrawn"] if expected == "restarted" else [])


def test_a_run_of_another_request_for_the_same_output_does_the_new_one(overrides: list[Any]) -> None:
    old = request(source_height=480).model_dump(mode="json")
    assert submit([request()], FakeRuns(**{request().run_id: Run("failed", old)}), is_done=lambda one: False) == {"restarted": 1}
    assert overrides == [("a.mp4", old)]


def test_one_refused_run_does_not_keep_the_others_from_starting() -> None:
    runs = FakeRuns()
    runs.refuse.add(request("a").run_id)
    with pytest.raises(InternalError, match="1 of 2"):
        submit([request("a"), request("b")], runs, is_done=lambda one: False)
    assert [run_id for run_id, _ in runs.started] == [request("b").run_id]
