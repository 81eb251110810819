"""Units as AWS Batch jobs, which moto runs as real containers: whatever is killed, one job per unit, and the run ends right."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from include.embedded import programs
from include.embedded.batch import image_name
from include.ffmpeg_ops.probe import probe
from include.settings import Settings
from tests.conftest import Clips
from tests.containers.engine import image_exists
from tests.e2e.stack import RunningStack, await_that, running_stack
from tests.media import ffmpeg, ffprobe, read_frame_numbers

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

UPSCALE = ("SuperResolution_queue_Spot", "SuperResolution_queue_onDemand")
CPU = ("Transcode_queue_Spot", "Transcode_queue_onDemand")
OVER = ("SUCCEEDED", "FAILED")


class Fleet:
    """The Batch of a stack, and its containers."""

    def __init__(self, stack: RunningStack) -> None:
        import docker  # the client that moto uses

        self.stack = stack
        self.client: Any = boto3.client(
            "batch", endpoint_url=stack.stack.aws_url, aws_access_key_id="test", aws_secret_access_key="test",
            region_name="us-east-1",
        )  # fmt: skip
        self.docker: Any = docker.from_env()

    def jobs(self, *queues: str, containing: str = "") -> list[dict[str, Any]]:
        """Return what DescribeJobs says of the queues' jobs, oldest first."""
        ids = [
            job["jobId"]
            for queue in queues or (*UPSCALE, *CPU)
            for job in self.client.list_jobs(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": ["reelflow-*"]}])[
                "jobSummaryList"
            ]
            if containing in job["jobName"]
        ]
        found = [
            job for start in range(0, len(ids), 100) for job in self.client.describe_jobs(jobs=ids[start : start + 100])["jobs"]
        ]
        return sorted(found, key=lambda job: job["createdAt"])

    def submitted(self, *parts: str) -> bool:
        """Tell with one call whether there is a job whose name contains all parts."""
        found = self.client.list_jobs(jobQueue=CPU[0], filters=[{"name": "JOB_NAME", "values": ["reelflow-*"]}])["jobSummaryList"]
        return any(all(part in job["jobName"] for part in parts) for job in found)

    def containers(self, containing: str) -> list[Any]:
        """Return the running containers of jobs whose names contain something."""
        found = [one for one in self.docker.containers.list() if one.name.startswith("reelflow-") and containing in one.name]
        return [one for one in found if _is_of(self.stack, one)]

    def assert_one_at_a_time(self, containing: str) -> dict[str, int]:
        """Fail where two jobs of a unit were ever there at once; return how many each unit had, one after the other."""
        units: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for job in self.jobs(containing=containing):
            units[job["jobName"]].append(job)
        for name, jobs in units.items():
            assert all(job["status"] in OVER for job in jobs), f"{name} has not ended"
            for first, second in pairwise(jobs):
                assert first["stoppedAt"] <= second["createdAt"], f"two jobs of {name} at once"
        return {name: len(jobs) for name, jobs in units.items()}


