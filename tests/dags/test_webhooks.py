"""What tells callbacks, in every DAG that has it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent

from include.errors import StorageError
from include.media_store.models import ObjectRef
from include.orchestration.triggers import webhook as module
from include.orchestration.triggers.webhook import WebhookTrigger
from include.orchestration.webhook_delivery import Delivery
from include.orchestration.webhook_events import Event
from include.settings import Settings
from include.worker.callback import Callback
from include.worker.job import Job
from include.worker.models import Outcome
from tests.media_api.fakes import MemoryStore

ROOT = Path(__file__).parents[2]
CONFS = {
    "transcode": [
        {"bucket": "media", "source_key": "in/a.mp4", "folder": "out/a/", "name": "a", "container": "mp4"},
        {"bucket": "media", "client": "ott", "task_id": "3125", "source": "s3://media/a.mp4", "targets": ["s3://media/b.mp4"]},
    ],
    "super_resolution": [{"bucket": "media", "key": "in/a.mp4", "scale": 4}],
    "live": [{"bucket": "media", "client": "ott", "task_id": "3125", "source": "rtmp://a.example/live/***"}],
}
OURS = Callback(url="https://ott.example/hook", client="ott")


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(ROOT / "dags")


@pytest.mark.parametrize("dag_id", sorted(CONFS))
def test_it_begins_with_the_run_in_the_triggerer_and_its_failure_is_not_the_runs(bag: DagBag, dag_id: str) -> None:
    task = bag.dags[dag_id].get_task("webhooks")
    assert (task.start_from_trigger, task.trigger_rule, task.retries) == (True, "always", 0)
    assert task.upstream_task_ids, "clearing the run's work must clear it, too"
    assert bag.dags[dag_id].get_task("told").trigger_rule == "all_done"
    arguments = task.start_trigger_args.trigger_kwargs
    assert callable(resolve_name(arguments["job_of"]))
    assert {*arguments["work"], arguments["report"]} <= set(bag.dags[dag_id].task_ids)


@pytest.mark.parametrize(("dag_id", "conf"), [(dag_id, conf) for dag_id, confs in CONFS.items() for conf in confs])
def test_the_triggerer_can_read_the_runs_parameters(bag: DagBag, dag_id: str, conf: dict[str, Any]) -> None:
    # One that it cannot read would end the whole triggerer.
    encoded = DagSerialization.to_dict(bag.dags[dag_id])
    nothing = dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end", "end_date", "partition_key"))
    known = {
        "dag_id": dag_id,
        "run_id": "run",
        "conf": conf,
        "run_type": "manual",
        "state": "running",
        "consumed_asset_events": [],
    }
    run = nothing | known | dict.fromkeys(("run_after", "start_date"), datetime.now(timezone.utc))
    ti = SimpleNamespace(
        task_id="webhooks",
        model_dump=lambda **_: {
            "id": "1",
            "task_id": "webhooks",
            "dag_id": dag_id,
            "run_id": "run",
            "try_number": 1,
            "map_index": -1,
        },
    )
    found = TriggerRunner.create_runtime_ti(ti, encoded, run).get_template_context()  # type: ignore[arg-type]
    assert conf.items() <= {**found["params"], **(found["dag_run"].conf or {})}.items()


class Told:
    """A courier that only remembers."""

    def __init__(self, answer: str = "HTTP 204") -> None:
        self.answer = answer
        self.events: list[Event] = []

    def __call__(self, settings: Settings, run: tuple[object, ...]) -> Told:
        return self

    async def send(self, event: Event, callback: Callback, **limits: Any) -> Delivery:
        self.events.append(event)
        return Delivery(event.type, "id", callback.client, "url", delivered=self.answer == "HTTP 204", answer=self.answer)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


class Trigger(WebhookTrigger):
    """One whose Airflow is a list of states, each for one look."""

    def __init__(self, job: Job | None, told: Told, *states: dict[str, str | None], run_state: str = "running") -> None:
        super().__init__(job_of="", work=["plan", "encode", "finish"], report="report")
        self.found, self.courier, self.looks, self.run_state = job, told, list(states), run_state
        self.pushed: dict[str, Any] = {}
        run = SimpleNamespace(conf={}, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
        context = {"params": {}, "dag_run": run}
        self._task_instance = SimpleNamespace(
            dag_id="transcode", run_id="run", task_id="webhooks", try_number=1, get_template_context=lambda: context
        )

    def _job(self) -> Job | None:
        return self.found

    def _states(self, tasks: list[str] | None) -> dict[str, str | None]:
        return self.looks.pop(0) if tasks and len(self.looks) > 1 else self.looks[0]

    def _run_state(self) -> str:
        return self.run_state

    async def _push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Settings(_env_file=None, webhook_seconds=0.01)  # type: ignore[call-arg]
    monkeypatch.setattr(module, "get_settings", lambda: quick)


@pytest.fixture
def job() -> Job:
    job = Job(MemoryStore(), Settings(_env_file=None), "media", "0" * 20)  # type: ignore[call-arg]
    job.write_callback(OURS)
    return job


def outcome(job: Job, state: Any = "done", year: int = 2026) -> None:
    error = None if state == "done" else {"code": "InvalidInputData", "message": "No video.", "retryable": False}
    job.write_outcome(Outcome(state=state, error=error, run_id="run", finished_at=datetime(year, 6, 1, tzinfo=timezone.utc)))


def run(trigger: WebhookTrigger) -> type:
    async def only() -> Any:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(only())
    return type(event)


def test_without_callbacks_it_is_skipped_at_once(job: Job) -> None:
    job.delete_callback(OURS)
    told = Told()
    assert run(Trigger(job, told, {"report": None})) is TaskSkippedEvent
    assert run(Trigger(None, told, {"report": None})) is TaskSkippedEvent
    assert told.events == []


def test_progress_is_told_when_it_changes_and_the_end_once(job: Job) -> None:
    outcome(job)
    told, running = Told(), {"report": None, "plan": "success"}
    trigger = Trigger(job, told, *[running] * 8, running | {"report": "success"})
    assert run(trigger) is TaskSuccessEvent
    assert told.types == ["transcode.progress", "transcode.succeeded"]
    assert told.events[0].data == {"run_id": "run", "progress": 3}
    assert trigger.pushed["deliveries"][0]["delivered"] is True
    assert job.read_callbacks() == (), "it has served"


def test_a_failure_is_told_with_its_reason_and_its_callback_stays_for_the_next_attempt(job: Job) -> None:
    outcome(job, "failed")
    told = Told()
    assert run(Trigger(job, told, {"report": "failed"})) is TaskSuccessEvent
    assert told.events[0].data["error"]["code"] == "InvalidInputData"
    assert job.read_callbacks() == (OURS,)


def test_the_outcome_of_an_earlier_attempt_is_not_told(job: Job) -> None:
    outcome(job, "done", year=2025)
    told = Told()
    run(Trigger(job, told, {"report": "failed"}))
    assert told.types == ["transcode.failed"]


@pytest.mark.parametrize(("state", "report", "how"), [("done", "success", "succeeded"), ("failed", "failed", "failed")])
def test_an_end_is_told_again_as_it_was_where_this_task_alone_was_cleared_and_the_run_has_begun_anew_with_it(
    job: Job, state: str, report: str, how: str
) -> None:
    outcome(job, state, year=2025)
    told = Told()
    assert run(Trigger(job, told, {"report": report})) is TaskSuccessEvent
    assert told.types == [f"transcode.{how}"]
    assert (told.events[0].data.get("error") or {}).get("code") == (None if state == "done" else "InvalidInputData")


def test_what_was_stopped_and_started_again_in_airflow_has_failed_when_it_fails(job: Job) -> None:
    for at, how in (("2025-12-31T23:59:59+00:00", "failed"), ("2026-01-01T00:00:00+00:00", "cancelled")):
        job.store.put_bytes(job.bucket, job.cancelled_key, json.dumps({"at": at}).encode())
        outcome(job, "failed")
        told = Told()
        run(Trigger(job, told, {"report": "failed"}))
        assert told.types == [f"transcode.{how}"]


def test_an_end_that_could_not_be_told_fails_the_task_and_shows_why(job: Job) -> None:
    outcome(job)
    trigger = Trigger(job, Told("HTTP 503"), {"report": "success"})
    assert run(trigger) is TaskFailedEvent
    assert trigger.pushed["deliveries"][0]["answer"] == "HTTP 503"
    assert job.read_callbacks() == (OURS,)


def test_who_is_gone_is_told_nothing_any_more(job: Job) -> None:
    outcome(job, "failed")
    run(Trigger(job, Told("HTTP 410"), {"report": "failed"}))
    assert job.read_callbacks() == ()


def test_a_run_that_is_stopped_is_told_to_be_cancelled(job: Job) -> None:
    told = Told()
    asyncio.run(Trigger(job, told, {"report": "skipped"}, run_state="failed").on_kill())
    assert told.types == ["transcode.cancelled"]


def test_it_is_told_though_airflow_cancels_the_telling_again(job: Job) -> None:
    class Slow(Told):
        async def send(self, event: Event, callback: Callback, **limits: Any) -> Delivery:
            await asyncio.sleep(0.2)
            sent.set()
            return await super().send(event, callback, **limits)

    told, sent = Slow(), asyncio.Event()

    async def stop() -> None:
        telling = asyncio.create_task(Trigger(job, told, {"report": "skipped"}, run_state="failed").on_kill())
        for _ in range(2):
            await asyncio.sleep(0.05)
            telling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await telling
        async with asyncio.timeout(20):
            await sent.wait()

    asyncio.run(stop())
    assert told.types == ["transcode.cancelled"]


def test_a_run_that_goes_on_is_not(job: Job) -> None:
    told = Told()
    asyncio.run(Trigger(job, told, {"report": None}).on_kill())
    assert told.events == []


class Ailing(MemoryStore):
    """A store whose named calls fail for so many times."""

    def __init__(self, **failures: int) -> None:
        super().__init__()
        self.failures = failures

    def fail(self, call: str) -> None:
        if self.failures.get(call, 0) > 0:
            self.failures[call] -= 1
            raise StorageError("The object store did not answer.")

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        self.fail("list")
        return super().list(bucket, prefix)

    def get_bytes(self, bucket: str, key: str) -> bytes:
        self.fail("get")
        return super().get_bytes(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        self.fail("delete")
        super().delete(bucket, key)


def test_the_end_is_told_though_the_store_fails_for_a_while(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_PAUSE", 0.001)
    outcome(job)
    ailing = Ailing(list=3, get=2, delete=1)
    ailing.objects = job.store.objects  # type: ignore[attr-defined]
    job.store = ailing
    told, running = Told(), {"report": None, "plan": "success"}
    assert run(Trigger(job, told, *[running] * 8, running | {"report": "success"})) is TaskSuccessEvent
    assert told.types[-1] == "transcode.succeeded"
    assert not any(ailing.failures.values()), "all of it was met"
    assert job.read_callbacks() == (OURS,), "to remove it was tried once"


class Unheard(Trigger):
    """One whose Airflow answers every other question of its kind with an error."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.asked: Counter[str] = Counter()

    def fail(self, question: str) -> None:
        self.asked[question] += 1
        if self.asked[question] % 2:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 502}))

    def _states(self, tasks: list[str] | None) -> dict[str, str | None]:
        self.fail(str(tasks))
        return super()._states(tasks)

    def _run_state(self) -> str:
        self.fail("run")
        return super()._run_state()


