"""What the DAGs of work units have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from include.orchestration import deadlines, notifications
from include.orchestration.retry import MediaRetryPolicy
from include.settings import Settings

__all__ = ["dag_arguments", "fan_out", "single", "watched"]


def dag_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of a DAG whose tasks are work units: attempts, deadline, order, and how many runs are at work."""
    return {
        "tags": ["media"],
        "default_args": {
            "owner": "reelflow",
            "retries": settings.unit_attempts - 1,
            "retry_delay": timedelta(seconds=5),
            "retry_policy": MediaRetryPolicy(),
            "execution_timeout": timedelta(seconds=settings.unit_timeout_seconds),
            # Later tasks first: runs are finished before new ones are begun.
            "weight_rule": "upstream",
        },
        "max_active_runs": 16,
        # Units are bounded by their pool; the DAG's own bound would let idle runs block busy ones.
        "max_active_tasks": max(settings.max_units + 2, settings.batch_slots if settings.batch_units else 0),
        "is_paused_upon_creation": False,
        "render_template_as_native_obj": False,
    }


def watched(settings: Settings, dag_id: str, *, dispatches: bool = False) -> dict[str, Any]:
    """Return the arguments of a DAG of whose runs operators are told: how they end, and where they take too long.

    Of one that ``dispatches`` only failures are told: it succeeds again and again, and the runs that it starts are told of.
    """
    return notifications.callbacks(settings, of_success=not dispatches) | deadlines.deadlines(settings, dag_id)


def fan_out(settings: Settings, kind: str, *, local_slots: int = 1, local_most: int | None = None) -> dict[str, Any]:
    """Return pool and bounds of the mapped task of a kind of unit.

    Where it runs locally, one takes ``local_slots``, and of one run there are ``local_most`` at once (by default all that fit).
    """
    if kind in settings.batch_units:
        return {"pool": "media_batch", "pool_slots": 1, "max_active_tis_per_dagrun": settings.batch_slots}
    return {"pool": "media_units", "pool_slots": local_slots, "max_active_tis_per_dagrun": local_most or settings.pool_slots}


def single(settings: Settings, kind: str) -> dict[str, Any]:
    """Return the pool of a task of one unit; local ones run in Airflow's own."""
    return {"pool": "media_batch"} if kind in settings.batch_units else {}