@pytest.fixture(scope="module")
def stack(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack whose units go to Batch, three jobs at once."""
    if not image_exists("worker-cpu"):
        pytest.skip(f"there is no image {image_name()}; make images builds it")
    settings = {
        "MEDIA_API_KEYS": "ours:e2e-key-of-ours-0123456789",
        "MEDIA_CHUNK_SECONDS": "5",
        "MEDIA_UNIT_SLOTS": "2",
        "MEDIA_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "MEDIA_FFMPEG": str(shutil.which(ffmpeg())),
        "MEDIA_FFPROBE": str(shutil.which(ffprobe())),
        # A transcode's light units stay here, those of a super-resolution are all jobs.
        "MEDIA_BATCH_UNITS": "upscale,video,audio,split,merge",
        "MEDIA_BATCH_SLOTS": "3",
        "MEDIA_BATCH_POLL_SECONDS": "1",
        # The encodes are to last a while, so that there is time to kill something.
        "MEDIA_X264_PRESET": "medium",
    }
    with running_stack(tmp_path_factory.mktemp("batch") / "state", settings) as running:
        yield running
        fleet = Fleet(running)
    left = [one.name for one in fleet.docker.containers.list(all=True) if _is_of(running, one)]
    assert left == [], "containers of jobs are left"


def _is_of(stack: RunningStack, container: Any) -> bool:
    return f"AWS_ENDPOINT_URL={stack.stack.aws_url}" in (container.attrs["Config"]["Env"] or ())


@pytest.fixture(scope="module")
def fleet(stack: RunningStack) -> Fleet:
    return Fleet(stack)


def start(stack: RunningStack, clip: Clips, name: str, source: str = "plain") -> tuple[str, str]:
    """Start a transcode; return the run's id and what the names of its jobs end with."""
    key = stack.upload(clip(source), f"batch/{name}.mp4")
    conf = {"bucket": stack.bucket, "source_key": key, "folder": f"batched/{name}/", "name": name, "container": "mp4"}
    return stack.trigger("transcode", conf), f"-{name}"


def assert_right(stack: RunningStack, run_id: str, name: str, frames: int, folder: Path) -> None:
    state = stack.wait("transcode", run_id, timeout=800)
    assert state == "success", stack.task_states("transcode", run_id)
    stack.download(f"batched/{name}/", folder)
    assert read_frame_numbers(folder / f"{name}.mp4") == list(range(frames))


def xcom(stack: RunningStack, dag: str, run_id: str, task: str, key: str, index: int = -1) -> Any:
    path = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/{key}"
    answer = stack.http.get(path, params={"map_index": index})
    return answer.json()["value"] if answer.is_success else None


@pytest.mark.parametrize(("env", "queue"), [("spot", UPSCALE[0]), ("onDemand", UPSCALE[1])])
def test_a_super_resolution_runs_in_the_queue_of_its_env_and_is_right(
    env: str, queue: str, stack: RunningStack, fleet: Fleet, clip: Clips, tmp_path: Path
) -> None:
    source = clip("short")
    key = stack.upload(source, f"sr/{env}/ä b #1.mp4")
    with stack.client() as client:
        started = client.post("/prod", json={"key": key, "env": env, "segment_time": 1}).raise_for_status().json()

        def ended() -> dict[str, Any] | None:
            answer = client.get(started["status_url"]).raise_for_status().json()
            return None if answer["status"] in {"queued", "running"} else answer

        status = await_that("the run ends", ended, timeout=800, interval=1)
    assert (status["status"], status["progress"], status["error"]) == ("done", 100, None)
    made = tmp_path / "made.mp4"
    stack.s3.download_file(stack.bucket, started["output_key"], str(made))
    settings = Settings(_env_file=None, ffmpeg=ffmpeg(), ffprobe=ffprobe())
    (before, old), (after, new) = (probe(path, settings=settings) for path in (source, made))
    assert (after.video.width, after.video.height) == (2 * before.video.width, 2 * before.video.height)
    assert read_frame_numbers(made) == list(range(clip.frames("short")))
    assert [pts * new.time_base for pts in new.pts] == [pts * old.time_base for pts in old.pts]
    jobs = fleet.jobs(queue, containing="-segment-")
    ours = [job for job in jobs if job["tags"]["reelflow:run"] == started["run_id"]]
    assert len(ours) == len(status["segments"])
    assert {job["container"]["command"][0] for job in ours} == {"run"}
    other = next(name for name in UPSCALE if name != queue)
    assert not [job for job in fleet.jobs(other) if job["tags"]["reelflow:run"] == started["run_id"]]
    name = xcom(stack, "super_resolution", started["run_id"], "upscale", "metrics", 0)
    assert ours[0]["jobId"] in str(name)
    assert "#jobs/ec2/detail/" in xcom(stack, "super_resolution", started["run_id"], "upscale", "_link_BatchJobLink", 0)


def test_a_transcode_runs_as_jobs_and_is_right(stack: RunningStack, fleet: Fleet, clip: Clips, tmp_path: Path) -> None:
    run_id, mark = start(stack, clip, "calm")
    assert_right(stack, run_id, "calm", clip.frames("plain"), tmp_path)
    counts = fleet.assert_one_at_a_time(mark)
    kinds = sorted(name.split("-")[2] for name in counts)
    assert kinds == ["audio", "video", "video"]
    assert set(counts.values()) == {1}
    assert {job["jobQueue"].rpartition("/")[2] for job in fleet.jobs(containing=mark)} == {CPU[0]}
    assert not fleet.containers(mark)
    assert not [key for key in stack.keys("_reelflow/jobs/") if "/progress/" in key]


def test_a_container_that_is_killed_in_the_middle_is_repeated(
    stack: RunningStack, fleet: Fleet, clip: Clips, tmp_path: Path
) -> None:
    run_id, mark = start(stack, clip, "killed")
    victim = await_that(
        "a chunk is encoded", lambda: [one for one in fleet.containers(mark) if "-video-" in one.name], timeout=400
    )[0]
    victim.kill()
    assert_right(stack, run_id, "killed", clip.frames("plain"), tmp_path)
    counts = fleet.assert_one_at_a_time(mark)
    name = victim.name[: victim.name.index(mark) + len(mark)]
    assert counts == {one: 2 if one == name else 1 for one in counts}
    log = stack.task_log("transcode", run_id, "encode", 1, index_of(victim))
    assert "exit code 137" in log


def kill_tasks(stack: RunningStack) -> int:
    """Kill Airflow's processes of all tasks that are at work."""
    scheduler = psutil.Process(programs.states(stack.stack)["scheduler"]["pid"])
    count = 0
    for executor in scheduler.children():
        for task in executor.children():
            with contextlib.suppress(psutil.Error):
                task.send_signal(signal.SIGKILL)
                count += 1
    return count


def test_a_worker_that_is_killed_right_after_its_submit_finds_its_job_again(
    stack: RunningStack, fleet: Fleet, clip: Clips, tmp_path: Path
) -> None:
    # Between the submit and the end of its task there are tenths of a second, which are sometimes missed.
    for number in range(4):
        name = f"lost{number}"
        run_id, mark = start(stack, clip, name)
        await_that(
            "the plan is there", lambda run_id=run_id: stack.task_states("transcode", run_id)["plan[-1]"] == "success", 400
        )
        await_that("a chunk's job is there", lambda mark=mark: fleet.submitted(f"{mark}", "-video-"), 400, 0)
        hit = kill_tasks(stack)
        (folder := tmp_path / name).mkdir()
        assert_right(stack, run_id, name, clip.frames("plain"), folder)
        assert set(fleet.assert_one_at_a_time(mark).values()) == {1}
        if hit and any(task["try_number"] > 1 for task in stack.tasks("transcode", run_id) if task["task_id"] == "encode"):
            return
    raise AssertionError("no task was hit")


@pytest.mark.parametrize("program", ["triggerer", "scheduler"])
def test_a_run_survives_the_kill_of_the(program: str, stack: RunningStack, fleet: Fleet, clip: Clips, tmp_path: Path) -> None:
    name = f"no{program}"
    run_id, mark = start(stack, clip, name)

    def waiting() -> bool:
        states = [task["state"] for task in stack.tasks("transcode", run_id) if task["task_id"] == "encode"]
        return "deferred" in states and bool(fleet.containers(mark))

    await_that("a chunk is waited for", waiting, timeout=400)
    psutil.Process(programs.states(stack.stack)[program]["pid"]).kill()
    assert_right(stack, run_id, name, clip.frames("plain"), tmp_path)
    assert set(fleet.assert_one_at_a_time(mark).values()) == {1}


@pytest.mark.parametrize("act", ["fail", "clear"])
def test_a_user_who_marks_or_clears_a_waiting_task_ends_its_job(
    act: str, stack: RunningStack, fleet: Fleet, clip: Clips, tmp_path: Path
) -> None:
    name = f"user{act}"
    run_id, mark = start(stack, clip, name)

    def waiting() -> Any:
        tasks = [t for t in stack.tasks("transcode", run_id) if t["task_id"] == "encode" and t["state"] == "deferred"]
        running = [one for one in fleet.containers(mark) if "-video-" in one.name]
        return running and tasks and running[0]

    container = await_that("a chunk is waited for", waiting, timeout=400)
    freeze(container)
    index = index_of(container)
    unit = f"-video-{index - 1:05d}"
    _act(act)(stack, run_id, index)

    def over() -> bool:
        first = next(job for job in fleet.jobs(containing=mark) if unit in job["jobName"])
        return first["status"] == "FAILED"

    await_that("its job has ended", over, timeout=120)
    first = next(job for job in fleet.jobs(containing=mark) if unit in job["jobName"])
    assert first["statusReason"].startswith("reelflow: ")
    if act == "clear":
        assert_right(stack, run_id, name, clip.frames("plain"), tmp_path)
    else:
        assert stack.wait("transcode", run_id, timeout=600) == "failed"
        # Nor is another unit done in vain: the jobs at work are ended with the run, once.
        assert set(fleet.assert_one_at_a_time(mark).values()) == {1}
        await_that("nothing is left behind", lambda: not fleet.containers(mark), timeout=120)
    fleet.assert_one_at_a_time(mark)


def index_of(container: Any) -> int:
    """Return the map index of a chunk's task: the audio is the first of the mapped tasks."""
    return int(container.name.split("-video-")[1][:5]) + 1


def freeze(container: Any) -> None:
    """Stop a container's processes, so that it does not end by itself; to Docker it runs on."""
    for process in container.top()["Processes"]:
        os.kill(int(process[1]), signal.SIGSTOP)


def _act(act: str) -> Callable[[RunningStack, str, int], None]:
    def fail(stack: RunningStack, run_id: str, index: int) -> None:
        path = f"/api/v2/dags/transcode/dagRuns/{run_id}/taskInstances/encode/{index}"
        stack.http.patch(path, json={"new_state": "failed"}).raise_for_status()

    def clear(stack: RunningStack, run_id: str, index: int) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [["encode", index]],
            "only_failed": False,
            "only_running": False,
        }
        stack.http.post("/api/v2/dags/transcode/clearTaskInstances", json=body).raise_for_status()

    return {"fail": fail, "clear": clear}[act]
