"""The flow of a job as steps, from the states of its tasks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from include.media_api.gateway import Run, TaskState
from include.media_pages.models import Step, StepState

__all__ = ["AT_WORK", "FLOWS", "log_path", "steps_of"]

AT_WORK = frozenset({"running", "deferred", "restarting"})
_STATES: Mapping[str, StepState] = {
    "success": "done",
    "failed": "failed",
    "skipped": "skipped",
    "upstream_failed": "skipped",
    "removed": "skipped",
    **dict.fromkeys(AT_WORK, "running"),
}
_OVER = frozenset({"done", "failed", "skipped"})

# Tasks in the order of their flow; what is not named here comes behind, as it begins.
FLOWS: Mapping[str, tuple[str, ...]] = {
    "transcode": ("plan", "encode", "finish", "report"),
    "super_resolution": ("split", "upscale", "merge", "report"),
    "live": ("live", "report"),
    "upload": ("begin", "await_parts", "relay", "join", "transcode", "processing", "clean", "report"),
    "video_transcode": ("submit",),
}
# It lasts as long as the run, and is skipped where nobody wants to be told.
_BESIDE = "webhooks"


def log_path(run: Run, task_id: str, map_index: int = -1) -> str:
    """Return the path of a task's log in Airflow's UI."""
    path = f"/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}/tasks/{quote(task_id, safe='')}"
    return f"{path}/mapped/{map_index}" if map_index >= 0 else path


def steps_of(run: Run, tasks: Sequence[TaskState], units: Mapping[str, tuple[int, int]] | None = None) -> tuple[Step, ...]:
    """Return the steps of a run; ``units`` are, by the task that fans out, how many there are and how many are done."""
    by_id: dict[str, list[TaskState]] = {name: [] for name in FLOWS.get(run.dag_id, ())}
    # Those without a start come last.
    for task in sorted(tasks, key=lambda task: (task.start_date is None, task.start_date and task.start_date.timestamp())):
        by_id.setdefault(task.task_id, []).append(task)
    if all(_state(task, run) in {"waiting", "skipped"} for task in by_id.get(_BESIDE, ())):
        by_id.pop(_BESIDE, None)
    return tuple(_step(run, name, found, (units or {}).get(name)) for name, found in by_id.items())


def _step(run: Run, name: str, tasks: Sequence[TaskState], units: tuple[int, int] | None) -> Step:
    states = [_state(task, run) for task in tasks] or ["skipped" if run.is_finished else "waiting"]
    mapped = [task for task in tasks if task.map_index >= 0]
    if units is None and mapped:
        units = len(mapped), sum(_state(task, run) == "done" for task in mapped)
    state = _together(states)
    started = [task.start_date for task in tasks if task.start_date]
    ended = [task.end_date for task in tasks if task.end_date]
    begun = bool(started) and state != "waiting"
    path = log_path(run, name)
    return Step(
        name=name,
        state=state,
        started_at=min(started) if begun else None,
        ended_at=_latest(ended) if begun and state in _OVER else None,
        units=units[0] if units else None,
        units_done=units[1] if units else None,
        log_path=(f"{path}/mapped" if mapped else path) if begun else None,
    )


def _latest(times: Sequence[datetime]) -> datetime | None:
    return max(times) if times else None


def _state(task: TaskState, run: Run) -> StepState:
    state = _STATES.get(str(task.state), "waiting")
    # What still waits when its run is over never comes.
    return "skipped" if state == "waiting" and run.is_finished else state


def _together(states: Sequence[StepState]) -> StepState:
    """Return the state of a step with several tasks."""
    found = set(states)
    if len(found) == 1:
        return states[0]
    if "running" in found or ("waiting" in found and "done" in found):
        return "running"
    if "failed" in found:
        return "failed"
    return "waiting" if "waiting" in found else "done" if "done" in found else "skipped"
