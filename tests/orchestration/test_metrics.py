"""What is told to Airflow's stats client of a work unit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include.orchestration import metrics
from include.orchestration.metric_names import METRICS, STATES, render_table
from include.orchestration.metrics import record_unit
from tests.telemetry import otlp_server, statsd_server


class FakeStats:
    """Keeps what was sent as (name, amount, tags)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, float, dict[str, Any]]] = []

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any] | None = None) -> None:
        assert METRICS[stat].type == "counter"
        assert set(tags or {}) == set(METRICS[stat].tags)
        assert isinstance(count, int)
        self.sent.append((stat, count, tags or {}))

    def timing(self, stat: str, dt: float, *, tags: dict[str, Any] | None = None) -> None:
        assert METRICS[stat].type == "timing"
        assert set(tags or {}) == set(METRICS[stat].tags)
        self.sent.append((stat, dt, tags or {}))

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any] | None = None) -> None:
        assert METRICS[stat].type == "gauge"
        self.sent.append((stat, value, tags or {}))


WORK = {
    "frames": 120,
    "fps": 24.0,
    "wall_seconds": 5.0,
    "cpu_seconds": 9.5,
    "bytes_read": 1000,
    "bytes_written": 2000,
    "quality": "unknown",
}


def test_a_unit_that_is_done_tells_all_it_knows() -> None:
    stats = FakeStats()
    record_unit("video", "done", WORK, stats=stats)
    kind, where = {"kind": "video"}, {"kind": "video", "backend": "local"}
    assert stats.sent == [
        ("media.units", 1, where | {"state": "done"}),
        ("media.unit.duration", 5000.0, where),
        ("media.cpu_milliseconds", 9500, kind),
        ("media.frames", 120, kind),
        ("media.bytes_read", 1000, kind),
        ("media.bytes_written", 2000, kind),
    ]


def test_frames_are_counted_once_though_plan_and_finish_know_them_too() -> None:
    stats = FakeStats()
    for kind in ("plan", "audio", "video", "finish", "split", "upscale", "merge"):
        record_unit(kind, "done", {"frames": 10}, stats=stats)
    assert [tags["kind"] for name, _, tags in stats.sent if name == "media.frames"] == ["video", "upscale"]


def test_a_reused_unit_adds_no_work_that_was_not_done() -> None:
    stats = FakeStats()
    record_unit("video", "reused", WORK, stats=stats)
    assert stats.sent == [("media.units", 1, {"kind": "video", "backend": "local", "state": "reused"})]


def test_a_failure_is_counted_under_its_code() -> None:
    stats = FakeStats()
    record_unit("upscale", "failed", error_code="TimeOut", backend="batch", stats=stats)
    record_unit("upscale", "failed", stats=stats)
    assert [tags for name, _, tags in stats.sent if name == "media.failures"] == [
        {"kind": "upscale", "code": "TimeOut"},
        {"kind": "upscale", "code": "Unknown"},
    ]


def test_a_cancelled_unit_is_no_failure() -> None:
    stats = FakeStats()
    record_unit("video", "cancelled", error_code="Cancelled", stats=stats)
    assert [name for name, _, _ in stats.sent] == ["media.units"]


@pytest.mark.parametrize(("seconds", "sent"), [(None, []), (0, [0.0]), (1.5, [1500.0]), (-2, [0.0])])
def test_the_wait_on_a_fleet_is_sent_where_it_is_known(seconds: float | None, sent: list[float]) -> None:
    stats = FakeStats()
    record_unit("upscale", "done", backend="batch", queue_seconds=seconds, stats=stats)
    assert [amount for name, amount, _ in stats.sent if name == "media.unit.wait"] == sent


@pytest.mark.parametrize("value", [None, "x", True, float("0.2"), -5], ids=repr)
def test_what_is_no_count_is_not_sent(value: Any) -> None:
    stats = FakeStats()
    record_unit("video", "done", dict.fromkeys(WORK, value), stats=stats)
    assert {name for name, _, _ in stats.sent} <= {"media.units", "media.unit.duration", "media.cpu_milliseconds"}


def test_tags_are_such_that_the_client_takes_them() -> None:
    stats = FakeStats()
    record_unit("a,b=c d", "failed", error_code="Ü:x", stats=stats)
    assert stats.sent[0][2]["kind"] == "a_b_c_d"
    assert stats.sent[1][2]["code"] == "__x"


