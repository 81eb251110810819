from __future__ import annotations

import pytest

from include.media_api.gateway import TaskState
from include.media_api.progress import percent

PLANNED = TaskState("plan", -1, "success")


@pytest.mark.parametrize(
    ("tasks", "weights", "expected"),
    [
        ((), (), 0),
        ((TaskState("plan", -1, "running", 0.9),), (), 1),
        ((PLANNED,), (), 2),
        ((PLANNED, TaskState("encode", -1, None)), (), 2),
        ((PLANNED, TaskState("encode", 0, "success"), TaskState("encode", 1, None)), (), 47),
        ((PLANNED, TaskState("encode", 0, "success"), TaskState("encode", 1, None)), (9.0, 1.0), 83),
        ((PLANNED, TaskState("encode", 0, "deferred", 0.5)), (1.0,), 47),
        ((PLANNED, TaskState("encode", 0, "success"), TaskState("finish", -1, "running", 0.5)), (), 96),
        ((PLANNED, TaskState("encode", 0, "success"), TaskState("finish", -1, "success"), TaskState("report", -1, None)), (), 99),
        ((PLANNED, TaskState("encode", 0, "failed"), TaskState("finish", -1, "upstream_failed")), (), 2),
    ],
    ids=["nothing", "planning", "planned", "not mapped yet", "half", "weighted", "deferred", "finishing", "reporting", "failed"],
)
def test_progress_counts_what_is_done(tasks: tuple[TaskState, ...], weights: tuple[float, ...], expected: int) -> None:
    assert percent(tasks, weights) == expected
