"""Metrics of runs, units and what is around them, sent through Airflow's own stats client.

Whatever Airflow is configured to send to (StatsD, Datadog, OpenTelemetry, or nothing, which is the default) gets these, too;
:mod:`~include.orchestration.metric_names` lists them. All but one are counters and timings: gauges of several processes would
overwrite each other. Rates are left to who reads them: frames per second of all workers are the rate of ``media.frames``, of one
unit that rate divided by the rate of ``media.unit.duration``'s sum.

No function here raises: what is counted is done, or has its own error, and a metric that is lost may not change that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Literal, ParamSpec

from include.orchestration.metric_names import STATES, State
from include.orchestration.metric_stats import Stats, airflow_stats, number, tag

__all__ = [
    "STATES",
    "RunState",
    "State",
    "Stats",
    "record_alert",
    "record_ingest",
    "record_live",
    "record_machine",
    "record_notification",
    "record_relayed",
    "record_run_end",
    "record_run_start",
    "record_unit",
    "record_upload",
    "record_webhook",
]

logger = logging.getLogger(__name__)

RunState = Literal["done", "failed", "stopped"]
Arguments = ParamSpec("Arguments")

# Units that make frames; the others count those of the whole source again.
_MAKES_FRAMES = {"video", "upscale"}


def _never_raises(record: Callable[Arguments, None]) -> Callable[Arguments, None]:
    @wraps(record)
    def recorded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            record(*args, **kwargs)
        except Exception:
            logger.warning("%s: metrics were not sent.", record.__name__, exc_info=True)

    return recorded


# -- runs


@_never_raises
def record_run_start(kind: str, queue_seconds: float | None, *, stats: Stats | None = None) -> None:
    """Report a run that begins, and how long it was queued."""
    if queue_seconds is not None:
        (stats or airflow_stats()).timing("media.run.wait", max(0.0, queue_seconds) * 1000, tags={"kind": tag(kind)})


@_never_raises
def record_run_end(kind: str, state: RunState, seconds: float | None, *, stats: Stats | None = None) -> None:
    """Report a run that has ended, and how long it was at work."""
    client, tags = stats or airflow_stats(), {"kind": tag(kind), "state": state}
    client.incr("media.runs", tags=tags)
    if seconds is not None:
        client.timing("media.run.duration", max(0.0, seconds) * 1000, tags=tags)


@_never_raises
def record_notification(place: str, state: Literal["sent", "failed"], *, stats: Stats | None = None) -> None:
    """Report a notification, by the place that was told."""
    (stats or airflow_stats()).incr("media.notifications", tags={"place": tag(place), "state": state})


@_never_raises
def record_alert(kind: str, *, stats: Stats | None = None) -> None:
    """Report a run that takes too long."""
    (stats or airflow_stats()).incr("media.alerts", tags={"kind": tag(kind)})


# -- units


@_never_raises
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
    """Report one attempt of a work unit that has ended.

    :param kind: the task's kind (``plan``, ``video``, ``upscale`` …).
    :param state: what became of it; ``reused`` where its done-marker was found, so that nothing was done.
    :param metrics: those of its ``UnitResult``, of which what is known is used.
    :param error_code: the error's code (``TimeOut``, ``StorageError`` …) where it failed.
    :param backend: where it ran (``local``, ``batch``).
    :param queue_seconds: how long a fleet let it wait for a machine, where that is known.
    :param stats: instead of Airflow's client.
    """
    client, where = stats or airflow_stats(), {"kind": tag(kind), "backend": tag(backend)}
    client.incr("media.units", tags={**where, "state": state})
    if state == "failed":
        client.incr("media.failures", tags={"kind": where["kind"], "code": tag(error_code or "Unknown")})
    if queue_seconds is not None:
        client.timing("media.unit.wait", max(0.0, queue_seconds) * 1000, tags=dict(where))
    if state == "done":
        # Where a marker was found, its metrics are those of the work that was done then.
        _record_work(client, where, metrics or {})


def _record_work(stats: Stats, where: Mapping[str, str], metrics: Mapping[str, Any]) -> None:
    if (seconds := number(metrics, "wall_seconds")) > 0:
        stats.timing("media.unit.duration", seconds * 1000, tags=dict(where))
    counts = {
        "media.cpu_milliseconds": number(metrics, "cpu_seconds") * 1000,
        "media.frames": number(metrics, "frames") if where["kind"] in _MAKES_FRAMES else 0,
        "media.bytes_read": number(metrics, "bytes_read"),
        "media.bytes_written": number(metrics, "bytes_written"),
    }
    _count(stats, counts, {"kind": where["kind"]})


@_never_raises
def record_machine(kind: str, queue: str, seconds: float, dollars: float | None, *, stats: Stats | None = None) -> None:
    """Report machine time that a Batch job has used, all its attempts, and what it cost, where the instance's price is known."""
    counts = {"media.machine_milliseconds": seconds * 1000, "media.cost_microdollars": (dollars or 0.0) * 1e6}
    _count(stats or airflow_stats(), counts, {"kind": tag(kind), "queue": tag(queue)})


@_never_raises
def record_live(seconds: float, targets: list[Mapping[str, Any]], *, stats: Stats | None = None) -> None:
    """Report an attempt of a live unit that has ended: how long a stream it relayed, and what its targets lost.

    :param targets: as the unit's progress tells them (``dropped``, ``reconnects``).
    """
    counts = {
        "media.live.milliseconds": seconds * 1000,
        "media.live.dropped": sum(number(target, "dropped") for target in targets),
        "media.live.reconnects": sum(number(target, "reconnects") for target in targets),
    }
    _count(stats or airflow_stats(), counts, {})


# -- what is around them


@_never_raises
def record_upload(
    state: Literal["joined", "done", "failed"], *, size: int = 0, parts: int = 0, stats: Stats | None = None
) -> None:
    """Report an upload whose parts have been joined (with their number and bytes), or whose run has ended."""
    client = stats or airflow_stats()
    client.incr("media.uploads", tags={"state": state})
    _count(client, {"media.upload.bytes": size, "media.upload.parts": parts}, {})


@_never_raises
def record_relayed(sent: int, *, stats: Stats | None = None) -> None:
    """Report bytes that YouTube has taken."""
    _count(stats or airflow_stats(), {"media.relay.bytes": sent}, {"destination": "youtube"})


@_never_raises
def record_webhook(event: str, *, delivered: bool, attempts: int, stats: Stats | None = None) -> None:
    """Report an event that was sent to a callback, or could not be.

    :param event: its type, ``transcode.succeeded`` and the like.
    """
    client, tags = stats or airflow_stats(), {"event": tag(event), "state": "delivered" if delivered else "failed"}
    client.incr("media.webhooks", tags=tags)
    _count(client, {"media.webhook.attempts": attempts}, {"event": tags["event"]})


@_never_raises
def record_ingest(fates: Mapping[str, int], backlog: int | None = None, *, stats: Stats | None = None) -> None:
    """Report what became of dropped objects.

    :param fates: how many objects met which fate (``started``, ``refused`` …).
    :param backlog: how many wait for their turn now, where all were looked at.
    """
    client = stats or airflow_stats()
    for fate, count in fates.items():
        _count(client, {"media.ingest.objects": count}, {"fate": tag(fate)})
    if backlog is not None:
        client.gauge("media.ingest.backlog", backlog)


def _count(stats: Stats, counts: Mapping[str, float], tags: Mapping[str, str]) -> None:
    for name, count in counts.items():
        if count >= 1:
            stats.incr(name, round(count), tags=dict(tags))
