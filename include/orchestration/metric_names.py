"""The metrics that we send. ``python -m include.orchestration.metric_names`` prints the table of ``docs/metrics.md``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "STATES", "Metric", "State", "render_table"]

State = Literal["done", "reused", "failed", "cancelled"]
STATES: tuple[State, ...] = ("done", "reused", "failed", "cancelled")


@dataclass(frozen=True)
class Metric:
    """One metric; StatsD and OpenTelemetry get it with Airflow's prefix, ``airflow.`` by default."""

    name: str
    type: Literal["counter", "timing", "gauge"]
    tags: tuple[str, ...]
    source: str
    meaning: str


_TASK, _SCHEDULER, _TRIGGERER, _CALLBACKS = "task", "scheduler", "triggerer", "dag-processor, triggerer"

_LIST = (
    Metric(
        "media.runs",
        "counter",
        ("kind", "state"),
        _SCHEDULER,
        "Runs that ended: `done`, `failed`, or `stopped` where somebody set the state (then the API server sends it).",
    ),
    Metric("media.run.duration", "timing", ("kind", "state"), _SCHEDULER, "Time from a run's start to its end."),
    Metric("media.run.wait", "timing", ("kind",), _SCHEDULER, "Time from a run's being queued to its start."),
    Metric(
        "media.units",
        "counter",
        ("kind", "backend", "state"),
        _TASK,
        "Attempts of work units that ended: `done`, `reused` (it was done before), `failed`, `cancelled`.",
    ),
    Metric("media.failures", "counter", ("kind", "code"), _TASK, "Attempts that failed, by the error's code."),
    Metric("media.unit.duration", "timing", ("kind", "backend"), _TASK, "Wall time of the work itself."),
    Metric(
        "media.unit.wait",
        "timing",
        ("kind", "backend"),
        _TASK,
        "Time from submit to start on a fleet; a task's wait for its slot is Airflow's own `task.scheduled_duration`.",
    ),
    Metric("media.cpu_milliseconds", "counter", ("kind",), _TASK, "Processor time of the worker and its children."),
    Metric("media.frames", "counter", ("kind",), _TASK, "Frames made."),
    Metric("media.bytes_read", "counter", ("kind",), _TASK, "Bytes received from the object store."),
    Metric("media.bytes_written", "counter", ("kind",), _TASK, "Bytes sent to the object store."),
    Metric(
        "media.machine_milliseconds",
        "counter",
        ("kind", "queue"),
        _TASK,
        "Time of Batch jobs on machines, lost attempts included.",
    ),
    Metric(
        "media.cost_microdollars",
        "counter",
        ("kind", "queue"),
        _TASK,
        "Its price, where `MEDIA_BATCH_INSTANCES` names the queue's machines: millionths of a dollar.",
    ),
    Metric("media.live.milliseconds", "counter", (), _TASK, "Length of live stream that was relayed."),
    Metric("media.live.dropped", "counter", (), _TASK, "Pictures that targets of live tasks lost."),
    Metric("media.live.reconnects", "counter", (), _TASK, "Times that targets of live tasks were connected again."),
    Metric("media.uploads", "counter", ("state",), _TASK, "Uploads that were `joined`; whose runs ended `done` or `failed`."),
    Metric("media.upload.bytes", "counter", (), _TASK, "Bytes of joined uploads."),
    Metric("media.upload.parts", "counter", (), _TASK, "Parts of joined uploads."),
    Metric("media.relay.bytes", "counter", ("destination",), _TASK, "Bytes that YouTube has taken."),
    Metric("media.webhooks", "counter", ("event", "state"), _TRIGGERER, "Events for callbacks, `delivered` or `failed`."),
    Metric("media.webhook.attempts", "counter", ("event",), _TRIGGERER, "Attempts to deliver them."),
    Metric("media.ingest.objects", "counter", ("fate",), _TASK, "Dropped objects that were looked at, by what became of them."),
    Metric(
        "media.ingest.backlog", "gauge", (), _TASK, "Dropped objects that wait for their turn (one task at a time lists them)."
    ),
    Metric(
        "media.notifications", "counter", ("place", "state"), _CALLBACKS, "Messages to `sns` and `email`, `sent` or `failed`."
    ),
    Metric("media.alerts", "counter", ("kind",), _TRIGGERER, "Runs that were at work for longer than `MEDIA_ALERT_SECONDS`."),
)
METRICS = {metric.name: metric for metric in _LIST}


def render_table() -> str:
    """Return ``docs/metrics.md``'s table."""
    rows = ["| name | type | tags | sent by | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{one.name}` | {one.type} | {', '.join(f'`{tag}`' for tag in one.tags) or 'none'} | {one.source} | {one.meaning} |"
        for one in METRICS.values()
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(render_table(), end="")
