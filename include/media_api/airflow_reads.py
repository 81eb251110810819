"""Lists of runs and their tasks, read from Airflow's database.

The public REST API answers with some forty fields a row, joins of which this server needs a fifth, cannot look into a run's conf,
and tells a task's progress in a call of its own: ten times the work for what browsers and clients ask every few seconds. These
reads go through Airflow's own models, in its own API server, and write nothing.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from include.errors import InternalError, ParameterError
from include.media_api.gateway import Run, RunPage, RunQuery, RunsOf, TaskState

__all__ = ["AirflowReads"]

_RUNNING = ("running", "restarting")
_AT_WORK = (*_RUNNING, "deferred")
_AT_ONCE = 500  # ids of one statement
# What of a conf says what a run is about, in the words of the contracts.
_SEARCHED = ("source_key", "folder", "name", "key", "src", "dst", "source", "targets", "filename")
_HIGHEST_ID = 2**31 - 1  # ids of runs are integers of PostgreSQL


class AirflowReads:
    """Blocking reads; each takes a connection of ``engine``'s pool (Airflow's own by default) for as long as it lasts."""

    def __init__(self, engine: Callable[[], Any] | None = None) -> None:
        self._engine = engine or _airflow_engine

    def find(self, query: RunQuery, limit: int, cursor: str | None = None) -> RunPage:
        """Return the runs of ``query``, newest first; see :class:`~include.media_api.gateway.AirflowGateway`."""
        from airflow.models.dagrun import DagRun  # noqa: PLC0415
        from sqlalchemy import and_, or_, select  # noqa: PLC0415

        for field, text in (("q", query.text), ("client", query.client), ("provider", query.content_provider)):
            _check(field, text)
        run = DagRun.__table__.c

        def said(name: str) -> Any:
            return run.conf[name].as_string()

        def is_of(dag_id: str, of_tasks: bool | None) -> Any:
            if of_tasks is None:
                return run.dag_id == dag_id
            return and_(run.dag_id == dag_id, said("task_id").is_not(None) if of_tasks else said("task_id").is_(None))

        statement = select(run.id).where(or_(*(is_of(dag_id, of_tasks) for dag_id, of_tasks in _merged(query.of))))
        if query.states:
            statement = statement.where(run.state.in_(sorted(query.states)))
        if query.client is not None:
            statement = statement.where(said("client") == query.client)
        if query.content_provider is not None:
            provider = query.content_provider
            statement = statement.where(or_(said("content_provider") == provider, said("contentprovider") == provider))
        if query.text:
            places = (run.run_id, *map(said, _SEARCHED))
            statement = statement.where(or_(*(place.icontains(query.text, autoescape=True) for place in places)))
        if cursor:
            statement = statement.where(run.id < _number(cursor))
        # Databases sort what they select: ids alone are a tenth of it.
        ids = statement.order_by(run.id.desc()).limit(limit + 1).subquery()
        rows = self._rows(select(*_run_columns(run)).where(run.id.in_(select(ids.c.id))).order_by(run.id.desc()))
        more = str(rows[limit - 1].id) if len(rows) > limit else None
        return RunPage(tuple(_run(row) for row in rows[:limit]), more)

    def runs(self, dag_id: str, run_ids: Collection[str]) -> dict[str, Run]:
        """Return those of the runs that exist, by id."""
        from airflow.models.dagrun import DagRun  # noqa: PLC0415
        from sqlalchemy import select  # noqa: PLC0415

        run = DagRun.__table__.c
        found: dict[str, Run] = {}
        for ids in _batches(run_ids):
            rows = self._rows(select(*_run_columns(run)).where(run.dag_id == dag_id, run.run_id.in_(ids)))
            found |= {row.run_id: _run(row) for row in rows}
        return found

    def tasks(self, dag_id: str, run_ids: Collection[str]) -> dict[str, tuple[TaskState, ...]]:
        """Return the task instances of runs, by run id, with what those at work have told of their progress."""
        from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415
        from sqlalchemy import select  # noqa: PLC0415

        task = TaskInstance.__table__.c
        columns = (task.run_id, task.task_id, task.map_index, task.state, task.start_date, task.end_date, task.try_number)
        found: dict[str, list[TaskState]] = {}
        for ids in _batches(run_ids):
            wanted = (task.dag_id == dag_id, task.run_id.in_(ids))
            rows = self._rows(select(*columns, task.rendered_map_index).where(*wanted).order_by(task.task_id, task.map_index))
            told = self._told(dag_id, {row.run_id for row in rows if row.state in _AT_WORK})
            for row in rows:
                event = told.get((row.run_id, row.task_id, row.map_index), {})
                found.setdefault(row.run_id, []).append(
                    TaskState(
                        row.task_id, row.map_index, row.state, _fraction(event), event,
                        row.start_date, row.end_date, row.try_number or 0, row.rendered_map_index,
                    )
                )  # fmt: skip
        return {run_id: tuple(states) for run_id, states in found.items()}

    def _told(self, dag_id: str, run_ids: Collection[str]) -> dict[tuple[str, str, int], Mapping[str, Any]]:
        """Return what tasks at work have told last, by run, task and map index."""
        if not run_ids:
            return {}
        from airflow.models.task_state_store import TaskStateStoreModel  # noqa: PLC0415
        from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415
        from airflow.models.xcom import XComModel  # noqa: PLC0415
        from sqlalchemy import and_, select  # noqa: PLC0415

        task = TaskInstance.__table__.c
        told: dict[tuple[str, str, int], Mapping[str, Any]] = {}
        # A task that waits for a job elsewhere is in the triggerer's hands, which can write XComs and no task state.
        for model, states in (
            (TaskStateStoreModel, [state for state in _AT_WORK if state != "deferred"]),
            (XComModel, ["deferred"]),
        ):
            kept = model.__table__.c
            names = ("dag_id", "run_id", "task_id", "map_index")
            same = and_(*(kept[name] == task[name] for name in names))
            statement = (
                select(kept.run_id, kept.task_id, kept.map_index, kept.value)
                .join_from(TaskInstance.__table__, model.__table__, same)
                .where(task.dag_id == dag_id, task.run_id.in_(run_ids), task.state.in_(states), kept.key == "progress")
            )
            told |= {(row.run_id, row.task_id, row.map_index): _event(row.value) for row in self._rows(statement)}
        return told

    def _rows(self, statement: Any) -> list[Any]:
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        try:
            with self._engine().connect() as connection:
                return list(connection.execute(statement))
        except SQLAlchemyError as error:
            raise InternalError("Airflow's database does not answer; please try again.") from error


def _airflow_engine() -> Any:
    from airflow import settings  # noqa: PLC0415

    return settings.engine


def _merged(of: Iterable[RunsOf]) -> list[tuple[str, bool | None]]:
    """Return the DAGs, and which of their runs: all of them where both halves are wanted."""
    halves: dict[str, set[bool | None]] = {}
    for one in of:
        halves.setdefault(one.dag_id, set()).add(one.of_tasks)
    return [(dag_id, None if len(found) > 1 else next(iter(found))) for dag_id, found in sorted(halves.items())]


def _run_columns(run: Any) -> tuple[Any, ...]:
    return (run.id, run.dag_id, run.run_id, run.state, run.conf, run.start_date, run.end_date, run.created_at, run.run_after)


def _run(row: Any) -> Run:
    return Run(
        run_id=row.run_id,
        state=row.state,
        conf=row.conf if isinstance(row.conf, dict) else {},
        start_date=row.start_date,
        end_date=row.end_date,
        dag_id=row.dag_id,
        created_at=row.created_at or row.run_after,
    )


def _number(cursor: str) -> int:
    number = int(cursor) if re.fullmatch(r"[0-9]{1,10}", cursor) else 0
    if not 0 < number <= _HIGHEST_ID:
        raise ParameterError("cursor: is none that this API has given out; begin without one.")
    return number


def _check(field: str, text: str | None) -> None:
    """Refuse what no text of a database may hold; PostgreSQL takes no NUL, and nobody searches for other such characters."""
    if text and not _is_plain(text):
        raise ParameterError(f"{field}: must have no control characters.")


def _is_plain(text: str) -> bool:
    return all(unicodedata.category(character) not in {"Cc", "Cs"} for character in text)


def _batches(run_ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    # Those of many clients go together: one that can be no run's must not spoil the others' answer.
    ids = tuple(sorted(filter(_is_plain, set(run_ids))))
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _event(value: Any) -> Mapping[str, Any]:
    """Return what a unit told of its progress, which may be JSON or JSON in a string."""
    try:
        document = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _fraction(event: Mapping[str, Any]) -> float:
    try:
        return min(1.0, max(0.0, float(event.get("fraction", 0))))
    except (ValueError, TypeError):
        return 0.0
