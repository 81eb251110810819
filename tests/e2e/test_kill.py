"""Whatever is killed in the middle of a run, the run ends well: every frame once, no finished unit encoded again."""

from __future__ import annotations

import contextlib
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from include.embedded import programs
from include.embedded.scheduler import NICENESS
from include.worker.models import TranscodeRequest
from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that
from tests.media import read_frame_numbers

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


def encoder(stack: RunningStack) -> psutil.Process:
    """The ffmpeg (or the wait before it) of a video unit."""
    return await_that("an encode runs", lambda: stack.processes("libx264"))[0]


def worker(stack: RunningStack) -> psutil.Process:
    """The process that runs a video unit."""
    encoder(stack)
    return stack.processes("include.worker", "unit-video")[0]


def task(stack: RunningStack) -> psutil.Process:
    """Airflow's process of a task."""
    return worker(stack).parent()


def task_supervisor(stack: RunningStack) -> psutil.Process:
    """The executor's process that watches over a task."""
    return task(stack).parent()


def scheduler(stack: RunningStack) -> psutil.Process:
    encoder(stack)
    return psutil.Process(programs.states(stack.stack)["scheduler"]["pid"])


def web_server(stack: RunningStack) -> psutil.Process:
    encoder(stack)
    return psutil.Process(programs.states(stack.stack)["api-server"]["pid"])


@pytest.fixture
def slow(ffmpeg_notes: Path) -> Iterator[Path]:
    """Make encodes wait, and note them afresh."""
    (ffmpeg_notes / "slow").touch()
    (ffmpeg_notes / "encodes").write_text("")
    yield ffmpeg_notes
    (ffmpeg_notes / "slow").unlink(missing_ok=True)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "victim",
    [encoder, *(pytest.param(one, marks=pytest.mark.long) for one in (worker, task, task_supervisor, scheduler, web_server))],
)
def test_a_run_survives_the_kill_of_its(
    victim: Callable[[RunningStack], psutil.Process], stack: RunningStack, clip: Clips, slow: Path, tmp_path: Path
) -> None:
    name = victim.__name__
    source = stack.upload(clip("plain"), f"kill/{name}.mp4")
    conf = {"bucket": stack.bucket, "source_key": source, "folder": f"killed/{name}/", "name": name, "container": "mp4"}
    run_id = stack.trigger("transcode", conf)

    # Something is finished already, something is being done.
    await_that("a unit is finished", lambda: done_units(stack, run_id), timeout=120)
    finished = done_units(stack, run_id)
    before = {process.pid for process in stack.processes("include.worker")}
    with contextlib.suppress(psutil.NoSuchProcess):
        process = victim(stack)
        assert victim is not encoder or process.nice() == NICENESS, "who asks is answered before the work goes on"
        process.send_signal(signal.SIGKILL)
    (slow / "slow").unlink()

    assert stack.wait("transcode", run_id) == "success", stack.task_states("transcode", run_id)
    stack.download(f"killed/{name}/", tmp_path)
    assert read_frame_numbers(tmp_path / f"{name}.mp4") == list(range(clip.frames("plain")))
    job = f"_reelflow/jobs/{TranscodeRequest(**conf).job_id}"
    encodes = Counter(int(start) for start in re.findall(r"trim=\S*start_pts=(\d+)", (slow / "encodes").read_text()))
    starts = {unit: stack.read_json(f"{job}/units/unit-{unit}.json")["task"]["video"]["chunk"]["start_pts"] for unit in finished}
    assert {unit: encodes[start] for unit, start in starts.items()} == dict.fromkeys(finished, 1), "encoded again"
    assert len(encodes) > len(finished)
    assert not before & {process.pid for process in stack.processes("include.worker")}, "a worker was left behind"


def done_units(stack: RunningStack, run_id: str) -> set[str]:
    """Ids of the video units that are done."""
    indices = [t["map_index"] for t in stack.tasks("transcode", run_id) if t["task_id"] == "encode" and t["state"] == "success"]
    return {f"video-{index - 1:05d}" for index in indices if index > 0}
