"""What is told of a task while it waits, runs, and when it is over."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.errors import Cancelled, InvalidInputData
from include.media_api.gateway import TaskState
from include.settings import Settings
from include.worker.job import Job
from include.worker.models import Outcome, UnitResult, UnitSummary
from include.worker.task_request import TaskReference
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.media_api.signed import TASKS, Caller, run_id

LIVE: dict[str, Any] = {
    "source": "rtmp://live.example.com/app/key",
    "targets": ["udp://relay.example.com:9000", "s3://media/out/show.m3u8"],
}
BEGUN = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)


class Watched:
    """A task, and what happens to it."""

    def __init__(self, demo: Caller, airflow: FakeAirflow, job: Job, dag_id: str, task_id: str) -> None:
        self.demo = demo
        self.airflow = airflow
        self.job = job
        self.dag_id = dag_id
        self.task_id = task_id
        self.run_id = run_id("demo", task_id)

    def begin(self, state: str = "running") -> None:
        self.airflow.begin(self.dag_id, self.run_id, state, begun=BEGUN)

    def tell(self, *tasks: TaskState) -> None:
        self.airflow.task_states[self.run_id] = tasks

    def end(self, state: Any, error: dict[str, Any] | None = None, *, after: float = 60) -> None:
        finished = (BEGUN + timedelta(seconds=after)).replace(microsecond=0)
        self.airflow.task_states[self.run_id] = (TaskState("report", -1, "running", start_date=finished),)
        self.job.write_outcome(Outcome(state=state, error=error, run_id=self.run_id, finished_at=finished))

    def result(self, unit_id: str, **fields: Any) -> None:
        times = {"started_at": BEGUN, "finished_at": BEGUN}
        self.job.write_result(
            UnitResult.model_validate({"unit_id": unit_id, "status": "done", "fingerprint": "f"} | times | fields)
        )

    def show(self) -> dict[str, Any]:
        return self.demo.show(self.task_id)


def watched(demo: Caller, airflow: FakeAirflow, store: MemoryStore, settings: Settings, **changes: Any) -> Watched:
    task_id = demo.create(**changes).json()["task_id"]
    job = Job.of(store, settings, TaskReference(bucket="media", client="demo", task_id=task_id))
    ((dag_id, _),) = airflow.dag_runs
    return Watched(demo, airflow, job, dag_id, task_id)


@pytest.fixture
def files(demo: Caller, airflow: FakeAirflow, store: MemoryStore, settings: Settings) -> Watched:
    return watched(demo, airflow, store, settings)


@pytest.fixture
def live(demo: Caller, airflow: FakeAirflow, store: MemoryStore, settings: Settings) -> Watched:
    return watched(demo, airflow, store, settings, **LIVE)


def test_a_task_that_waits_has_only_been_created(files: Watched) -> None:
    told = files.show()
    created = datetime.fromisoformat(told.pop("create_time").replace("Z", "+00:00"))
    assert abs(datetime.now(timezone.utc) - created) < timedelta(seconds=10)
    assert told == {
        "task_id": files.task_id,
        "source": {"source_url": "s3://media/in/talk.mp4"},
        "profile_name": "video_mp4_1280x720_1728kbps",
        "targets": [{"target_url": "s3://media/out/talk.mp4"}],
        "task_status": "PENDING",
        "progress": 0,
    }


def test_times_are_whole_seconds_of_utc(files: Watched) -> None:
    files.begin()
    files.end("done")
    told = files.show()
    assert (told["start_time"], told["end_time"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z")
    assert told["create_time"].endswith("Z")
    assert len(told["create_time"]) == 20


def test_progress_is_by_the_weight_of_what_is_done(files: Watched) -> None:
    files.begin()
    units = tuple(UnitSummary(id=f"video-0000{n}", key="k", label="", weight=weight) for n, weight in enumerate((3.0, 1.0)))
    files.result("plan", units=units)
    files.tell(TaskState("plan", -1, "success"), TaskState("encode", 0, "success"), TaskState("encode", 1, "running", 0.0))
    told = files.show()
    assert (told["task_status"], told["progress"]) == ("RUNNING", 69)
    assert "end_time" not in told


def test_progress_knows_weights_as_soon_as_units_are_at_work(files: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that is written between two looks at one task: else the light unit would count as much as the heavy one."""
    files.begin()
    files.tell(TaskState("plan", -1, "success"), TaskState("encode", 0, "success"), TaskState("encode", 1, "running", 0.0))
    look = files.airflow.tasks

    async def late(dag_id: str, run_ids: Any) -> Any:
        units = tuple(UnitSummary(id=f"video-0000{n}", key="k", label="", weight=weight) for n, weight in enumerate((1.0, 8.0)))
        files.result("plan", units=units)
        return await look(dag_id, run_ids)

    monkeypatch.setattr(files.airflow, "tasks", late)
    assert files.show()["progress"] == 12


