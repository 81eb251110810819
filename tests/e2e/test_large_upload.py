"""A file of 1.2 GB to both destinations, in small and in large parts, its uploader killed: one file, one video, one transcode."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from include.embedded import programs
from include.embedded.processes import members
from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that, running_stack
from tests.media import ffmpeg, ffprobe
from tests.youtube_server import youtube_server

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(1500)]

MIB = 2**20
SIZE = 1_200_000_000


def large_film(clip: Path, path: Path) -> str:
    """Write a video with a box that players skip, and return the SHA-256 of it all."""
    digest = hashlib.sha256()
    source = random.Random(SIZE)
    with path.open("wb") as file:
        video = clip.read_bytes()
        head = video + struct.pack(">I4s", SIZE - len(video), b"free")
        file.write(head)
        digest.update(head)
        left = SIZE - len(head)
        while left:
            block = source.randbytes(min(left, 4 * MIB))
            file.write(block)
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


class Watch:
    """The most memory that processes of a kind had, each by itself."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.most: dict[str, int] = defaultdict(int)
        self.over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            thread.join()

    def look(self, process: psutil.Process, kind: str) -> None:
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info().uss
            self.most[kind] = max(self.most[kind], memory)

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            for process in members(self.stack.stack.id):
                with contextlib.suppress(psutil.Error):
                    command = " ".join(process.cmdline())
                    if "moto" not in command and "ffmpeg" not in command:
                        self.look(process, "ours")


@pytest.mark.parametrize("part", [8, 100], ids=["8MiB", "100MiB"])
def test_a_large_file_arrives_once(part: int, clip: Clips, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    digest = large_film(clip("short"), film)
    with youtube_server(tmp_path / "youtube") as youtube:
        settings = {
            "MEDIA_API_KEYS": "ours:e2e-key-of-ours-0123456789",
            "MEDIA_UPLOAD_PART_SIZE": str(part * MIB),
            "MEDIA_YOUTUBE_URL": youtube.url,
            "AIRFLOW_CONN_YOUTUBE_DEFAULT": json.dumps(youtube.connection),
            "MEDIA_CACHE_DIR": str(tmp_path / "cache"),
            "MEDIA_FFMPEG": str(shutil.which(ffmpeg())),
            "MEDIA_FFPROBE": str(shutil.which(ffprobe())),
        }
        with running_stack(tmp_path / "state", settings) as stack, stack.client() as client:
            server = psutil.Process(programs.states(stack.stack)["api-server"]["pid"])
            read_before = server.io_counters().read_chars
            command = [
                sys.executable, "-m", "include.uploads", "send", str(film), "--atom", "large", "--url", stack.stack.airflow_url,
                "--destination", "youtube", "--destination", "s3Bucket",
            ]  # fmt: skip
            environment = os.environ | {"REELFLOW_API_KEY": stack.stack.api_key}
            began = time.monotonic()
            with Watch(stack).watching() as watch:
                first = subprocess.Popen(command, env=environment)
                note = tmp_path / ".film.mp4.large.upload.json"
                await_that("the upload is begun", note.exists, timeout=120)
                upload_id = json.loads(note.read_text())["id"]
                path = f"/api2/atom/large/uploads/{upload_id}"
                await_that(
                    "some parts are there",
                    lambda: sum(one["complete"] for one in client.get(path).json()["parts"]) >= 4,
                    timeout=300, interval=0.3,
                )  # fmt: skip
                watch.look(psutil.Process(first.pid), "uploader")
                first.send_signal(signal.SIGKILL)
                first.wait()
                # Somebody sends parts of it in any order, and some of them again.
                parts = client.get(path).json()["parts"]
                some = random.Random(part).sample(range(len(parts)), 5)
                for n in [*some, *some[:2], 0]:
                    url = client.get(f"{path}/parts/{n}/url").raise_for_status().json()["url"]
                    with film.open("rb") as file:
                        file.seek(parts[n]["start"])
                        data = file.read(parts[n]["end"] - parts[n]["start"])
                    httpx.put(url, content=data, timeout=300, trust_env=False).raise_for_status()
                second = subprocess.Popen([*command, "--mode", "sts"], env=environment)
                while second.poll() is None:
                    watch.look(psutil.Process(second.pid), "uploader")
                    time.sleep(0.5)
                assert second.returncode == 0
                arrived = time.monotonic() - began
                assert stack.wait("upload", f"upload__{upload_id}", timeout=900) == "success"
            ended = time.monotonic() - began
            through_server = server.io_counters().read_chars - read_before
            print(
                f"\n{len(parts)} parts of {part} MiB: arrived after {arrived:.0f} s, over after {ended:.0f} s; most memory of "
                f"one process: {watch.most['ours'] / MIB:.0f} MiB of the stack's, {watch.most['uploader'] / MIB:.0f} MiB of the "
                f"uploader's; {through_server / MIB:.0f} MiB through the API server"
            )
            assert all(at["status"] == "complete" for at in client.get(path).json()["destinations"])
            prefix = f"uploads/large/{upload_id}/"
            whole = hashlib.sha256()
            for block in stack.s3.get_object(Bucket=stack.bucket, Key=f"{prefix}full")["Body"].iter_chunks(MIB):
                whole.update(block)
            assert whole.hexdigest() == digest
            [video] = youtube.state()["videos"]
            assert video["sha256"] == digest
            assert youtube.state()["violations"] == []
            runs = stack.http.get("/api/v2/dags/transcode/dagRuns").raise_for_status().json()["dag_runs"]
            assert [run["state"] for run in runs] == ["success"]
            assert not [key for key in stack.keys(prefix) if "/parts/" in key]
            assert watch.most["uploader"] < 120 * MIB
            assert watch.most["ours"] < 400 * MIB
            assert through_server < 100 * MIB
