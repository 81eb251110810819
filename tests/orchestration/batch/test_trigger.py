"""The trigger and the poller that all triggers of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from include.orchestration.backends.batch import STOPPED
from include.orchestration.batch import poller as poller_module
from include.orchestration.batch.jobs import BatchJob, Verdict
from include.orchestration.batch.poller import JobPoller, shared_poller
from include.orchestration.batch.progress import read_progress
from include.orchestration.triggers import batch as module
from include.orchestration.triggers.batch import BatchUnitTrigger
from tests.media_api.fakes import MemoryStore

ARGUMENTS: dict[str, Any] = {
    "job_id": "job-1", "movable": True, "ending": False, "runnable_seconds": 900, "queue_seconds": 1e12, "run_seconds": 1e12,
    "poll_seconds": 0.01, "bucket": "media", "progress_prefix": "p/progress/", "unit_id": "audio",
    "address": {"region_name": "us-east-1", "aws_partition": "aws"}, "log_group": "/reelflow/batch", "aws_conn_id": "aws_default",
}  # fmt: skip


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    monkeypatch.setattr(module, "_store", lambda: store)
    return store


def described(job_id: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"jobId": job_id, "jobName": "n", "status": status, "createdAt": 4e15} | fields


class Fleet:
    """Answers DescribeJobs."""

    def __init__(self, answer: Callable[[str, int], Mapping[str, Any] | None]) -> None:
        self.answer = answer
        self.calls: list[list[str]] = []
        self.connections = 0
        self.errors = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        self.connections += 1
        yield self.describe

    async def describe(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        self.calls.append(list(ids))
        if self.errors:
            self.errors -= 1
            raise ConnectionError("too many requests")
        return [found for job_id in ids if (found := self.answer(job_id, len(self.calls)))]

    def poller(self) -> JobPoller:
        return JobPoller(self.connect, 0.01)


def watch(fleet: Fleet, **arguments: Any) -> Verdict:
    trigger = BatchUnitTrigger(**ARGUMENTS | arguments)
    return asyncio.run(asyncio.wait_for(trigger.watch(fleet.poller()), 10))


def test_a_trigger_is_made_again_from_what_it_serializes() -> None:
    path, arguments = BatchUnitTrigger(**ARGUMENTS).serialize()
    assert path == "include.orchestration.triggers.batch.BatchUnitTrigger"
    assert arguments == ARGUMENTS
    assert BatchUnitTrigger(**arguments).serialize() == (path, arguments)


def test_it_fires_once_the_job_has_ended() -> None:
    fleet = Fleet(lambda job_id, call: described(job_id, "SUCCEEDED" if call > 3 else "RUNNING"))

    async def run() -> list[Any]:
        trigger = BatchUnitTrigger(**ARGUMENTS)
        trigger.poller = fleet.poller  # type: ignore[method-assign]
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(run()) == [{"verdict": "over", "job_id": "job-1"}]
    assert (len(fleet.calls) >= 4, fleet.connections, BatchUnitTrigger.active) == (True, 1, 0)


def test_it_fires_where_its_task_has_to_do_something() -> None:
    waits = Fleet(lambda job_id, call: described(job_id, "RUNNABLE", createdAt=1000))
    assert watch(waits) is Verdict.MOVE
    assert watch(waits, movable=False, queue_seconds=60) is Verdict.STUCK
    runs = Fleet(lambda job_id, call: described(job_id, "RUNNING", startedAt=1000))
    assert watch(runs, run_seconds=60) is Verdict.LATE


def test_a_job_that_has_been_ended_is_only_waited_for() -> None:
    fleet = Fleet(lambda job_id, call: described(job_id, "FAILED" if call > 2 else "RUNNING", startedAt=1000))
    assert watch(fleet, run_seconds=60, ending=True) is Verdict.OVER


def test_errors_are_waited_out_and_a_job_that_batch_has_forgotten_is_over() -> None:
    fleet = Fleet(lambda job_id, call: None)
    fleet.errors = 2
    assert watch(fleet) is Verdict.OVER
    assert fleet.connections == 3
    assert len(fleet.calls) == 2 + module.LOST_AFTER


def test_a_day_without_an_answer_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(lambda job_id, call: described(job_id, "SUCCEEDED"))
    fleet.errors = looks = 24 * 60
    pauses: list[float] = []
    wait = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await wait(0)

    monkeypatch.setattr(poller_module, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    assert watch(fleet) is Verdict.OVER
    assert pauses[:looks] == sorted(pauses[:looks])
    assert max(pauses) <= poller_module.LONGEST_PAUSE


def test_a_hundred_jobs_are_one_call_and_each_trigger_hears_of_its_own() -> None:
    fleet = Fleet(lambda job_id, call: described(job_id, "SUCCEEDED" if call > 6 else "RUNNING"))

    async def run() -> list[Verdict]:
        poller = fleet.poller()
        triggers = [BatchUnitTrigger(**ARGUMENTS | {"job_id": f"job-{number}"}) for number in range(250)]
        return await asyncio.wait_for(asyncio.gather(*(trigger.watch(poller) for trigger in triggers)), 20)

    assert asyncio.run(run()) == [Verdict.OVER] * 250
    assert [len(call) for call in fleet.calls[:3]] == [100, 100, 50]
    assert len(fleet.calls) == 9
    assert fleet.connections == 1


def test_one_that_leaves_does_not_end_the_looking_for_the_others() -> None:
    fleet = Fleet(lambda job_id, call: described(job_id, "SUCCEEDED" if call > 20 else "RUNNING"))

    async def run() -> Verdict:
        poller = fleet.poller()
        first = asyncio.create_task(BatchUnitTrigger(**ARGUMENTS).watch(poller))
        second = asyncio.create_task(BatchUnitTrigger(**ARGUMENTS | {"job_id": "job-2"}).watch(poller))
        await asyncio.sleep(0.05)
        first.cancel()
        return await asyncio.wait_for(second, 10)

    assert asyncio.run(run()) is Verdict.OVER
    assert fleet.calls[-1] == ["job-2"]


def test_who_comes_between_two_looks_is_looked_at_soon_and_alone() -> None:
    fleet = Fleet(lambda job_id, call: described(job_id, "SUCCEEDED" if job_id == "job-2" else "RUNNING"))

    async def run() -> Verdict:
        poller = JobPoller(fleet.connect, 30)
        first = asyncio.create_task(BatchUnitTrigger(**ARGUMENTS).watch(poller))
        await asyncio.sleep(0.1)
        try:
            return await asyncio.wait_for(BatchUnitTrigger(**ARGUMENTS | {"job_id": "job-2"}).watch(poller), 10)
        finally:
            first.cancel()

    assert asyncio.run(run()) is Verdict.OVER
    assert fleet.calls == [["job-1"], ["job-2"]]


def test_the_poller_is_that_of_the_process() -> None:
    async def run() -> None:
        assert shared_poller("aws_default", 10) is shared_poller("aws_default", 10)
        assert shared_poller("aws_default", 10) is not shared_poller("another", 10)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("state", "ended"),
    [("failed", True), (None, True), ("running", True), ("deferred", False), (ConnectionError(), True)],
    ids=str,
)
def test_a_job_is_ended_with_its_task_but_not_when_another_triggerer_took_over(
    state: Any, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def states(**asked: Any) -> dict[str, dict[str, Any]]:
        assert asked == {"dag_id": "d", "task_ids": ["t"], "run_ids": ["r"], "map_index": 3}
        if isinstance(state, Exception):
            raise state
        return {"r": {"t_3": state}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(states))
    trigger = BatchUnitTrigger(**ARGUMENTS)
    trigger._task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=3)
    terminated: list[str] = []

    async def terminate() -> None:
        terminated.append(STOPPED)

    trigger.terminate = terminate  # type: ignore[method-assign]
    asyncio.run(trigger.on_kill())
    assert bool(terminated) is ended


def test_progress_is_shown_as_an_xcom_with_the_link_of_the_log(store: MemoryStore) -> None:
    store.add(
        "p/progress/progress-audio.json", data=b'{"phase":"encode","done":1,"total":4,"unit":"s","fraction":0.25,"job":"job-1"}'
    )
    container = {"logStreamName": "Transcode/default/1"}
    fleet = Fleet(lambda job_id, call: described(job_id, "SUCCEEDED" if call > 3 else "RUNNING", container=container))
    pushed: dict[str, Any] = {}

    async def run() -> None:
        trigger = BatchUnitTrigger(**ARGUMENTS)

        async def push(key: str, value: Any) -> None:
            pushed[key] = value

        trigger._push = push  # type: ignore[method-assign]
        await trigger.watch(fleet.poller())

    asyncio.run(run())
    assert pushed["progress"] == {
        "phase": "encode", "done": 1, "total": 4, "unit": "s", "fraction": 0.25, "status": "RUNNING", "job": "job-1",
    }  # fmt: skip
    assert pushed["_link_BatchLogLink"].endswith(
        "#logsV2:log-groups/log-group/$252Freelflow$252Fbatch/log-events/Transcode$252Fdefault$252F1"
    )


def test_progress_does_not_go_back_when_a_unit_has_ended_before_its_job(store: MemoryStore) -> None:
    key, running = "p/progress/progress-audio.json", BatchJob("job-1", "n", "q", "RUNNING")
    store.add(key, data=b'{"phase":"encode","fraction":0.9,"job":"job-1"}')
    trigger = BatchUnitTrigger(**ARGUMENTS)

    def shown(job: BatchJob) -> Any:
        return asyncio.run(trigger._event(job))["fraction"]

    assert shown(running) == 0.9
    store.delete("media", key)
    assert shown(running) == 0.9
    assert shown(BatchJob("job-1", "n", "q", "RUNNABLE")) == 0.0, "its instance was taken away"
    assert shown(running) == 0.0
    array = [BatchJob("job-1", "n", "q", "PENDING", size=4, children={"RUNNING": 4 - n, "SUCCEEDED": n}) for n in range(4)]
    store.add("p/progress/progress-segment-00000.json", data=b'{"fraction":0.8,"job":"job-1:0"}')
    assert shown(array[2]) == 0.7
    store.delete("media", "p/progress/progress-segment-00000.json")
    assert shown(array[2]) == 0.7
    assert shown(array[3]) == 0.75


def test_progress_of_another_job_is_not_this_ones_and_children_are_added_up() -> None:
    store = MemoryStore()
    store.add("p/progress/progress-audio.json", data=b'{"fraction":0.5,"job":"another"}')
    assert read_progress(store, "media", "p/progress/", "audio", BatchJob("job-1", "n", "q", "RUNNING")) is None  # type: ignore[arg-type]
    store = MemoryStore()
    for index in range(3):
        store.add(f"p/progress/progress-segment-0000{index}.json", data=b'{"fraction":0.5,"fps":4.0,"job":"job-1:%d"}' % index)
    store.add("p/progress/progress-segment-00009.json", data=b'{"fraction":0.9,"job":"job-0:9"}')
    array = BatchJob("job-1", "n", "q", "PENDING", size=10, children={"RUNNING": 3, "SUCCEEDED": 5})
    assert read_progress(store, "media", "p/progress/", "segment-00000", array) == {  # type: ignore[arg-type]
        "phase": "array", "done": 5, "total": 10, "unit": "units", "fraction": 0.65, "fps": 12.0,
    }  # fmt: skip
