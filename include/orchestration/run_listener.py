"""Counts runs as they start and end: Airflow tells listeners, in the scheduler or (where a user sets a state) the API server."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

    from include.orchestration.metrics import RunState

logger = logging.getLogger(__name__)

# Airflow's words where somebody has set the state.
_BY_HAND = "manually set"


@hookimpl  # type: ignore[untyped-decorator]  # Airflow is untyped here
def on_dag_run_running(dag_run: DagRun, msg: str) -> None:
    """Report how long the run was queued."""
    from include.orchestration.metrics import record_run_start  # noqa: PLC0415  all processes of Airflow import plugins

    if kind := _kind(dag_run):
        record_run_start(kind, _between(dag_run.queued_at, dag_run.start_date or datetime.now(timezone.utc)))


@hookimpl  # type: ignore[untyped-decorator]
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Report the end of a run."""
    _ended(dag_run, "stopped" if _BY_HAND in msg else "done")


@hookimpl  # type: ignore[untyped-decorator]
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Report the end of a run."""
    _ended(dag_run, "stopped" if _BY_HAND in msg else "failed")


def _ended(dag_run: DagRun, state: RunState) -> None:
    from include.orchestration.metrics import record_run_end  # noqa: PLC0415

    if kind := _kind(dag_run):
        record_run_end(kind, state, _between(dag_run.start_date, dag_run.end_date or datetime.now(timezone.utc)))


def _kind(dag_run: DagRun) -> str | None:
    from include.worker.subjects import kind_of  # noqa: PLC0415

    try:
        return kind_of(dag_run.dag_id, dag_run.conf or {})
    except Exception:
        # Here a scheduler is at work, which nothing may stop.
        logger.warning("A run's kind is not known.", exc_info=True)
        return None


def _between(start: datetime | None, end: datetime) -> float | None:
    return (end - start).total_seconds() if start else None
