"""The Batch backend: one job per unit, whatever is killed when, and errors that say what happened."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from include.errors import Cancelled, InternalError, InvalidInputData, TimedOut
from include.orchestration.backends.batch import STOPPED, InVain, Waiting
from include.orchestration.batch.jobs import Verdict
from include.orchestration.batch.leftovers import end_leftovers
from tests.orchestration.batch.fakes import Killed, Life, World, audio_unit, first_unit, upscale_unit

SPOT, ON_DEMAND = "Transcode_queue_Spot", "Transcode_queue_onDemand"


def drive(world: World, life: Life | None = None, attempt: int = 1) -> Any:
    """Let the task run as Airflow would: defer while there is a job to wait for, try again after a kill."""
    for _ in range(20):
        try:
            state = world.attempt(attempt, life).advance()
        except Killed:
            life, attempt = None, attempt + 1
            world.batch.now += 10
            continue
        if not isinstance(state, Waiting):
            return state
        world.batch.obey()
        if not state.ending:
            world.work(state.job.id)
    raise AssertionError("it never ended")


def test_a_unit_is_submitted_waited_for_and_its_result_returned() -> None:
    world = World()
    result = drive(world)
    assert result["metrics"] == {"frames": 25, "fps": 5.0, "job": "job-1", "queue": SPOT, "queue_seconds": 0.0}
    assert len(world.batch.submitted) == 1
    assert world.note["told"]
    assert world.batch.asked[:2] == [(queue, f"reelflow-{world.job.job_id}-audio-") for queue in (SPOT, ON_DEMAND)]


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_killed_at_any_call_it_never_runs_two_jobs_of_a_unit_and_ends_right(after: bool) -> None:
    for unit in (audio_unit, first_unit):
        calls = Life()
        drive(World(unit()), calls)
        assert calls.calls >= 8
        for last in range(1, calls.calls + 1):
            world = World(unit())
            assert drive(world, Life(last, after=after))["status"] == "done"
            assert world.batch.most_at_once == 1, f"killed {after=} call {last}"
            # Between the note that the result was used and its use there is nothing to be seen of a first unit: a second job
            # finds the work done.
            once_more = unit is first_unit and after and last == calls.calls
            assert len(world.batch.submitted) == 1 + once_more, f"killed {after=} call {last}"


def test_the_wish_to_submit_is_noted_before_and_the_job_right_after() -> None:
    world = World()
    world.batch.now = 50.0
    notes: list[Any] = []
    submit = world.batch.submit
    world.batch.submit = lambda document: notes.append(world.note) or submit(document)  # type: ignore[method-assign]
    world.attempt().advance()
    assert [(note["name"], note["job_id"], note["at"]) for note in notes] == [(world.attempt().work.name, "", 50.0)]
    assert world.note["job_id"] == "job-1"


def test_a_submit_whose_answer_was_lost_is_looked_for_until_batch_must_know_it() -> None:
    world = World()
    with pytest.raises(Killed):
        world.attempt(life=Life(5, after=False)).advance()
    assert world.note["job_id"] == ""
    assert isinstance(world.attempt(2).advance(), Waiting)
    assert world.slept == [0.0, 2.0, 5.0]
    assert len(world.batch.submitted) == 1


def test_a_job_of_an_earlier_attempt_that_still_runs_is_waited_for() -> None:
    world = World()
    world.attempt(1).advance()
    world.batch.run("job-1")
    state = world.attempt(2).advance()
    assert isinstance(state, Waiting)
    assert state.job.id == "job-1"
    assert world.note["attempt"] == 2
    world.batch.end("job-1", "FAILED", exitCode=1)
    with pytest.raises(InternalError, match="exit code 1"):
        world.attempt(2).advance()


def test_a_job_that_failed_before_this_attempt_is_no_news() -> None:
    world = World()
    world.attempt(1).advance()
    world.batch.end("job-1", "FAILED", exitCode=137)
    state = world.attempt(2).advance()
    assert isinstance(state, Waiting)
    assert state.job.id == "job-2"


def test_a_cleared_task_does_its_work_again_where_its_outputs_are_gone() -> None:
    world = World(first_unit())
    drive(world)
    drive(world, attempt=2)
    assert len(world.batch.submitted) == 2


def test_what_is_done_is_not_submitted() -> None:
    world = World()
    world.finish(world.units[0])
    result = world.attempt().advance()
    assert not isinstance(result, Waiting)
    assert result["reused"]
    assert world.batch.submitted == []


def test_a_job_of_another_run_for_the_same_unit_is_joined() -> None:
    world, other = World(), World()
    other.batch = world.batch
    world.attempt().advance()
    state = other.attempt().advance()
    assert isinstance(state, Waiting)
    assert (state.job.id, len(world.batch.submitted)) == ("job-1", 1)


def test_a_job_of_another_version_of_the_unit_is_ended_first() -> None:
    world = World()
    world.attempt().advance()
    world.batch.jobs["job-1"]["jobName"] = world.attempt().work.prefix + "00000000-film"
    world.state.values.clear()
    state = world.attempt().advance()
    assert isinstance(state, Waiting)
    assert state.ending
    assert [job for job, _ in world.batch.terminated] == ["job-1"]
    assert isinstance(world.attempt().advance(), Waiting), "it has not ended yet"
    world.batch.obey()
    world.attempt().advance()
    assert (len(world.batch.submitted), world.batch.most_at_once) == (2, 1)


def test_two_jobs_of_a_unit_become_the_older_one() -> None:
    world = World()
    world.attempt().advance()
    world.batch.now += 5
    world.batch.submit(world.batch.submitted[0])
    world.state.values.clear()
    state = world.attempt().advance()
    assert isinstance(state, Waiting)
    assert state.job.id == "job-1"
    assert [job for job, _ in world.batch.terminated] == ["job-2"]


# -- spot


@pytest.mark.parametrize("by", ["own look", "trigger"])
def test_a_job_that_spot_has_no_room_for_moves_once_it_has_ended(by: str) -> None:
    world = World(batch_runnable_seconds=100)
    world.attempt().advance()
    world.batch.now += 101 if by == "own look" else 50
    state = world.attempt().advance(Verdict.MOVE)
    assert isinstance(state, Waiting)
    assert (state.job.id, state.ending) == ("job-1", True)
    assert len(world.batch.submitted) == 1, "the first one has not ended"
    world.batch.obey()
    state = world.attempt().advance()
    assert isinstance(state, Waiting)
    assert (state.job.queue, state.movable) == (ON_DEMAND, False)
    assert world.batch.most_at_once == 1
    world.batch.end("job-2", "FAILED", exitCode=1)
    state = world.attempt(2).advance()
    assert isinstance(state, Waiting)
    assert state.job.queue == ON_DEMAND, "spot has failed it once"


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_killed_at_any_call_of_a_move_it_moves_all_the_same(after: bool) -> None:
    def move(life: Life | None) -> tuple[World, int]:
        world = World(batch_runnable_seconds=100)
        world.attempt(1).advance()
        world.batch.now += 200
        life, attempt = life or Life(), 1
        while True:
            try:
                state = world.attempt(attempt, life).advance()
            except Killed:
                life, attempt = Life(), attempt + 1
                continue
            assert isinstance(state, Waiting)
            if not state.ending:
                return world, life.calls
            world.batch.obey()

    _, calls = move(None)
    assert calls >= 8
    for last in range(1, calls + 1):
        world, _ = move(Life(last, after=after))
        assert world.batch.most_at_once == 1, f"killed {after=} call {last}"
        assert [document["jobQueue"] for document in world.batch.submitted] == [SPOT, ON_DEMAND], f"killed {after=} call {last}"


def test_a_job_whose_instance_was_taken_too_often_goes_to_the_on_demand_queue() -> None:
    world = World(upscale_unit())
    world.attempt().advance()
    world.batch.end("job-1", "FAILED", "Host EC2 (instance i-0123456789) terminated.")
    state = world.attempt().advance()
    assert isinstance(state, Waiting)
    assert (state.job.id, state.job.queue) == ("job-2", "SuperResolution_queue_onDemand")


def test_without_the_fallback_a_lost_instance_is_a_failure_that_says_so() -> None:
    world = World(batch_spot_fallback=False)
    world.attempt().advance()
    world.batch.end("job-1", "FAILED", "Host EC2 (instance i-0123456789) terminated.")
    with pytest.raises(InternalError, match=r"Host EC2 \(instance"):
        world.attempt().advance()


def test_a_queue_that_the_settings_name_by_its_arn_is_moved_from_as_well() -> None:
    arn = "arn:aws:batch:us-east-1:1:job-queue/"
    queues = {"batch_cpu_queue_spot": f"{arn}{SPOT}", "batch_cpu_queue_on_demand": f"{arn}{ON_DEMAND}"}
    world = World(batch_runnable_seconds=100, **queues)
    first = world.attempt().advance()
    assert isinstance(first, Waiting)
    assert first.movable
    world.batch.end("job-1", "FAILED", "Host EC2 (instance i-0123456789) terminated.")
    second = world.attempt().advance()
    assert isinstance(second, Waiting)
    assert (second.job.queue, second.movable) == (f"{arn}{ON_DEMAND}", False)


@pytest.mark.parametrize(
    ("env", "queue"), [("spot", "SuperResolution_queue_Spot"), ("onDemand", "SuperResolution_queue_onDemand")]
)
def test_env_of_the_request_picks_the_queue_of_upscaling(env: str, queue: str) -> None:
    world = World(upscale_unit(env=env))
    world.attempt().advance()
    assert (world.batch.submitted[0]["jobQueue"], world.batch.submitted[0]["jobDefinition"]) == (queue, "SuperResolution")


# -- ends


@pytest.mark.parametrize(
    ("advice", "message"),
    [(Verdict.LATE, "MEDIA_UNIT_TIMEOUT_SECONDS"), (Verdict.STUCK, "MEDIA_BATCH_QUEUE_SECONDS")],
    ids=["too long", "no machine"],
)
def test_a_job_past_its_deadline_is_ended_and_the_next_attempt_waits_for_that(advice: Verdict, message: str) -> None:
    world = World()
    world.attempt().advance()
    with pytest.raises(TimedOut, match=message):
        world.attempt().advance(advice)
    assert [job for job, _ in world.batch.terminated] == ["job-1"]
    state = world.attempt(2).advance()
    assert isinstance(state, Waiting)
    assert (state.ending, len(world.batch.submitted)) == (True, 1)
    world.batch.obey()
    assert isinstance(world.attempt(2).advance(), Waiting)
    assert (len(world.batch.submitted), world.batch.most_at_once) == (2, 1)


@pytest.mark.parametrize("advice", [Verdict.MOVE, Verdict.STUCK], ids=["move", "no machine"])
def test_a_job_that_has_got_its_machine_since_the_trigger_fired_is_let_run(advice: Verdict) -> None:
    world = World()
    world.attempt().advance()
    world.batch.run("job-1")
    state = world.attempt().advance(advice)
    assert isinstance(state, Waiting)
    assert (state.job.id, state.ending, world.batch.terminated) == ("job-1", False, [])
    assert not world.note["ending"]


def test_a_cleared_task_whose_old_job_is_ended_under_its_feet_submits_another_one() -> None:
    world = World()
    world.attempt(1).advance()
    world.attempt(2).advance()
    world.batch.end("job-1", "FAILED", STOPPED)
    state = world.attempt(2).advance()
    assert isinstance(state, Waiting)
    assert state.job.id == "job-2"


def test_a_unit_whose_run_has_failed_in_another_one_is_not_done_in_vain_until_it_is_cleared() -> None:
    world = World()
    world.attempt().advance()
    assert end_leftovers(world.batch, (SPOT, ON_DEMAND), world.job.job_id, "run-1") == 1
    world.batch.obey()
    for _ in range(2):
        with pytest.raises(InVain, match="in another unit"):
            world.attempt().advance()
    assert len(world.batch.submitted) == 1
    state = world.attempt(2, tries=2).advance()
    assert isinstance(state, Waiting)
    assert state.job.id == "job-2"


def test_a_cleared_task_ends_its_job_itself_where_no_trigger_was_there_to_do_it() -> None:
    world = World()
    world.attempt(1, tries=2).advance()
    world.batch.run("job-1")
    state = world.attempt(2, tries=3).advance()
    assert isinstance(state, Waiting)
    assert state.ending
    assert world.batch.terminated == [("job-1", "reelflow: its task was cleared")]
    assert isinstance(world.attempt(2, tries=3).advance(), Waiting), "it has not ended yet"
    world.batch.obey()
    state = world.attempt(2, tries=3).advance()
    assert isinstance(state, Waiting)
    assert (state.job.id, state.ending, world.batch.most_at_once) == ("job-2", False, 1)


def test_a_job_that_is_ended_again_and_again_gives_up() -> None:
    world = World()
    for number in range(1, 5):
        world.attempt().advance()
        world.batch.end(f"job-{number}", "FAILED", STOPPED)
    with pytest.raises(Cancelled):
        world.attempt().advance()


@pytest.mark.parametrize("known", [True, False], ids=["job known", "job lost"])
def test_a_killed_task_ends_its_job(known: bool) -> None:
    world = World()
    world.attempt().advance()
    if not known:
        world.state.values.clear()
    world.attempt().kill()
    assert world.batch.terminated == [("job-1", STOPPED)]


def test_leftovers_of_a_run_are_ended_and_nothing_else() -> None:
    world = World()
    world.attempt().advance()
    world.batch.submit(world.batch.submitted[0] | {"tags": {"reelflow:run": "another"}})
    world.batch.submit(world.batch.submitted[0])
    world.batch.end("job-3", "SUCCEEDED")
    assert end_leftovers(world.batch, (SPOT, ON_DEMAND), world.job.job_id, "run-1") == 1
    assert [job for job, _ in world.batch.terminated] == ["job-1"]


# -- failures


def failed(world: World, error: dict[str, Any], at: float) -> None:
    world.finish(world.units[0], status="failed", error=error, finished_at=datetime.fromtimestamp(at, timezone.utc))


TRUNCATED = {"code": "InvalidInputData", "message": "The source is truncated.", "retryable": False}


def test_the_units_own_error_is_raised_as_itself() -> None:
    world = World()
    world.attempt().advance()
    world.batch.now += 7.5
    world.batch.end("job-1", "FAILED", "Essential container in task exited", exitCode=10)
    failed(world, TRUNCATED, world.batch.now)
    with pytest.raises(InvalidInputData, match="truncated"):
        world.attempt().advance()
    assert world.note["told"]


def test_an_error_of_an_earlier_job_is_not_this_ones() -> None:
    world = World()
    failed(world, TRUNCATED, world.batch.now - 60)
    world.attempt().advance()
    world.batch.end("job-1", "FAILED", exitCode=137)
    with pytest.raises(InternalError, match="killed"):
        world.attempt().advance()


def test_a_failure_carries_exit_code_reason_and_the_last_line_of_the_last_attempt(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.attempt().advance()
    attempts = [
        {"container": {"logStreamName": "one", "exitCode": 1}, "statusReason": "Host EC2 (instance i-1) terminated."},
        {
            "container": {"logStreamName": "two", "exitCode": 137, "reason": "OutOfMemoryError: Container killed"},
            "statusReason": "x",
        },
    ]
    world.batch.jobs["job-1"] |= {"status": "FAILED", "attempts": attempts, "statusReason": "Essential container in task exited"}
    world.batch.logs = {"/reelflow/batch one": ["of the first"], "/reelflow/batch two": ["loading", "allocating 9 GB", ""]}
    with pytest.raises(InternalError) as caught:
        world.attempt().advance()
    for part in ("job-1", "exit code 137", "OutOfMemoryError", "Its last line: allocating 9 GB"):
        assert part in caught.value.message
    assert "loading" in caplog.text
    assert "of the first" not in caplog.text


def test_an_exit_code_that_only_the_list_tells_is_found() -> None:
    world = World()
    world.attempt().advance()
    world.batch.end("job-1", "FAILED")
    world.batch.jobs["job-1"]["listedExitCode"] = 137
    with pytest.raises(InternalError, match="exit code 137"):
        world.attempt().advance()


def test_a_job_that_ended_well_without_a_result_is_a_failure() -> None:
    world = World(first_unit())
    world.attempt().advance()
    world.batch.end("job-1", "SUCCEEDED", exitCode=0)
    with pytest.raises(InternalError, match="left no result"):
        world.attempt().advance()


# -- arrays


def group(count: int = 3) -> World:
    return World(*[upscale_unit(index) for index in range(count)])


def test_a_group_is_one_array_job_with_a_manifest_of_its_units() -> None:
    world = group()
    state = world.attempt().advance()
    assert isinstance(state, Waiting)
    document = world.batch.submitted[0]
    assert document["arrayProperties"] == {"size": 3}
    (key,) = world.written("arrays/")
    assert document["containerOverrides"]["command"] == ["run-array", f"s3://media/{key}"]
    assert world.read(key)["units"] == [world.job.unit_uri(unit.id) for unit in world.units]
    assert "segment-00000-x3" in document["jobName"]


def test_an_array_job_is_done_when_all_its_units_are() -> None:
    world = group()
    world.attempt().advance()
    for unit in world.units:
        world.finish(unit)
    world.batch.jobs["job-1"]["arrayProperties"]["statusSummary"] = {"SUCCEEDED": 3}
    result = world.attempt().advance()
    assert not isinstance(result, Waiting)
    assert (result["metrics"]["frames"], result["metrics"]["units"], result["metrics"]["job"]) == (75, 3, "job-1")


def test_a_retry_of_a_group_repeats_only_what_is_not_done_and_one_unit_is_no_array() -> None:
    world = group()
    world.attempt(1).advance()
    world.finish(world.units[1])
    world.batch.end("job-1", "FAILED")
    world.attempt(2).advance()
    (*_, second) = world.batch.submitted
    assert second["arrayProperties"] == {"size": 2}
    manifest = world.read(second["containerOverrides"]["command"][1].removeprefix("s3://media/"))
    assert manifest["units"] == [world.job.unit_uri(world.units[index].id) for index in (0, 2)]
    world.finish(world.units[0])
    world.batch.end("job-2", "FAILED")
    world.attempt(3).advance()
    (*_, third) = world.batch.submitted
    assert "arrayProperties" not in third
    assert third["containerOverrides"]["command"] == ["run", world.job.unit_uri(world.units[2].id)]
    world.batch.end("job-3", "FAILED", exitCode=10)
    now = datetime.fromtimestamp(world.batch.now, timezone.utc)
    world.finish(world.units[2], status="failed", error=TRUNCATED, finished_at=now)
    with pytest.raises(InvalidInputData, match="truncated"):
        world.attempt(3).advance()


def test_a_killed_child_is_told_with_its_exit_code_even_where_only_the_list_has_it() -> None:
    world = group()
    world.attempt().advance()
    world.batch.jobs["job-1:2"] = {"jobId": "job-1:2", "jobName": "n", "status": "FAILED", "attempts": [{}]}
    children = [world.batch.jobs["job-1:2"] | {"container": {"exitCode": 137}}]
    world.batch.failed_children = lambda job_id: children  # type: ignore[method-assign]
    world.batch.end("job-1", "FAILED")
    with pytest.raises(InternalError, match="exit code 137"):
        world.attempt().advance()


def fail_child(world: World, index: int, reason: str = "", **container: Any) -> None:
    """Let a child of the first job fail."""
    told = {"statusReason": reason, "startedAt": world.batch.now * 1000}
    world.batch.jobs[f"job-1:{index}"] = told | {
        "jobId": f"job-1:{index}", "jobName": "n", "jobQueue": world.batch.jobs["job-1"]["jobQueue"], "status": "FAILED",
        "attempts": [told | {"container": container}],
    }  # fmt: skip


def test_a_group_whose_child_lost_its_instance_too_often_goes_to_the_on_demand_queue() -> None:
    world = group()
    world.attempt().advance()
    world.finish(world.units[0])
    fail_child(world, 1, "Host EC2 (instance i-0123456789) terminated.")
    world.batch.end("job-1", "FAILED", "Array Child Job failed")
    state = world.attempt().advance()
    assert isinstance(state, Waiting)
    assert (state.job.id, state.job.queue) == ("job-2", "SuperResolution_queue_onDemand")
    assert world.batch.submitted[1]["arrayProperties"] == {"size": 2}


def test_a_child_with_an_error_of_its_own_tells_more_than_one_whose_instance_was_taken() -> None:
    world = group()
    world.attempt().advance()
    fail_child(world, 0, "Host EC2 (instance i-0123456789) terminated.")
    fail_child(world, 1, "Essential container in task exited", exitCode=10)
    now = datetime.fromtimestamp(world.batch.now, timezone.utc)
    world.finish(world.units[1], status="failed", error=TRUNCATED, finished_at=now)
    world.batch.end("job-1", "FAILED", "Array Child Job failed")
    with pytest.raises(InvalidInputData, match="truncated"):
        world.attempt().advance()


def test_the_error_of_a_group_is_that_of_its_first_failed_child() -> None:
    world = group()
    world.attempt().advance()
    fail_child(world, 1, logStreamName="child", exitCode=10)
    now = datetime.fromtimestamp(world.batch.now, timezone.utc)
    world.finish(world.units[1], status="failed", error=TRUNCATED, finished_at=now)
    world.batch.end("job-1", "FAILED")
    with pytest.raises(InvalidInputData, match="truncated"):
        world.attempt().advance()
