"""What is told to Airflow's stats client of a work unit."""

from __future__ import annotations

from typing import Any

import pytest

from include.orchestration.metrics import NAMES, STATES, record_unit


class FakeStats:
    """Keeps what was sent as (name, amount, tags)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, float, dict[str, Any]]] = []

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any] | None = None) -> None:
        assert NAMES[stat] == "counter"
        assert isinstance(count, int)
        self.sent.append((stat, count, tags or {}))

    def timing(self, stat: str, dt: float, *, tags: dict[str, Any] | None = None) -> None:
        assert NAMES[stat] == "timer"
        self.sent.append((stat, dt, tags or {}))


METRICS = {
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
    record_unit("video", "done", METRICS, stats=stats)
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
    record_unit("video", "reused", METRICS, stats=stats)
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
    record_unit("video", "done", dict.fromkeys(METRICS, value), stats=stats)
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

    record_unit("video", "done", METRICS, stats=Broken())
    assert "not sent" in caplog.text


def test_airflows_own_client_takes_every_name_and_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a task with StatsD in InfluxDB's notation, which is how docker-compose.yaml sets it."""
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
    from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger
    from airflow.sdk.observability import stats

    class Client:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def incr(self, stat: str, count: int, rate: float) -> None:
            self.lines.append(f"{stat}:{count}|c")

        def timing(self, stat: str, dt: float) -> None:
            self.lines.append(f"{stat}:{dt:g}|ms")

    client = Client()
    logger = SafeStatsdLogger(client, influxdb_tags_enabled=True, statsd_influxdb_enabled=True)
    stats.initialize(factory=lambda: logger, export_legacy_names=False)
    try:
        for state in STATES:
            record_unit("upscale", state, METRICS, error_code="StorageError", backend="batch", queue_seconds=2)
    finally:
        stats.initialize(factory=NoStatsLogger, export_legacy_names=True)
    assert {line.partition(",")[0] for line in client.lines} == set(NAMES)
    assert "media.units,kind=upscale,backend=batch,state=done:1|c" in client.lines
    assert "media.failures,kind=upscale,code=StorageError:1|c" in client.lines
