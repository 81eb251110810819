"""The operator on Batch: it defers, goes on when the trigger has fired, and tells the report what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from include.errors import InternalError, TimedOut
from include.orchestration.batch.jobs import RUN_FAILED
from include.orchestration.operators import work_unit as module
from include.orchestration.operators.work_unit import ERROR_KEY, METRICS_KEY, WorkUnitOperator
from include.orchestration.triggers.batch import BatchUnitTrigger
from include.settings import get_settings
from include.worker.models import WorkUnit
from tests.orchestration.batch.fakes import World, first_unit, upscale_unit
from tests.orchestration.fakes import FakeTaskInstance, context_of

URI = "s3://media/jobs/1/units/unit-audio.json"


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, WorkUnit]]:
    """Unit documents by URI, of which all kinds but video go to Batch."""
    found: dict[str, WorkUnit] = {}
    monkeypatch.setattr(module, "load_units", lambda uris: [found[uri] for uri in uris])
    monkeypatch.setenv("MEDIA_BATCH_UNITS", "audio,upscale,plan")
    get_settings.cache_clear()
    yield found
    get_settings.cache_clear()


def operator(world: World, **arguments: Any) -> WorkUnitOperator:
    task = WorkUnitOperator(task_id="encode", **arguments)
    object.__setattr__(task, "make_batch", lambda units, context: world.attempt(context["ti"].try_number))
    return task


def deferred(task: WorkUnitOperator, context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    return caught.value


def test_it_defers_with_all_that_the_trigger_needs_and_finishes_with_the_result(units: dict[str, WorkUnit]) -> None:
    world, ti = World(), FakeTaskInstance()
    unit = {"id": "audio", "bucket": "media", "key": "jobs/1/units/unit-audio.json", "label": "audio"}
    units[URI] = world.units[0]
    context = context_of(ti)
    wait = deferred(operator(world, unit=unit), context)
    assert isinstance(wait.trigger, BatchUnitTrigger)
    assert (wait.method_name, wait.kwargs, wait.timeout) == ("resume", {"uris": [URI]}, None)
    arguments = wait.trigger.serialize()[1]
    assert (arguments["job_id"], arguments["movable"], arguments["ending"], arguments["unit_id"]) == (
        "job-1",
        True,
        False,
        "audio",
    )
    assert arguments["progress_prefix"] == f"_reelflow/jobs/{world.job.job_id}/progress/"
    assert ti.pushed["batch_job"]["job_id"] == "job-1"
    world.work("job-1")
    again = operator(world, unit=unit)
    assert again.resume(context, {"verdict": "over", "job_id": "job-1"}, [URI]) is None
    assert ti.pushed[METRICS_KEY]["job"] == "job-1"
    assert ti.pushed["batch_job"]["log_stream"] == "job-1/log"


def test_what_the_trigger_concludes_is_done(units: dict[str, WorkUnit]) -> None:
    world, ti = World(), FakeTaskInstance()
    units[URI] = world.units[0]
    task = operator(world, make_unit=lambda context: URI)
    deferred(task, context_of(ti))
    with pytest.raises(TimedOut):
        task.resume(context_of(ti), {"verdict": "late", "job_id": "job-1"}, [URI])
    assert (ti.pushed[ERROR_KEY]["code"], ti.pushed[ERROR_KEY]["final"]) == ("TimeOut", False)
    assert [job for job, _ in world.batch.terminated] == ["job-1"]


def test_a_failed_job_fails_the_attempt(units: dict[str, WorkUnit]) -> None:
    world, ti = World(), FakeTaskInstance(try_number=3)
    units[URI] = world.units[0]
    task = operator(world, make_unit=lambda context: URI)
    deferred(task, context_of(ti))
    world.batch.end("job-1", "FAILED", exitCode=137)
    with pytest.raises(InternalError):
        task.resume(context_of(ti), {"verdict": "over", "job_id": "job-1"}, [URI])
    assert ti.pushed[ERROR_KEY]["final"]


def test_a_unit_whose_job_was_ended_with_its_run_fails_for_good_and_is_not_the_reason(units: dict[str, WorkUnit]) -> None:
    world, ti = World(), FakeTaskInstance()
    units[URI] = world.units[0]
    task, context = operator(world, make_unit=lambda context: URI), context_of(ti)
    deferred(task, context)
    world.batch.end("job-1", "FAILED", RUN_FAILED)
    with pytest.raises(AirflowFailException, match="in another unit"):
        task.resume(context, {"verdict": "over", "job_id": "job-1"}, [URI])
    assert (ti.pushed[ERROR_KEY]["code"], ti.pushed[ERROR_KEY]["final"]) == ("Cancelled", True)


def test_kinds_that_are_not_for_batch_run_here(units: dict[str, WorkUnit]) -> None:
    units[URI] = first_unit().model_copy(update={"task": first_unit().task.model_copy(update={"kind": "video"})})
    ran: list[str] = []

    class Backend:
        def run(self, uri: str, **callbacks: Any) -> dict[str, Any]:
            ran.append(uri)
            return {"status": "done"}

    task = WorkUnitOperator(task_id="encode", make_unit=lambda context: URI)
    object.__setattr__(task, "make_backend", Backend)
    task.execute(context_of())
    assert ran == [URI]


def test_a_plan_in_array_mode_returns_groups_and_a_group_is_one_task(
    units: dict[str, WorkUnit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_BATCH_ARRAY_SIZE", "2")
    get_settings.cache_clear()
    planned = [
        {"id": f"segment-{n:05d}", "key": f"units/unit-segment-{n:05d}.json", "label": f"s{n}", "weight": 50.0} for n in range(5)
    ]
    task = WorkUnitOperator(task_id="split", make_unit=lambda context: URI)
    groups = task._finish({"status": "done", "units": planned}, [URI], context_of())
    assert groups is not None
    assert [group.get("keys") and len(group["keys"]) for group in groups] == [2, 2, None]
    assert (groups[0]["label"], groups[0]["weight"], groups[0]["bucket"]) == ("2 units: s0 to s1", 100.0, "media")
    world = World(upscale_unit(0), upscale_unit(1))
    for key, unit in zip(groups[0]["keys"], world.units, strict=True):
        units[f"s3://media/{key}"] = unit
    wait = deferred(operator(world, unit=groups[0]), context_of())
    assert wait.kwargs == {"uris": [f"s3://media/{key}" for key in groups[0]["keys"]]}
    assert world.batch.submitted[0]["arrayProperties"] == {"size": 2}


def test_a_task_that_is_killed_while_it_submits_ends_its_job(units: dict[str, WorkUnit]) -> None:
    world = World()
    units[URI] = world.units[0]
    task = operator(world, make_unit=lambda context: URI)
    set_value, seen = world.state.set, []

    def set_and_be_killed(key: str, value: Any) -> None:
        set_value(key, value)
        if value["job_id"] and not seen:
            seen.append(value)
            task.on_kill()

    world.state.set = set_and_be_killed  # type: ignore[method-assign]
    deferred(task, context_of())
    assert [job for job, _ in world.batch.terminated] == ["job-1"]
    task.on_kill()
    assert len(world.batch.terminated) == 1, "once it is deferred, the job is the trigger's"
