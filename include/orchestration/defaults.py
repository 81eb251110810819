"""What the DAGs of work units have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from include.orchestration.retry import MediaRetryPolicy
from include.settings import Settings

__all__ = ["dag_arguments"]


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
        "max_active_tasks": settings.max_units + 2,
        "is_paused_upon_creation": False,
        "render_template_as_native_obj": False,
    }
