from __future__ import annotations

import threading

import pytest

from include.sr_model.channel import Channel, Closed


def test_items_come_in_order_and_no_more_than_fit() -> None:
    channel: Channel[int] = Channel(2)
    got: list[int] = []

    def take() -> None:
        got.extend(channel.get() for _ in range(100))

    reader = threading.Thread(target=take)
    reader.start()
    for number in range(100):
        channel.put(number)
    reader.join(5)
    assert got == list(range(100))


def test_waiting_for_nothing_ends_after_its_time() -> None:
    with pytest.raises(TimeoutError):
        Channel(1).get(0.01)


@pytest.mark.parametrize("side", ["put", "get"])
def test_closing_wakes_whoever_waits(side: str) -> None:
    channel: Channel[int] = Channel(1)
    if side == "put":
        channel.put(1)
    raised = threading.Event()

    def wait() -> None:
        try:
            channel.put(2) if side == "put" else channel.get()
        except Closed:
            raised.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    channel.close()
    assert raised.wait(5)
    waiting.join()
    with pytest.raises(Closed):
        channel.put(3)