def test_a_client_that_fails_does_not_fail_the_unit(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeStats):
        def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any] | None = None) -> None:
            raise OSError("no route")

    record_unit("video", "done", WORK, stats=Broken())
    assert "record_unit: metrics were not sent" in caplog.text


def record_everything() -> None:
    """Send each metric at least once, with each of its tags."""
    for state in STATES:
        metrics.record_unit("upscale", state, WORK, error_code="StorageError", backend="batch", queue_seconds=2)
    metrics.record_run_start("transcode", 1.5)
    metrics.record_run_end("transcode", "failed", 61)
    metrics.record_machine("upscale", "SuperResolution_queue_Spot", 12.5, 0.0007)
    metrics.record_live(60.5, [{"dropped": 3, "reconnects": 1}, {"dropped": 2, "reconnects": 0}])
    metrics.record_upload("joined", size=700, parts=7)
    metrics.record_relayed(500)
    metrics.record_webhook("transcode.succeeded", delivered=True, attempts=2)
    metrics.record_ingest({"started": 3, "refused": 1}, backlog=12)
    metrics.record_notification("sns", "sent")
    metrics.record_alert("transcode")


SENT_BY_EVERYTHING = {
    ("media.runs", "kind=transcode,state=failed"): 1,
    ("media.units", "kind=upscale,backend=batch,state=done"): 1,
    ("media.failures", "kind=upscale,code=StorageError"): 1,
    ("media.frames", "kind=upscale"): 120,
    ("media.machine_milliseconds", "kind=upscale,queue=SuperResolution_queue_Spot"): 12500,
    ("media.cost_microdollars", "kind=upscale,queue=SuperResolution_queue_Spot"): 700,
    ("media.live.milliseconds", ""): 60500,
    ("media.live.dropped", ""): 5,
    ("media.upload.parts", ""): 7,
    ("media.relay.bytes", "destination=youtube"): 500,
    ("media.webhooks", "event=transcode.succeeded,state=delivered"): 1,
    ("media.ingest.objects", "fate=started"): 3,
    ("media.notifications", "place=sns,state=sent"): 1,
    ("media.alerts", "kind=transcode"): 1,
}


def test_every_metric_that_is_documented_is_sent_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert render_table() in page, "run: python -m include.orchestration.metric_names, and put its table into docs/metrics.md"
    stats = FakeStats()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "airflow_stats", lambda: stats)
        record_everything()
    assert {name for name, _, _ in stats.sent} == set(METRICS)


def test_a_stats_server_gets_every_metric_in_influxdbs_notation() -> None:
    """As docker-compose.yaml sets it, from a process that Airflow has not set up."""
    with statsd_server() as server:
        environment = {
            "AIRFLOW__METRICS__STATSD_ON": "True", "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(server.port), "AIRFLOW__METRICS__STATSD_PREFIX": "airflow",
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True", "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
        }  # fmt: skip
        in_a_process_of_its_own(environment)
    lines = server.lines("airflow.media.")
    assert {line.name.removeprefix("airflow.") for line in lines} == set(METRICS)
    got = {(line.name.removeprefix("airflow."), line.tags): line.value for line in lines}
    assert {key: got[key] for key in SENT_BY_EVERYTHING} == SENT_BY_EVERYTHING
    assert got["media.run.duration", "kind=transcode,state=failed"] == 61000
    assert got["media.ingest.backlog", ""] == 12


def test_an_opentelemetry_collector_gets_every_metric_of_a_short_process_as_deltas() -> None:
    """Processes of tasks share one name: sums since their own start would be taken for one counter that starts over and over."""
    with otlp_server() as server:
        environment = {
            "AIRFLOW__METRICS__OTEL_ON": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
        }  # fmt: skip
        in_a_process_of_its_own(environment)
        in_a_process_of_its_own(environment)
    points = server.points("airflow.media.")
    assert {point.name.removeprefix("airflow.") for point in points} == set(METRICS)
    assert all(point.is_delta for point in points if METRICS[point.name.removeprefix("airflow.")].type != "gauge")
    for (name, tags), value in SENT_BY_EVERYTHING.items():
        wanted = dict(item.split("=") for item in tags.split(",")) if tags else {}
        assert server.total(f"airflow.{name}", wanted) == 2 * value, name
    (duration, *_) = [point for point in points if point.name == "airflow.media.run.duration"]
    assert (duration.count, duration.sum) == (1, 61000)


def in_a_process_of_its_own(environment: dict[str, str]) -> None:
    code = "from tests.orchestration.test_metrics import record_everything; record_everything()"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, cwd=Path(__file__).parents[2], check=True)
