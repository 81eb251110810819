"""Airflow's stats client, wherever it is wanted, and values that it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Stats", "airflow_stats", "number", "tag"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class Stats(Protocol):
    """What is used of Airflow's stats client."""

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any] | None = None) -> None:
        """Add to a counter."""
        ...

    def timing(self, stat: str, dt: float, *, tags: dict[str, Any] | None = None) -> None:
        """Report a duration in milliseconds."""
        ...

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any] | None = None) -> None:
        """Report how much there is of something."""
        ...


def airflow_stats() -> Stats:
    """Return the client that tasks have, set up as Airflow's settings say.

    Airflow sets it up in tasks alone; its servers and the processes that call callbacks have one of another name, or none.
    """
    # Only here: DAG files that import this room need not pay for it.
    from airflow.sdk._shared.observability.metrics import stats as state  # noqa: PLC0415
    from airflow.sdk.observability import stats  # noqa: PLC0415

    if state._factory is None:
        # Not otherwise: to set it up again would throw away what it has not sent yet.
        from airflow.sdk.configuration import conf  # noqa: PLC0415
        from airflow.sdk.observability.metrics import stats_utils  # noqa: PLC0415

        legacy = conf.getboolean("metrics", "legacy_names_on")
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=legacy)
    return stats  # type: ignore[no-any-return]  # Airflow is untyped here


def number(values: Mapping[str, Any], name: str) -> float:
    """Return a number, or 0 where there is none."""
    value = values.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def tag(value: str) -> str:
    """Return a value that the client takes as a tag: another character would make it refuse the whole metric."""
    return _UNSAFE.sub("_", value)[:64] or "none"
