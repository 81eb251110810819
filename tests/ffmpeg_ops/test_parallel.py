from __future__ import annotations

import threading
import time

import pytest

from include.errors import Cancelled
from include.ffmpeg_ops.parallel import in_parallel


def test_answers_come_in_the_order_of_the_items() -> None:
    released = [threading.Event() for _ in range(3)]

    def work(number: int) -> int:
        # Each waits for the one behind it.
        if number + 1 < len(released):
            assert released[number + 1].wait(10)
        released[number].set()
        return 10 * number

    assert in_parallel(work, range(3), at_once=3) == [0, 10, 20]


def test_no_more_are_at_work_than_were_asked_for() -> None:
    busy, most, lock, pair = 0, 0, threading.Lock(), threading.Barrier(2)

    def work(_: int) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        # Two come in together, or this breaks.
        pair.wait(10)
        with lock:
            busy -= 1

    in_parallel(work, range(10), at_once=2)
    assert most == 2


def test_after_an_error_nothing_more_begins() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ZeroDivisionError
        time.sleep(0.01)

    with pytest.raises(ZeroDivisionError):
        in_parallel(work, range(1000), at_once=1)
    assert len(begun) < 1000


def test_it_is_asked_before_each_item_whether_to_go_on() -> None:
    done: list[int] = []

    def check() -> None:
        if len(done) == 2:
            raise Cancelled("The work was cancelled.")

    with pytest.raises(Cancelled):
        in_parallel(done.append, range(5), at_once=1, check=check)
    assert done == [0, 1]


def test_nothing_to_do_is_done() -> None:
    assert in_parallel(str, []) == []
