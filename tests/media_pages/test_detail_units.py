"""The strip of units and the steps, from states that Airflow tells, and how much a poll asks of S3."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest

from include.ffmpeg_ops.models import Chunk, MediaInfo, OutputTiming, Plan, Rung, VideoStream
from include.media_api.gateway import Run, TaskState
from include.media_pages.facts import Place
from include.media_pages.steps import steps_of
from include.media_pages.units import Pieces, Strip, strip_of
from include.settings import Settings
from include.worker.job import Job
from include.worker.models import TranscodeRequest, UnitResult, UnitSummary
from tests.media_api.fakes import MemoryStore
from tests.media_pages.runs import Desk
from tests.uploads.memory import an_upload

BEGUN = datetime(2026, 11, 21, 12, 0, 0, 500_000, timezone.utc)
RUN = Run("transcode__1", "running", {}, BEGUN, dag_id="transcode")
UNITS = 200


def result(unit_id: str, seconds: float, *, error: str | None = None, **metrics: Any) -> UnitResult:
    """A result that was written some seconds after the run had begun."""
    at = (BEGUN + timedelta(seconds=seconds)).replace(microsecond=0)
    return UnitResult(
        unit_id=unit_id,
        status="failed" if error else "done",
        fingerprint="f",
        error={"code": error, "message": f"{error}!", "retryable": False} if error else None,
        metrics=metrics,
        started_at=at,
        finished_at=at,
    )


def task(index: int, state: str | None, *, attempt: int = 1, **event: Any) -> TaskState:
    begun = BEGUN + timedelta(seconds=10) if state not in {None, "scheduled", "queued"} else None
    return TaskState("encode", index, state, event.get("fraction", 0.0), event, begun, None, attempt)


def summary(number: int) -> UnitSummary:
    return UnitSummary(id=f"video-{number:05d}", key=f"units/{number}", label=f"chunk {number}", weight=1)


def strip(*tasks: TaskState, results: tuple[UnitResult, ...] = (), groups: tuple[int, ...] = (1, 1, 1)) -> Strip:
    numbers = iter(range(sum(groups)))
    pieces = Pieces(
        [[summary(next(numbers)) for _ in range(size)] for size in groups],
        {one.unit_id: one for one in results},
        {f"video-{number:05d}": Place(2.0 * number, 2.0 * number + 2, 50) for number in range(sum(groups))},
    )
    return strip_of(RUN, "encode", tasks, pieces)


@pytest.mark.parametrize(
    ("state", "made", "expected"),
    [
        (None, None, ("waiting", None)),
        ("queued", result("video-00000", 0), ("waiting", None)),
        ("running", None, ("running", None)),
        ("deferred", result("video-00000", 5, error="StorageError"), ("running", None)),
        ("up_for_retry", result("video-00000", 12, error="StorageError"), ("waiting", "StorageError!")),
        ("success", result("video-00000", 12), ("done", None)),
        # Where the clock of documents has no parts of seconds, what was made in the task's first second is its own.
        ("success", result("video-00000", 10), ("done", None)),
        ("success", result("video-00000", 8), ("reused", None)),
        ("success", None, ("done", None)),
        ("failed", result("video-00000", 12, error="InvalidInputData"), ("failed", "InvalidInputData!")),
        ("failed", result("video-00000", 12, error="Cancelled"), ("waiting", "Cancelled!")),
        ("failed", None, ("failed", None)),
        ("failed", result("video-00000", 5, error="InvalidInputData"), ("failed", None)),
        ("upstream_failed", None, ("waiting", None)),
    ],
)
def test_the_state_of_a_unit(state: str | None, made: UnitResult | None, expected: tuple[str, str | None]) -> None:
    unit = strip(task(0, state), results=(made,) if made else ()).units[0]
    assert (unit.state, unit.error) == expected


def test_units_that_a_failure_has_kept_from_beginning_are_waiting() -> None:
    shown = strip(
        task(0, "failed"), task(1, "failed"), task(2, "success"), results=(result("video-00001", 12, error="InvalidInputData"),)
    )
    assert [unit.state for unit in shown.units] == ["waiting", "failed", "done"]


def test_units_of_a_group_share_its_progress_and_are_done_one_by_one() -> None:
    group = task(0, "deferred", phase="array", fraction=0.5, fps=80.0)
    shown = strip(group, task(1, "running", phase="encode", fps=20.5), results=(result("video-00001", 15),), groups=(3, 1))
    assert [(unit.state, unit.progress) for unit in shown.units] == [
        ("running", 50),
        ("done", 100),
        ("running", 50),
        ("running", 0),
    ]
    assert shown.fps == 100.5
    assert {unit.log_path for unit in shown.units[:3]} == {"/dags/transcode/runs/transcode__1/tasks/encode/mapped/0"}


def test_frames_a_second_are_told_of_phases_that_count_frames() -> None:
    shown = strip(task(0, "running", phase="upload", fps=3.0), task(1, "running", phase="encode", fps="fast"))
    assert (shown.fps, shown.units[0].fps, shown.units[1].fps) == (None, None, None)


def test_steps_are_in_the_order_of_the_flow_and_the_webhooks_are_shown_where_somebody_is_told() -> None:
    tasks = [
        TaskState("webhooks", -1, "skipped"),
        TaskState("later", -1, None),
        TaskState("plan", -1, "success", start_date=BEGUN),
    ]
    steps = steps_of(RUN, tasks)
    assert [(step.name, step.state) for step in steps] == [
        ("plan", "done"), ("encode", "waiting"), ("finish", "waiting"), ("report", "waiting"), ("later", "waiting")
    ]  # fmt: skip
    tasks[0] = replace(tasks[0], state="running", start_date=BEGUN)
    assert [step.name for step in steps_of(RUN, tasks)][-2:] == ["webhooks", "later"]
    over = steps_of(replace(RUN, state="failed"), tasks)
    assert {step.name: step.state for step in over}["finish"] == "skipped"


def test_a_step_of_many_tasks_is_done_when_all_are() -> None:
    def state(*states: str | None) -> str:
        return steps_of(RUN, [task(index, one) for index, one in enumerate(states)])[1].state

    assert state("success", "success") == "done"
    assert state("success", None) == "running"
    assert state("success", "failed") == "failed"
    assert state("failed", "running") == "running"
    assert state(None, "queued") == "waiting"


@pytest.fixture
def large() -> tuple[Desk, Job, Run, list[TaskState]]:
    """A run with 200 chunks, half of them done."""
    store = MemoryStore("media")
    desk = Desk(store, Settings(_env_file=None, bucket="media"))  # type: ignore[call-arg,arg-type]
    request = TranscodeRequest(bucket="media", source_key="in/a.mp4", folder="out/", name="a")
    job = Job.of(store, desk.settings, request)  # type: ignore[arg-type]
    job.write_plan(plan())
    job.write_result(result("plan", 5).model_copy(update={"units": tuple(summary(number) for number in range(UNITS))}))
    for number in range(UNITS // 2):
        job.write_result(result(f"video-{number:05d}", 20, frames=50, fps=25.0, quality={"hls0800k": {"psnr": 40.0}}))
    run = replace(RUN, conf=request.model_dump(mode="json"), run_id=request.run_id)
    tasks = [TaskState("plan", -1, "success", start_date=BEGUN, end_date=BEGUN, try_number=1)]
    tasks += [task(number, "success" if number < UNITS // 2 else "running" if number < 104 else None) for number in range(UNITS)]
    return desk, job, run, tasks


def plan() -> Plan:
    rate = Fraction(25)
    video = VideoStream(
        index=0, codec="h264", width=640, height=360, display_width=640, display_height=360, pix_fmt="yuv420p", bit_depth=8,
        time_base=1 / rate, frame_rate=rate, constant_frame_rate=True, start_pts=0, frames=50 * UNITS,
        duration=Fraction(2 * UNITS),
    )  # fmt: skip
    chunks = tuple(
        Chunk(
            index=number, first_frame=50 * number, frames=50, start_pts=50 * number, end_pts=50 * number + 50,
            seek_pts=50 * number, duration=Fraction(2), keyframes=(0,), force_times=(),
        )
        for number in range(UNITS)
    )  # fmt: skip
    return Plan(
        info=MediaInfo(format="mp4", size=10**6, duration=Fraction(2 * UNITS), bit_rate=10**6, video=video),
        timing=OutputTiming(time_base=1 / rate, frame_rate=rate, constant=True),
        chunks=chunks,
        rungs=(Rung(name="hls0800k", width=640, height=360, bit_rate=800_000, crf=23, preset="fast"),),
        audio=(),
        container="hls",
        profile="hls_ladder",
    )


def test_a_poll_of_a_run_with_200_units_asks_s3_for_what_is_new_alone(large: tuple[Desk, Job, Run, list[TaskState]]) -> None:
    desk, job, run, tasks = large
    store: Any = desk.store
    store.calls.clear()
    for _ in range(4):
        detail = desk.detail(run, tuple(tasks))
        # However many there are, a poll is not held up by more than some of them.
        assert store.calls["get"] <= 50
        store.calls.clear()
    assert [unit.fps for unit in detail.units[:100]] == [25.0] * 100
    assert [unit.state for unit in detail.units] == ["done"] * 100 + ["running"] * 4 + ["waiting"] * 96
    assert detail.units[199].end == 400.0
    assert detail.renditions[0].psnr == 40.0

    desk.detail(run, tuple(tasks))
    assert (store.calls["get"], store.calls["list"], store.calls["head"]) == (0, 1, 2)
    job.write_result(result("video-00100", 30, frames=50, fps=26.0))
    tasks[101] = replace(tasks[101], state="success")
    store.calls.clear()
    assert desk.detail(run, tuple(tasks)).units[100].fps == 26.0
    assert store.calls["get"] == 1


def test_a_run_that_is_over_is_read_whole_at_once(large: tuple[Desk, Job, Run, list[TaskState]]) -> None:
    desk, _, run, tasks = large
    detail = desk.detail(replace(run, state="failed", end_date=BEGUN), tuple(tasks))
    assert [unit.fps for unit in detail.units[:100]] == [25.0] * 100


def test_an_upload_shows_its_parts_its_destinations_and_its_transcode() -> None:
    store = MemoryStore("media")
    desk = Desk(store, Settings(_env_file=None, bucket="media"))  # type: ignore[call-arg,arg-type]
    upload = an_upload(desk.uploads.uploads, destinations=("youtube", "s3Bucket"))
    desk.uploads.uploads.set_destination(upload.atom_id, upload.id, "youtube", status="upload", progress=25.5, details="1 of 4")
    run = Run(upload.reference.run_id, "running", upload.reference.model_dump(), BEGUN, dag_id="upload")
    detail = desk.detail(run, ())
    assert [(one.name, one.status, one.progress, one.details) for one in detail.destinations] == [
        ("youtube", "upload", 25.5, "1 of 4"),
        ("s3Bucket", "waiting", 0.0, None),
    ]
    assert [part.bytes for part in detail.parts] == [part.size for part in upload.parts]
    assert detail.related == ()
    # A table that holds nonsense is no reason to show nothing.
    desk.table.items[upload.atom_id, upload.id]["landed"] = "{"
    assert desk.detail(run, ()).parts == ()
