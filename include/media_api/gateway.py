"""What the APIs ask of Airflow, as a protocol: tests pass a fake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

__all__ = ["AirflowGateway", "Run", "TaskState"]


@dataclass(frozen=True)
class Run:
    """A DAG run."""

    run_id: str
    state: str  # queued, running, success, failed
    conf: Mapping[str, Any] = field(default_factory=dict)
    start_date: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen unless it is cleared."""
        return self.state in {"success", "failed"}


@dataclass(frozen=True)
class TaskState:
    """A task instance of a run."""

    task_id: str
    map_index: int  # -1: not mapped
    state: str | None
    progress: float = 0.0  # of a task that is at work: 0 to 1
    event: Mapping[str, Any] = field(default_factory=dict, compare=False)  # what it told last: phase, done, total, unit, fps


class AirflowGateway(Protocol):
    """The runs of Airflow. Methods raise ``InternalError`` where Airflow does not answer as it should."""

    async def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str | None = None) -> bool:
        """Create a run; ``False`` where there is one of that id already."""
        ...

    async def runs(self, dag_id: str, run_ids: Collection[str]) -> dict[str, Run]:
        """Return those of the runs that exist, by id."""
        ...

    async def tasks(self, dag_id: str, run_ids: Collection[str]) -> dict[str, tuple[TaskState, ...]]:
        """Return the task instances of the runs, by run id, with the progress of those at work."""
        ...

    async def clear(self, dag_id: str, run_id: str) -> None:
        """Start a finished run again, with the conf it has."""
        ...

    async def delete(self, dag_id: str, run_id: str) -> None:
        """Remove a finished run; it is no error where there is none."""
        ...
