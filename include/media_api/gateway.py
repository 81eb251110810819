"""What the APIs ask of Airflow, as a protocol: tests pass a fake."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

__all__ = ["AirflowGateway", "Run", "RunPage", "RunQuery", "RunsOf", "TaskState", "in_name_of", "named_token"]

_token: ContextVar[str | None] = ContextVar("token", default=None)


@dataclass(frozen=True)
class Run:
    """A DAG run."""

    run_id: str
    state: str  # queued, running, success, failed
    conf: Mapping[str, Any] = field(default_factory=dict)
    start_date: datetime | None = None
    end_date: datetime | None = None
    dag_id: str = ""
    created_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen unless it is cleared."""
        return self.state in {"success", "failed"}


@dataclass(frozen=True)
class RunPage:
    """Some runs of a list, and what brings the next ones; ``None`` at its end."""

    runs: tuple[Run, ...]
    cursor: str | None = None


@dataclass(frozen=True)
class RunsOf:
    """Runs of one DAG; where ``of_tasks`` is said, only those whose conf names a task of contract 3, or only the others."""

    dag_id: str
    of_tasks: bool | None = None


@dataclass(frozen=True)
class RunQuery:
    """Which runs a list has: those of any in ``of``, as far as all that is said of them below is true of them."""

    of: frozenset[RunsOf]
    states: frozenset[str] = frozenset()
    client: str | None = None
    content_provider: str | None = None
    text: str = ""  # in the id of the run, or in what its conf names: sources, destinations


@dataclass(frozen=True)
class TaskState:
    """A task instance of a run."""

    task_id: str
    map_index: int  # -1: not mapped
    state: str | None
    progress: float = 0.0  # of a task that is at work: 0 to 1
    event: Mapping[str, Any] = field(default_factory=dict, compare=False)  # what it told last: phase, done, total, unit, fps
    start_date: datetime | None = None
    end_date: datetime | None = None
    try_number: int = 0
    label: str | None = None  # of one of a mapped task: its name


@contextmanager
def in_name_of(token: str | None) -> Iterator[None]:
    """Let what a gateway changes meanwhile bear this token of Airflow's: its log names that user, and rights are theirs.

    The gateway raises ``AccessDenied`` where they lack them. Else, and with ``None``, it acts in the name of
    ``MEDIA_AIRFLOW_USER``.
    """
    before = _token.set(token)
    try:
        yield
    finally:
        _token.reset(before)


def named_token() -> str | None:
    """Return the token of :func:`in_name_of`; ``None`` outside of it."""
    return _token.get()


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

    async def page(self, prefix: str, *, states: Collection[str] = (), limit: int = 100, cursor: str | None = None) -> RunPage:
        """Return runs of any DAG whose ids begin with ``prefix``, newest first; of these states only, where some are given.

        Raises ``ParameterError`` for a cursor that is none.
        """
        ...

    async def find(self, query: RunQuery, *, limit: int = 100, cursor: str | None = None) -> RunPage:
        """Return the runs of ``query``, newest first. Raises ``ParameterError`` for a cursor that is none."""
        ...

    async def stop(self, dag_id: str, run_id: str) -> None:
        """Fail a run and end its tasks, whatever they do; it is no error where there is none."""
        ...

    async def clear(self, dag_id: str, run_id: str) -> None:
        """Start a finished run again, with the conf it has."""
        ...

    async def restart_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Start one task of a run again, if it has begun, and none that follow it."""
        ...

    async def clear_tasks(self, dag_id: str, run_id: str, tasks: Collection[tuple[str, int]]) -> None:
        """Start tasks of a run again, by id and map index, and all that follow them."""
        ...

    async def delete(self, dag_id: str, run_id: str) -> None:
        """Remove a finished run; it is no error where there is none."""
        ...
