from __future__ import annotations

from typing import Any

from include.worker.progress import Progress


def test_reports_become_two_events_a_second() -> None:
    time, events = [0.0], list[dict[str, Any]]()
    progress = Progress(events.append, clock=lambda: time[0])
    progress.begin("encode", 100, "frames")
    for frame in range(1, 101):
        time[0] = frame / 25
        progress.update(frame, fps=25.04)
    assert [event["done"] for event in events] == [0, 13, 26, 39, 52, 65, 78, 91]
    assert events[0] == {"event": "progress", "phase": "encode", "done": 0, "total": 100, "unit": "frames", "fraction": 0.02}
    told = {"event": "progress", "phase": "encode", "done": 13, "total": 100, "unit": "frames", "fps": 25.0}
    assert events[1] == told | {"fraction": 0.1396}


def test_bytes_are_added_up_and_an_event_is_a_copy() -> None:
    time, events = [0.0], list[dict[str, Any]]()
    progress = Progress(events.append, clock=lambda: time[0])
    progress.begin("fetch", 30, "bytes")
    for _ in range(3):
        time[0] += 1
        progress.advance(10)
    assert [event["done"] for event in events] == [0, 10, 20, 30]


def test_the_fraction_of_the_unit_never_goes_back_from_phase_to_phase() -> None:
    time, events = [0.0], list[dict[str, Any]]()
    progress = Progress(events.append, clock=lambda: time[0])
    for phase in ("fetch", "encode", "verify", "quality", "upload"):
        progress.begin(phase, 4, "")
        for done in range(1, 5):
            time[0] += 1
            progress.update(done)
    told = [event["fraction"] for event in events]
    assert told == sorted(told)
    assert told[-1] == 1.0
