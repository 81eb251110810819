"""What callbacks are told of a run: pure."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from include.orchestration.webhook_events import ending, kind_of_run, reached
from include.worker.models import Outcome, UnitSummary

ERROR = {"code": "InvalidInputData", "message": "The file is truncated.", "retryable": False}
WORK = ["plan", "encode", "finish"]


def outcome(state: Any, error: dict[str, Any] | None = None) -> Outcome:
    return Outcome(state=state, error=error, run_id="run", finished_at=datetime.now(timezone.utc))


def units(*weights: float) -> list[tuple[UnitSummary, ...]]:
    return [(UnitSummary(id=f"video-{number:05}", key="k", label="", weight=weight),) for number, weight in enumerate(weights)]


@pytest.mark.parametrize(
    ("found", "stopped", "how", "data"),
    [
        (outcome("done"), False, "succeeded", {"progress": 100}),
        (outcome("done"), True, "succeeded", {"progress": 100}),
        (outcome("failed", ERROR), False, "failed", {"error": ERROR}),
        (outcome("failed", ERROR), True, "cancelled", {}),
        (outcome("failed", ERROR | {"code": "Cancelled"}), False, "cancelled", {}),
        (None, True, "cancelled", {}),
    ],
)
def test_a_run_ends_in_one_of_three_ways(found: Outcome | None, stopped: bool, how: str, data: dict[str, Any]) -> None:
    assert ending(found, stopped=stopped) == (how, data)


def test_a_run_without_a_report_has_failed_through_our_fault() -> None:
    how, data = ending(None, stopped=False)
    assert (how, data["error"]["code"]) == ("failed", "InternalError")


def test_tasks_are_tasks_in_whichever_dag_they_run() -> None:
    assert kind_of_run("transcode", {"bucket": "media", "task_id": "3125"}) == "task"
    assert kind_of_run("live", {"task_id": "3125"}) == "task"
    assert kind_of_run("super_resolution", {"key": "a.mp4"}) == "super_resolution"


def test_progress_counts_units_that_have_ended_and_shares_of_those_at_work() -> None:
    assert reached(WORK, [], {}, {}) == {"progress": 0}
    assert reached(WORK, [], {"plan": "running"}, {"plan": {"fraction": 0.5}}) == {"progress": 1}
    states = {"plan": "success", "encode_0": "success", "encode_1": "running", "encode_2": None}
    assert reached(WORK, units(1, 2, 1), states, {"video-00001": {"fraction": 0.5}}) == {"progress": 48}
    done = {"plan": "success", "encode_0": "success", "finish": "success"}
    assert reached(WORK, units(1), done, {}) == {"progress": 99}


def test_units_of_a_group_share_its_progress() -> None:
    group = [(*units(1)[0], *units(1, 1)[1])]
    told = {"video-00000": {"fraction": 1.0}, "video-00001": {"fraction": 0.0}}
    assert reached(WORK, group, {"plan": "success", "encode_0": "deferred"}, told) == {"progress": 48}


def test_a_live_run_tells_what_its_unit_tells() -> None:
    told = {"live": {"event": "progress", "done": 61.5, "total": 3600, "unit": "seconds", "source": "connected", "at": "x"}}
    assert reached(["live"], [], {}, told) == {"progress": 61.5, "total": 3600, "unit": "seconds", "source": "connected"}
    assert reached(["live"], [], {}, {}) == {"progress": 0}
