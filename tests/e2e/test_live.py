"""Live runs on the stack: whatever is killed, the stream and its recording go on."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import m3u8
import psutil
import pytest

from include.embedded import programs
from include.ffmpeg_ops.encodings import TaskProfile
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.job import Job
from include.worker.task_request import TaskReference, TaskRequest
from tests.e2e.stack import RunningStack, await_that
from tests.media import read_frame_numbers
from tests.rtmp import RtmpServer, rtmp_server
from tests.worker.live import ENCODING, publisher

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


@pytest.fixture
def server(tools: tuple[str, str], tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path / "nginx") as running:
        yield running


class Run:
    """A live run, begun as the API would: from a server to itself and into a recording."""

    def __init__(self, stack: RunningStack, server: RtmpServer) -> None:
        self.stack = stack
        self.reference = TaskReference(bucket=stack.bucket, client="ours", task_id=str(uuid.uuid4().int % 10**12 + 1))
        self.playlist_key = f"live/{self.reference.task_id}/show.m3u8"
        self.job = Job.of(S3ObjectStore(client=stack.s3), Settings(), self.reference)
        self.job.write_task(
            TaskRequest(
                reference=self.reference,
                source_url=server.url("live", "in"),
                targets=(server.url("kept", "a"), f"s3://{stack.bucket}/{self.playlist_key}"),
                profile=TaskProfile(profile_name="test", encodings=(ENCODING,)),
                created_at=datetime.now(timezone.utc),
            )
        )
        self.id = stack.trigger("live", self.reference.model_dump(mode="json"), self.reference.run_id)

    @property
    def playlist(self) -> m3u8.M3U8 | None:
        head = self.job.store.head(self.stack.bucket, self.playlist_key)
        return m3u8.loads(self.job.store.get_bytes(self.stack.bucket, self.playlist_key).decode()) if head else None

    @property
    def seconds_recorded(self) -> float:
        return sum(segment.duration for segment in self.playlist.segments) if self.playlist else 0

    def await_recording(self, seconds: float = 1) -> None:
        await_that("it is recorded", lambda: self.seconds_recorded >= seconds, timeout=150)

    def recording(self, folder: Path) -> Path:
        prefix = self.playlist_key.rpartition("/")[0]
        return self.stack.download(f"{prefix}/", folder) / "show.m3u8"

    def worker(self) -> psutil.Process:
        return await_that("a worker runs", lambda: self.stack.processes("include.worker", "unit-live"))[0]


def worker(run: Run) -> psutil.Process:
    """The process that runs the unit."""
    return run.worker()


def task_supervisor(run: Run) -> psutil.Process:
    """The executor's process that watches over the task."""
    return run.worker().parent().parent()


def scheduler(run: Run) -> psutil.Process:
    return psutil.Process(programs.states(run.stack.stack)["scheduler"]["pid"])


def triggerer(run: Run) -> psutil.Process:
    return psutil.Process(programs.states(run.stack.stack)["triggerer"]["pid"])


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("victim", [worker, task_supervisor, scheduler, triggerer])
def test_a_stream_goes_on_after_the_kill_of_its(
    victim: Callable[[Run], psutil.Process], stack: RunningStack, server: RtmpServer, tmp_path: Path
) -> None:
    run = Run(stack, server)
    with publisher(server.url("live", "in"), 25 * 300):
        run.await_recording()
        before = run.seconds_recorded
        attempt = run.worker()
        victim(run).send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        run.await_recording(before + 20)
        print(f"{victim.__name__}: 20 s more are recorded after {time.monotonic() - killed_at:.0f} s")
        stack_state = stack.run("live", run.id)["state"]
        run.job.note_cancelled()
        assert stack.wait("live", run.id) == "failed"
    assert stack_state == "running"
    assert attempt.is_running() is False
    playlist = run.playlist
    assert playlist is not None
    assert playlist.is_endlist
    lives = 1 if victim is triggerer else 2
    assert [segment.discontinuity for segment in playlist.segments].count(True) == lives - 1
    numbers = read_frame_numbers(run.recording(tmp_path))
    assert numbers == sorted(set(numbers)), "in order, nothing twice"
    assert sum(after != before + 1 for before, after in pairwise(numbers)) == lives - 1
    assert len(server.recordings("a")) == lives
    outcome = run.job.read_outcome()
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["code"] == "Cancelled"


def test_marking_the_run_as_failed_closes_the_recording(stack: RunningStack, server: RtmpServer, tmp_path: Path) -> None:
    run = Run(stack, server)
    with publisher(server.url("live", "in"), 25 * 120):
        run.await_recording()
        body = {"state": "failed"}
        stack.http.patch(f"/api/v2/dags/live/dagRuns/{run.id}", json=body).raise_for_status()
        await_that("it is closed", lambda: run.playlist is not None and run.playlist.is_endlist, timeout=60)
        await_that("no worker is left", lambda: not stack.processes("include.worker", "unit-live"), timeout=60)
    numbers = read_frame_numbers(run.recording(tmp_path))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers == read_frame_numbers(server.recordings("a")[0])
