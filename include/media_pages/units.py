"""The pieces of a film as a strip: where each is, and how it goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from include.errors import Cancelled
from include.media_api.gateway import Run, TaskState
from include.media_pages.facts import Place
from include.media_pages.models import Unit, UnitState
from include.media_pages.steps import AT_WORK, log_path
from include.worker.groups import kind_of
from include.worker.models import UnitResult, UnitSummary

__all__ = ["Pieces", "Strip", "live_strip", "strip_of"]

# Phases of which a unit tells frames a second.
_COUNTING = {"encode", "upscale", "array", "live"}
_KINDS: Mapping[str, Literal["video", "audio", "upscale"]] = {"video": "video", "audio": "audio", "upscale": "upscale"}


@dataclass(frozen=True)
class Strip:
    """The units of a run, and the frames a second of those at work together."""

    units: tuple[Unit, ...] = ()
    fps: float | None = None
    failures: tuple[UnitResult, ...] = field(default=())

    @property
    def counts(self) -> tuple[int, int] | None:
        """How many units there are, and how many are done; ``None`` where there are none yet."""
        done = sum(unit.state in {"done", "reused"} for unit in self.units)
        return (len(self.units), done) if self.units else None


@dataclass(frozen=True)
class Pieces:
    """The planned units as the mapped tasks have them, in their order; by unit id their results and places in the film."""

    groups: Sequence[Sequence[UnitSummary]] = ()
    results: Mapping[str, UnitResult] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)


def strip_of(run: Run, task_id: str, tasks: Sequence[TaskState], pieces: Pieces) -> Strip:
    """Return the units of the task ``task_id``, which fans out."""
    by_index = {task.map_index: task for task in tasks if task.task_id == task_id and task.map_index >= 0}
    planned = [(by_index.get(index), unit) for index, group in enumerate(pieces.groups) for unit in group]
    failures = [
        failure for task, unit in planned if (failure := _fresh_failure(task, pieces.results.get(unit.id))) and failure.error
    ]
    units = tuple(
        _unit(run, pieces, (index, unit), task, others_failed=bool(failures)) for index, (task, unit) in enumerate(planned)
    )
    rates = [rate for task in by_index.values() if (rate := _rate(task))]
    return Strip(units, round(sum(rates), 1) if rates else None, tuple(failures))


def live_strip(run: Run, tasks: Sequence[TaskState], result: UnitResult | None) -> Strip:
    """Return the only unit of a live run."""
    task = next((task for task in tasks if task.task_id == "live"), None)
    told: Mapping[str, Any] = task.event if task and task.event else result.metrics if result else {}
    failure = _fresh_failure(task, result)
    state, error = _state(task, result, others_failed=False)
    frames = [
        count
        for target in told.get("targets") or ()
        if isinstance(target, dict) and isinstance(count := target.get("frames"), int)
    ]
    unit = Unit(
        index=0,
        kind="live",
        label="live",
        state=state,
        progress=100 if state == "done" else 0,
        frames=_whole(told.get("frames")) or max(frames, default=None),
        fps=_rate(task),
        attempt=_attempt(task),
        error=error,
        log_path=log_path(run, "live") if _begun(task) else None,
    )
    return Strip((unit,), unit.fps, (failure,) if failure else ())


def _unit(run: Run, pieces: Pieces, numbered: tuple[int, UnitSummary], task: TaskState | None, *, others_failed: bool) -> Unit:
    index, unit = numbered
    result, place = pieces.results.get(unit.id), pieces.places.get(unit.id)
    state, error = _state(task, result, others_failed=others_failed)
    is_done = state in {"done", "reused"}
    told: Mapping[str, Any] = result.metrics if is_done and result else {}
    return Unit(
        index=index,
        kind=_KINDS.get(kind_of(unit.id), "video"),
        label=unit.label,
        state=state,
        start=place.start if place else None,
        end=place.end if place else None,
        progress=100 if is_done else round(100 * task.progress) if task and state == "running" else 0,
        frames=_whole(told.get("frames")) or (place.frames if place else None),
        fps=_number(told.get("fps")) if is_done else _rate(task) if state == "running" else None,
        attempt=_attempt(task),
        error=error,
        log_path=log_path(run, task.task_id, task.map_index) if task and _begun(task) else None,
    )


def _state(task: TaskState | None, result: UnitResult | None, *, others_failed: bool) -> tuple[UnitState, str | None]:
    state = str(task.state) if task else "None"
    failure = _fresh_failure(task, result)
    error = str(failure.error["message"]) if failure and failure.error and failure.error.get("message") else None
    if state == "success":
        return ("reused" if _is_older(task, result) else "done"), None
    if state in AT_WORK:
        # A group goes on with the others when one of them is done.
        if result and result.status == "done" and not _is_older(task, result) and task and task.event.get("phase") == "array":
            return "done", None
        return "running", error
    if state == "failed":
        # A run that is stopped has all units of the task marked, those that were done long before among them.
        if result and result.status == "done" and not _is_older(task, result):
            return "done", None
        cancelled = failure is not None and (failure.error or {}).get("code") == Cancelled.code
        # Units that had not begun when another one failed for good are not begun any more: theirs is no failure.
        return ("waiting" if cancelled or (failure is None and others_failed) else "failed"), error
    return "waiting", error


def _fresh_failure(task: TaskState | None, result: UnitResult | None) -> UnitResult | None:
    """Return a failed result of this attempt; not one that a task which waits for the first time left in an earlier run."""
    if task is None or result is None or result.status != "failed" or task.start_date is None or _is_older(task, result):
        return None
    return result if str(task.state) != "success" else None


def _is_older(task: TaskState | None, result: UnitResult | None) -> bool:
    """Tell whether a result was there before the task began, which then has only found it."""
    if task is None or result is None or task.start_date is None:
        return False
    # Documents have whole seconds.
    return result.finished_at < task.start_date.replace(microsecond=0)


def _rate(task: TaskState | None) -> float | None:
    if task is None or str(task.state) not in AT_WORK or task.event.get("phase") not in _COUNTING:
        return None
    return _number(task.event.get("fps"))


def _begun(task: TaskState | None) -> bool:
    return task is not None and task.start_date is not None


def _attempt(task: TaskState | None) -> int | None:
    return (task.try_number or None) if task is not None and _begun(task) else None


def _number(value: object) -> float | None:
    return round(float(value), 2) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
