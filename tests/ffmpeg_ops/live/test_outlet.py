"""Queues that lose whole groups of pictures."""

from __future__ import annotations

import threading

from include.ffmpeg_ops.live.outlet import Outlet
from include.ffmpeg_ops.live.transport import CLOCK, Piece


def picture(number: int, size: int = 188) -> Piece:
    """Picture ``number`` of 10 a second, a keyframe a second."""
    return Piece(bytes(size), b"", time=number * CLOCK // 10, picture=True, key=number % 10 == 0)


def numbers(outlet: Outlet) -> list[int]:
    """Everything that waits; negative where something is missing before it."""
    found = []
    while (piece := outlet.get(0)) is not None:
        assert piece.time is not None
        number = piece.time * 10 // CLOCK
        found.append(-number if piece.joint else number)
    return found


def test_what_comes_goes_in_order() -> None:
    outlet = Outlet()
    for n in range(30):
        outlet.put(picture(n))
    assert numbers(outlet) == list(range(30))
    assert outlet.dropped == 0


def test_a_target_begins_with_a_keyframe() -> None:
    outlet = Outlet()
    for n in range(7, 25):
        outlet.put(picture(n))
    assert numbers(outlet) == [-10, *range(11, 25)]
    assert outlet.dropped == 3


def test_when_too_much_waits_the_oldest_goes_up_to_the_next_keyframe() -> None:
    outlet = Outlet(seconds=3)
    for n in range(35):
        outlet.put(picture(n))
    assert numbers(outlet) == [-10, *range(11, 35)]
    assert outlet.dropped == 10


def test_so_it_does_in_the_middle_of_a_group_that_was_begun() -> None:
    outlet = Outlet(seconds=3)
    for n in range(10):
        outlet.put(picture(n))
    taken = [outlet.get(0) for _ in range(5)]
    for n in range(10, 40):
        outlet.put(picture(n))
    assert len(taken) == 5
    assert numbers(outlet) == [-10, *range(11, 40)]
    assert outlet.dropped == 5


def test_bytes_are_bounded_too_even_where_no_keyframe_comes() -> None:
    outlet = Outlet(size=1000)
    outlet.put(picture(0, size=500))
    for n in range(1, 10):
        outlet.put(picture(n, size=300))
    assert numbers(outlet) == []
    outlet.put(picture(10))
    assert numbers(outlet) == [-10]
    assert outlet.dropped == 10


def test_a_new_connection_begins_with_the_newest_keyframe() -> None:
    outlet = Outlet()
    for n in range(25):
        outlet.put(picture(n))
    outlet.rejoin()
    assert numbers(outlet) == [-20, *range(21, 25)]
    assert outlet.dropped == 20


def test_who_waits_is_woken_by_the_end_and_gets_all_that_was_before_it() -> None:
    outlet = Outlet()
    outlet.put(picture(0))
    threading.Timer(0.05, outlet.close).start()
    assert outlet.get(5) is not None
    assert not outlet.drained
    assert outlet.get(5) is None
    assert outlet.drained
    outlet.put(picture(10))
    assert outlet.get(0) is None
