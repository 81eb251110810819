"""Metrics of work units, sent through Airflow's own stats client.

Whatever Airflow is configured to send to (StatsD, Datadog, OpenTelemetry, or nothing, which is the default) gets these, too. They
are counters and timings only: gauges of several workers would overwrite each other. Rates are left to who reads them: frames per
second of all workers is the rate of ``media.frames``, of one unit that rate divided by the rate of ``media.unit.duration``'s sum.

==========================  =======  ============================  =====================================================
name                        type     tags                          meaning
==========================  =======  ============================  =====================================================
``media.units``             counter  kind, state, backend          attempts that ended; ``state`` as in :data:`STATES`
``media.failures``          counter  kind, code                    attempts that failed, by the error's code
``media.unit.duration``     timing   kind, backend                 wall time of the work itself
``media.unit.wait``         timing   kind, backend                 time from submit to start on a fleet (not Airflow's queue)
``media.cpu_milliseconds``  counter  kind                          processor time of the worker and its children
``media.frames``            counter  kind                          frames made
``media.bytes_read``        counter  kind                          object bytes received
``media.bytes_written``     counter  kind                          object bytes sent
==========================  =======  ============================  =====================================================
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol

__all__ = ["NAMES", "STATES", "State", "Stats", "record_unit"]

logger = logging.getLogger(__name__)

State = Literal["done", "reused", "failed", "cancelled"]
STATES: tuple[State, ...] = ("done", "reused", "failed", "cancelled")
NAMES = {
    "media.units": "counter",
    "media.failures": "counter",
    "media.unit.duration": "timer",
    "media.unit.wait": "timer",
    "media.cpu_milliseconds": "counter",
    "media.frames": "counter",
    "media.bytes_read": "counter",
    "media.bytes_written": "counter",
}
# Units that make frames; the others count those of the whole source again.
_MAKES_FRAMES = {"video", "upscale"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class Stats(Protocol):
    """What is used of Airflow's stats client."""

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any] | None = None) -> None:
        """Add to a counter."""
        ...

    def timing(self, stat: str, dt: float, *, tags: dict[str, Any] | None = None) -> None:
        """Report a duration in milliseconds."""
        ...


def record_unit(
    kind: str,
    state: State,
    metrics: Mapping[str, Any] | None = None,
    *,
    error_code: str | None = None,
    backend: str = "local",
    queue_seconds: float | None = None,
    stats: Stats | None = None,
) -> None:
    """Report one attempt of a work unit that has ended; never raises.

    :param kind: the task's kind (``plan``, ``video``, ``upscale`` …).
    :param state: what became of it; ``reused`` where its done-marker was found, so that nothing was done.
    :param metrics: those of its ``UnitResult``, of which what is known is used.
    :param error_code: the error's code (``TimeOut``, ``StorageError`` …) where it failed.
    :param backend: where it ran (``local``, ``batch``).
    :param queue_seconds: how long a fleet let it wait for a machine, where that is known.
    :param stats: instead of Airflow's client.
    """
    try:
        where = {"kind": _tag(kind), "backend": _tag(backend)}
        client = stats or _airflow_stats()
        _record_end(client, where, state, error_code, queue_seconds)
        if state == "done":
            # Where a marker was found, its metrics are those of the work that was done then.
            _record_work(client, where, metrics or {})
    except Exception:
        # The unit is done, or has its own error: a metric that is lost may not change that.
        logger.warning("The metrics of a %s unit were not sent.", kind, exc_info=True)


def _record_end(
    stats: Stats, where: Mapping[str, str], state: State, error_code: str | None, queue_seconds: float | None
) -> None:
    stats.incr("media.units", tags={**where, "state": state})
    if state == "failed":
        stats.incr("media.failures", tags={"kind": where["kind"], "code": _tag(error_code or "Unknown")})
    if queue_seconds is not None:
        stats.timing("media.unit.wait", max(0.0, queue_seconds) * 1000, tags=dict(where))


def _record_work(stats: Stats, where: Mapping[str, str], metrics: Mapping[str, Any]) -> None:
    if (seconds := _number(metrics, "wall_seconds")) > 0:
        stats.timing("media.unit.duration", seconds * 1000, tags=dict(where))
    counts = {
        "media.cpu_milliseconds": _number(metrics, "cpu_seconds") * 1000,
        "media.frames": _number(metrics, "frames") if where["kind"] in _MAKES_FRAMES else 0,
        "media.bytes_read": _number(metrics, "bytes_read"),
        "media.bytes_written": _number(metrics, "bytes_written"),
    }
    for name, count in counts.items():
        if count >= 1:
            stats.incr(name, round(count), tags={"kind": where["kind"]})


def _number(metrics: Mapping[str, Any], name: str) -> float:
    value = metrics.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def _tag(value: str) -> str:
    # A tag with another character would make the client refuse the whole metric.
    return _UNSAFE.sub("_", value)[:64] or "none"


def _airflow_stats() -> Stats:
    # Only here: in a task it is set up by then, and DAG files that import this room need not pay for it.
    from airflow.sdk.observability import stats  # noqa: PLC0415

    return stats  # type: ignore[no-any-return]  # Airflow is untyped here