def test_the_end_is_told_though_airflow_does_not_answer_now_and_then(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_PAUSE", 0.001)
    outcome(job)
    told, running = Told(), {"report": None, "plan": "success"}
    trigger = Unheard(job, told, *[running] * 8, running | {"report": "success"})
    assert run(trigger) is TaskSuccessEvent
    assert told.types == ["transcode.progress", "transcode.succeeded"]
    job.write_callback(OURS)
    told = Told()
    asyncio.run(Unheard(job, told, {"report": "skipped"}, run_state="failed").on_kill())
    assert told.types == ["transcode.cancelled"]


def test_progress_that_cannot_be_told_is_told_later(job: Job) -> None:
    told = Told()
    trigger = Trigger(job, told, {"report": None})
    job.store = Ailing(list=1)
    job.write_callback(OURS)

    async def twice() -> list[bool]:
        return [await trigger._tell_progress(job, {"progress": 3}) for _ in range(2)]

    assert asyncio.run(twice()) == [False, True]
    assert told.types == ["transcode.progress"]


def test_a_trigger_is_made_again_as_it_was() -> None:
    trigger = WebhookTrigger(job_of="include.orchestration.transcode.job_of", work=["plan"], report="report")
    path, arguments = trigger.serialize()
    assert resolve_name(path)(**arguments).serialize() == (path, arguments)
