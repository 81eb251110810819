"""A live task for tests: a publisher, the unit in a thread, and what came out of it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.worker.execute import execute
from include.worker.job import Job, live_unit
from include.worker.media import MediaTools
from include.worker.models import UnitResult
from include.worker.task_request import TaskReference, TaskRequest
from tests.media import ffmpeg, numbers, tone

# Fast, and a keyframe a second.
ENCODING = Encoding(container="mp4", format="h264", bitrate=300_000, gop_size=25, preset="highPerformance")
COPY = Encoding(container="copy", format="copy", audio_format="copy")


def settings_for_live(settings: Settings, **changes: Any) -> Settings:
    """Settings that allow this machine, and lose patience soon."""
    patient = {"allowed_networks": ("127.0.0.0/8",), "live_reconnect_seconds": 2.0, "stall_seconds": 2.0}
    return settings.model_copy(update=patient | changes)


@contextlib.contextmanager
def publisher(url: str, frames: int, *, muxer: str = "flv", options: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Send numbered pictures and a tone in real time."""
    argv = [ffmpeg(), "-nostdin", "-v", "error", *paced(numbers(frames)), *paced(tone(frames / 25))]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-bf", "0", "-pix_fmt", "yuv420p"]
    argv += ["-c:a", "aac", "-ac", "2", *options, "-f", muxer, url]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def recorder(url: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Keep what comes at an address that this listens on."""
    argv = [ffmpeg(), "-nostdin", "-v", "error", "-i", url, "-c", "copy", "-y", str(path)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def paced(source: list[str]) -> list[str]:
    return ["-re", *source]


def await_that(what: str, condition: Callable[[], Any], timeout: float = 20) -> Any:
    """Return the first true value of ``condition()``."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout} s")


@dataclass
class LiveTask:
    """A task and the thread that runs its unit."""

    store: ObjectStore
    settings: Settings
    source: str
    targets: tuple[str, ...]
    encodings: tuple[Encoding, ...] = (ENCODING,)
    events: list[dict[str, Any]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    result: UnitResult | None = None
    media: MediaTools | None = None
    task_id: str = field(default_factory=lambda: str(uuid.uuid4().int % 10**12 + 1))

    @property
    def reference(self) -> TaskReference:
        return TaskReference(bucket=self.settings.bucket, client="tests", task_id=self.task_id)

    @property
    def folder(self) -> str:
        """Where its recordings are to be."""
        return f"rec/{self.task_id}"

    @property
    def job(self) -> Job:
        return Job.of(self.store, self.settings, self.reference)

    def write(self) -> None:
        """Write the documents that the API would."""
        profile = TaskProfile(profile_name="test", encodings=self.encodings)
        request = TaskRequest(
            reference=self.reference,
            source_url=self.source,
            targets=self.targets,
            profile=profile,
            created_at=datetime.now(timezone.utc),
        )
        self.job.write_task(request)
        self.job.write_unit(live_unit(self.reference))

    def run(self) -> UnitResult:
        self.write()
        unit = live_unit(self.reference)
        self.result = execute(
            unit, store=self.store, settings=self.settings, emit=self.events.append, cancelled=self.cancelled, media=self.media
        )
        return self.result

    @contextlib.contextmanager
    def running(self) -> Iterator[LiveTask]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.cancelled.set()
            thread.join(30)

    def ended(self, timeout: float = 30) -> UnitResult:
        """Wait for the end by itself."""
        return await_that("the task ends", lambda: self.result, timeout)

    def status(self, number: int) -> dict[str, Any]:
        """The last that was told of a target."""
        return self.events[-1]["targets"][number] if self.events and "targets" in self.events[-1] else {}
