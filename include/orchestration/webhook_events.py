"""What callbacks are told: pure, from a run's documents to the body of an event (see docs/webhooks.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from include.errors import Cancelled, InternalError
from include.worker.models import Outcome, UnitSummary

__all__ = ["Ending", "Event", "ending", "kind_of_run", "reached"]

Ending = Literal["succeeded", "failed", "cancelled"]

_DONE = {"success", "skipped"}
# Rough shares of a run's time: the first task, the mapped one, the last one.
_SHARES = (3, 90, 7)


@dataclass(frozen=True)
class Event:
    """One event of a run's attempt: ``type`` is `transcode.succeeded` and the like, ``data`` what it tells."""

    type: str
    data: Mapping[str, Any]
    at: datetime

    def body(self, about: Mapping[str, Any]) -> str:
        """Return the JSON of the event for a client that knows the work by ``about``."""
        document = {"type": self.type, "timestamp": f"{self.at:%Y-%m-%dT%H:%M:%SZ}", "data": {**about, **self.data}}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    def message_id(self, *parts: object) -> str:
        """Return the id of the event for one receiver; the same for each delivery, also by another process."""
        # A run's attempt ends once, whenever that is found out; progress is told more than once.
        when = self.at.isoformat() if self.type.endswith(".progress") else ""
        text = json.dumps([self.type, when, *map(str, parts)])
        return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def kind_of_run(dag_id: str, conf: Mapping[str, Any]) -> str:
    """Return what a run's events begin with: tasks are tasks in whichever DAG they run."""
    return "task" if "task_id" in conf else dag_id


def ending(outcome: Outcome | None, *, stopped: bool) -> tuple[Ending, dict[str, Any]]:
    """Return how a run's attempt has ended, and what is told of it.

    :param outcome: what the report of this attempt wrote; ``None`` where it could not.
    :param stopped: a client or a user of Airflow has stopped it.
    """
    if outcome is not None and outcome.state == "done":
        return "succeeded", {"progress": 100}
    if stopped or (outcome is not None and (outcome.error or {}).get("code") == Cancelled.code):
        return "cancelled", {}
    error = outcome.error if outcome is not None else None
    return "failed", {"error": error or InternalError("The run has ended without a report.").to_document()}


def reached(
    work: Sequence[str],
    units: Sequence[Sequence[UnitSummary]],
    states: Mapping[str, str | None],
    told: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return how far a run has come.

    A run of one task, which is live, tells what its unit tells; others a percentage, 0 to 99.

    :param work: the run's tasks: one, or the first, the mapped and the last one.
    :param units: what the mapped instances do, in map order; empty until it is planned.
    :param states: of the task instances, mapped ones as `<task>_<index>`.
    :param told: the last progress event of each unit at work, by unit id.
    """
    if len(work) == 1:
        event = told.get(work[0], {})
        names = ("total", "unit", "fps", "bit_rate", "source", "targets")
        return {"progress": event.get("done", 0)} | {name: event[name] for name in names if name in event}
    first, mapped, last = work

    def share(task: str, ids: Sequence[str]) -> float:
        if states.get(task) in _DONE:
            return 1.0
        return min(1.0, sum(float(told.get(one, {}).get("fraction") or 0) for one in ids) / len(ids))

    weights = [sum(unit.weight for unit in group) for group in units]
    done = sum(
        weight * share(f"{mapped}_{index}", [unit.id for unit in group])
        for index, (weight, group) in enumerate(zip(weights, units, strict=True))
    )
    parts = (share(first, [first]), done / sum(weights) if weights else 0.0, share(last, [last]))
    return {"progress": min(99, int(sum(weight * part for weight, part in zip(_SHARES, parts, strict=True))))}
