from __future__ import annotations

import asyncio

import pytest

from include.media_pages.shared import Shared


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_those_who_ask_within_a_second_share_a_read() -> None:
    clock, reads = Clock(), []

    async def read() -> int:
        reads.append(clock.now)
        await asyncio.sleep(0)
        return len(reads)

    async def run() -> None:
        shared: Shared[str, int] = Shared(1.0, clock=clock)
        assert await asyncio.gather(*(shared("a", read) for _ in range(50))) == [1] * 50
        clock.now = 0.9
        assert await shared("a", read) == 1
        assert await shared("b", read) == 2
        clock.now = 1.1
        assert await shared("a", read) == 3

    asyncio.run(run())
    assert reads == [0.0, 0.9, 1.1]


def test_what_ends_while_it_is_looked_at_is_read_anew() -> None:
    class Hasty(Clock):
        def __call__(self) -> float:
            self.now += 0.3
            return self.now

    async def read() -> str:
        return "read"

    async def run() -> None:
        shared: Shared[str, str] = Shared(1.0, clock=Hasty())
        for _ in range(40):
            assert await shared("a", read) == "read"

    asyncio.run(run())


def test_what_was_read_before_a_change_is_shown_to_nobody_after_it() -> None:
    async def run() -> None:
        shared: Shared[str, str] = Shared(1.0)
        gate = asyncio.Event()

        async def slow() -> str:
            await gate.wait()
            return "before"

        async def after() -> str:
            return "after"

        waiting = asyncio.create_task(shared("a", slow))
        await asyncio.sleep(0)
        shared.forget()
        assert await shared("a", after) == "after"
        gate.set()
        assert await waiting == "before"
        assert await shared("a", slow) == "after"

    asyncio.run(run())


def test_an_error_is_theirs_who_wait_and_is_not_kept() -> None:
    async def fail() -> str:
        await asyncio.sleep(0)
        raise ValueError("once")

    async def well() -> str:
        return "well"

    async def run() -> None:
        shared: Shared[str, str] = Shared(1.0)
        answers = await asyncio.gather(*(shared("a", fail) for _ in range(3)), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["once"] * 3
        assert await shared("a", well) == "well"

    asyncio.run(run())


def test_one_who_goes_away_takes_no_answer_along() -> None:
    async def run() -> None:
        shared: Shared[str, str] = Shared(1.0)
        gate = asyncio.Event()

        async def slow() -> str:
            await gate.wait()
            return "there"

        first, second = asyncio.create_task(shared("a", slow)), asyncio.create_task(shared("a", slow))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await second == "there"
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())
