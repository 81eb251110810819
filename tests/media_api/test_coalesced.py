"""Reads that are asked for at the same time share a call, and none gets an answer older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from include.errors import InternalError
from include.media_api.coalesced import Coalesced


class Airflow:
    """Counts calls; each waits for the test, and answers with the number of the call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, set[str]]] = []
        self.go = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def __call__(self, dag_id: str, run_ids: Collection[str]) -> dict[str, int]:
        self.calls.append((dag_id, set(run_ids)))
        number = len(self.calls)
        await self.go.acquire()
        if self.error:
            raise self.error
        return {run_id: number for run_id in run_ids if run_id != "none"}


async def started(*reads: object) -> list[asyncio.Task[dict[str, int]]]:
    tasks = [asyncio.ensure_future(read) for read in reads]  # type: ignore[call-overload]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


def test_who_asks_while_a_call_is_on_its_way_shares_the_next_one() -> None:
    async def scenario() -> None:
        airflow = Airflow()
        joined = Coalesced(airflow)
        (first,) = await started(joined("dag", ["a"]))
        others = await started(*(joined("dag", [run_id]) for run_id in ("a", "b", "c", "none")), joined("dag", ["b", "d"]))
        airflow.go.release()
        airflow.go.release()
        assert await first == {"a": 1}
        assert await asyncio.gather(*others) == [{"a": 2}, {"b": 2}, {"c": 2}, {}, {"b": 2, "d": 2}]
        assert airflow.calls == [("dag", {"a"}), ("dag", {"a", "b", "c", "none", "d"})]

    asyncio.run(scenario())


def test_dags_do_not_wait_for_each_other_and_nothing_asks_nothing() -> None:
    async def scenario() -> None:
        airflow = Airflow()
        joined = Coalesced(airflow)
        assert await joined("dag", []) == {}
        both = await started(joined("one", ["a"]), joined("two", ["a"]))
        assert len(airflow.calls) == 2
        airflow.go.release()
        airflow.go.release()
        await asyncio.gather(*both)

    asyncio.run(scenario())


def test_who_goes_away_takes_nobodys_answer_along() -> None:
    async def scenario() -> None:
        airflow = Airflow()
        joined = Coalesced(airflow)
        gone, stays = await started(joined("dag", ["a"]), joined("dag", ["a"]))
        gone.cancel()
        airflow.go.release()
        airflow.go.release()
        assert (await stays)["a"]

    asyncio.run(scenario())


def test_an_error_is_for_those_who_have_asked() -> None:
    async def scenario() -> None:
        airflow = Airflow()
        joined = Coalesced(airflow)
        airflow.error = InternalError("Airflow does not answer.")
        two = await started(joined("dag", ["a"]), joined("dag", ["b"]))
        airflow.go.release()
        airflow.go.release()
        for task in two:
            with pytest.raises(InternalError):
                await task
        airflow.error = None
        airflow.go.release()
        assert await joined("dag", ["a"])

    asyncio.run(scenario())
