"""When to try again."""

from __future__ import annotations

from include.ffmpeg_ops.live.backoff import Backoff
from include.ffmpeg_ops.live.meter import Meter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_waits_double_up_to_a_bound_and_end_with_the_patience() -> None:
    clock = Clock()
    backoff = Backoff(30, clock)
    waits = []
    while (pause := backoff.wait()) is not None:
        waits.append(pause)
        clock.now += pause
    assert waits == [0.5, 1, 2, 4, 8, 10, 4.5]


def test_after_a_success_patience_begins_anew() -> None:
    clock = Clock()
    backoff = Backoff(5, clock)
    clock.now += 4
    backoff.reset()
    clock.now += 4
    assert backoff.wait() == 0.5
    clock.now += 2
    assert backoff.wait() is None


def test_a_meter_tells_of_the_last_seconds_and_of_silence() -> None:
    clock = Clock()
    meter = Meter(clock)
    for _ in range(100):
        clock.now += 0.25
        meter.add(10)
    assert meter.total == 1000
    assert abs(meter.rate - 40) < 1
    clock.now += 20
    assert meter.rate == 0