def test_progress_knows_weights_though_the_plan_has_failed_once(files: Watched) -> None:
    files.begin()
    files.result("plan", status="failed")
    files.tell(TaskState("plan", -1, "up_for_retry"))
    assert files.show()["progress"] == 0
    units = tuple(UnitSummary(id=f"video-0000{n}", key="k", label="", weight=weight) for n, weight in enumerate((3.0, 1.0)))
    files.result("plan", units=units)
    files.tell(TaskState("plan", -1, "success"), TaskState("encode", 0, "success"), TaskState("encode", 1, "running", 0.0))
    assert files.show()["progress"] == 69


def test_a_task_that_is_done_is_at_a_hundred(files: Watched) -> None:
    files.begin("success")
    files.end("done")
    told = files.show()
    assert (told["task_status"], told["progress"]) == ("SUCCESS", 100)
    assert "error" not in told


def test_the_end_is_told_before_the_run_ends(files: Watched) -> None:
    """A run goes on while it tells its end to a receiver that does not answer."""
    files.begin("running")
    files.end("done")
    assert files.show()["task_status"] == "SUCCESS"


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_the_end_of_an_earlier_attempt_says_nothing(files: Watched, state: str) -> None:
    files.begin(state)
    files.end("done", after=-60)
    assert files.show()["task_status"] == {"queued": "PENDING", "running": "RUNNING", "failed": "FAILED"}[state]


def test_a_failed_task_tells_why(files: Watched) -> None:
    files.begin("failed")
    files.end("failed", InvalidInputData("The source has no video stream.").to_document())
    told = files.show()
    assert told["task_status"] == "FAILED"
    assert told["error"] == {
        "code": "InvalidInputData",
        "message": "The input data is invalid. Please check your input data. The source has no video stream.",
        "message_zh": "无效的输入数据，请检查您的输入视频是否是有效",
        "retryable": False,
    }


def test_a_failure_without_a_reason_is_unknown(files: Watched) -> None:
    files.begin("failed")
    told = files.show()
    assert (told["task_status"], told["error"]["code"]) == ("FAILED", "Unknown")


def test_a_task_that_somebody_has_failed_in_airflow_is_cancelled(files: Watched) -> None:
    """The report runs whatever goes wrong, unless somebody has ended the run."""
    files.begin("failed")
    files.tell(TaskState("encode", 0, "failed"), TaskState("report", -1, "skipped"))
    assert files.show()["task_status"] == "CANCELLED"
    files.tell(TaskState("encode", 0, "failed"), TaskState("report", -1, "failed"))
    assert files.show()["task_status"] == "FAILED"


def test_a_unit_that_was_stopped_is_a_task_that_was_cancelled(live: Watched) -> None:
    live.begin("failed")
    live.end("failed", Cancelled("Somebody has stopped it.").to_document())
    told = live.show()
    assert told["task_status"] == "CANCELLED"
    assert "error" not in told


