"""What the kinds of work have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from include.ffmpeg_ops import parallel
from include.ffmpeg_ops.models import Plan
from include.worker.models import Output, SuperResolutionPlan, UnitResult, UnitSummary, WorkUnit

__all__ = ["Made", "Work", "in_parallel", "last_fingerprint"]

_TRANSFERS = 8

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Made:
    """What a unit made: uploaded, verified objects."""

    outputs: tuple[Output, ...]
    units: tuple[UnitSummary, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)


class Work(Protocol):
    """One kind of work, made from a workbench and a unit; making it reads what identifies the work, and nothing more."""

    fingerprint: str

    def finished(self) -> UnitResult | None:
        """Return the done-marker of this very work, if there is one that may be believed."""
        ...

    def run(self) -> Made:
        """Do the work in the workbench's scratch folder and upload what it made."""
        ...

    def clean_up(self) -> None:
        """Remove what is not needed once the done-marker is written; failing here fails nothing."""
        ...


def last_fingerprint(last: WorkUnit, plan: Plan | SuperResolutionPlan, units: Sequence[WorkUnit], *decided_by: Any) -> str:
    """Return the identity of what a job's last unit makes: that unit, the plan, the others, and ``decided_by``, all JSON values.

    The first unit keeps it as ``last`` among its metrics, for :meth:`include.worker.job.Job.published`.
    """
    parts = [last.fingerprint, plan.model_dump(mode="json"), [unit.fingerprint for unit in units], *decided_by]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def in_parallel(function: Callable[[Item], Answer], items: Iterable[Item], check: Callable[[], None]) -> Sequence[Answer]:
    """Call ``function``, which transfers something, on every item, as :func:`parallel.in_parallel` does, eight at once."""
    return parallel.in_parallel(function, items, at_once=_TRANSFERS, check=check)
