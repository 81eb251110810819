"""How far a run of the DAG `transcode` has come."""

from __future__ import annotations

from collections.abc import Sequence

from include.media_api.gateway import TaskState

__all__ = ["percent"]

# Rough shares of a run's time; encoding is nearly all of it.
_PLAN, _ENCODE, _FINISH = 2, 90, 8
_DONE = {"success", "skipped"}


def percent(tasks: Sequence[TaskState], weights: Sequence[float] = ()) -> int:
    """Return 0 to 99 (100 is for an output that is there); ``weights`` are those of the encode units, in map order."""

    def share(task_id: str) -> float:
        return max((_fraction(task) for task in tasks if task.task_id == task_id), default=0.0)

    # Before the plan is known the mapped task is one instance without an index.
    units = [task for task in tasks if task.task_id == "encode" and task.map_index >= 0]
    weight = dict(enumerate(weights))
    done = sum(weight.get(unit.map_index, 1.0) * _fraction(unit) for unit in units)
    whole = sum(weight.get(unit.map_index, 1.0) for unit in units)
    encoded = done / whole if whole else 0.0
    return min(99, int(_PLAN * share("plan") + _ENCODE * encoded + _FINISH * share("finish")))


def _fraction(task: TaskState) -> float:
    return 1.0 if task.state in _DONE else task.progress