@pytest.mark.parametrize(("outcome", "status"), [("done", "SUCCESS"), ("failed", "FAILED"), (None, "FAILED")])
def test_a_task_whose_run_was_deleted_is_as_it_was(files: Watched, outcome: Any, status: str) -> None:
    if outcome:
        files.end(outcome)
    files.airflow.dag_runs.clear()
    told = files.show()
    assert told["task_status"] == status
    assert "start_time" not in told


# -- live

SENDING = {"url": LIVE["targets"][0], "state": "sending", "frames": 1537, "dropped": 3, "bit_rate": 1728000.4, "reconnects": 1}
RECORDING = {"url": LIVE["targets"][1], "state": "sending", "frames": 1540, "dropped": 0, "bit_rate": 1700000, "reconnects": 0}
EVENT = {"phase": "live", "done": 61.5, "total": 43200, "unit": "seconds", "source": "connected", "targets": [SENDING, RECORDING]}


def test_a_live_task_tells_seconds_and_how_each_target_does(live: Watched) -> None:
    live.begin()
    live.tell(TaskState("live", -1, "running", 0.001, EVENT))
    told = live.show()
    assert (told["task_status"], told["progress"]) == ("RUNNING", 61)
    assert told["targets"] == [
        {
            "target_url": LIVE["targets"][0],
            "state": "sending",
            "frames": 1537,
            "dropped": 3,
            "bit_rate": 1728000,
            "reconnects": 1,
        },
        {
            "target_url": LIVE["targets"][1],
            "state": "sending",
            "frames": 1540,
            "dropped": 0,
            "bit_rate": 1700000,
            "reconnects": 0,
        },
    ]


def test_a_live_task_that_is_over_tells_what_it_had_relayed(live: Watched) -> None:
    live.begin("failed")
    error = {"code": "TargetFailed", "message": "The target udp://relay.example.com:9000 was lost.", "retryable": False}
    live.end("failed", error)
    targets = [SENDING | {"state": "failed"}, RECORDING | {"state": "done"}]
    live.result("live", status="failed", error=error, metrics={"seconds": 75.9, "targets": targets})
    told = live.show()
    assert (told["progress"], [target["state"] for target in told["targets"]]) == (75, ["failed", "done"])
    assert told["error"]["code"] == "Unknown"
    assert "udp://relay.example.com:9000" in told["error"]["message"]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"done": "x", "targets": 7},
        {"done": float("nan")},
        {"targets": [None, {"frames": "x"}]},
        {"done": -5, "targets": [{}] * 9},
    ],
)
def test_what_a_unit_tells_wrong_is_left_out(live: Watched, event: dict[str, Any]) -> None:
    live.begin()
    live.tell(TaskState("live", -1, "running", 0.0, event))
    told = live.show()
    assert told["progress"] == 0
    assert [target["target_url"] for target in told["targets"]] == LIVE["targets"]


# -- cost


def test_a_look_lists_no_objects(files: Watched, store: MemoryStore) -> None:
    files.begin()
    store.calls.clear()
    files.show()
    assert (store.calls["list"], store.calls["head"]) == (0, 0)


def test_the_looks_after_the_first_at_a_task_at_work_read_nothing(files: Watched, store: MemoryStore) -> None:
    files.begin()
    files.result("plan", units=(UnitSummary(id="video-00000", key="k", label="", weight=1.0),))
    files.tell(TaskState("plan", -1, "success"), TaskState("encode", 0, "running", 0.5))
    first = files.show()
    store.calls.clear()
    assert files.show() == first
    assert not store.calls


def test_a_page_of_tasks_asks_airflow_once(demo: Caller, airflow: FakeAirflow, store: MemoryStore) -> None:
    for number in range(20):
        task_id = demo.create(targets=[f"s3://media/out/{number}.mp4"]).json()["task_id"]
        airflow.begin("transcode", run_id("demo", task_id))
    airflow.calls.clear()
    assert len(demo("GET", TASKS).json()["tasks"]) == 20
    assert [name for name, _ in airflow.calls] == ["page", "tasks"]
