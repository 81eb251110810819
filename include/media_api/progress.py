"""How far a run has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.media_api.gateway import TaskState

__all__ = ["SUPER_RESOLUTION", "TRANSCODE", "Steps", "percent"]

_DONE = {"success", "skipped"}


@dataclass(frozen=True)
class Steps:
    """The tasks of a DAG, first, mapped and last, and their rough shares of a run's time."""

    first: str
    mapped: str
    last: str
    shares: tuple[int, int, int]


TRANSCODE = Steps("plan", "encode", "finish", (2, 90, 8))
SUPER_RESOLUTION = Steps("split", "upscale", "merge", (3, 90, 7))


def percent(tasks: Sequence[TaskState], weights: Sequence[float] = (), steps: Steps = TRANSCODE) -> int:
    """Return 0 to 99 (100 is for an output that is there); ``weights`` are those of the mapped units, in map order."""

    def share(task_id: str) -> float:
        return max((_fraction(task) for task in tasks if task.task_id == task_id), default=0.0)

    # Before the plan is known the mapped task is one instance without an index.
    units = [task for task in tasks if task.task_id == steps.mapped and task.map_index >= 0]
    weight = dict(enumerate(weights))
    done = sum(weight.get(unit.map_index, 1.0) * _fraction(unit) for unit in units)
    whole = sum(weight.get(unit.map_index, 1.0) for unit in units)
    first, mapped, last = steps.shares
    return min(99, int(first * share(steps.first) + (mapped * done / whole if whole else 0.0) + last * share(steps.last)))


def _fraction(task: TaskState) -> float:
    return 1.0 if task.state in _DONE else task.progress
