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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
import psutil
import pytest

from include.embedded import programs
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
    """Memory of processes of each kind: what one had when it was first seen, and the most that it had later."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.first: dict[tuple[str, int], int] = {}
        self.most: dict[tuple[str, int], int] = {}
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

    def look(self, pid: int, kind: str) -> None:
        with contextlib.suppress(psutil.Error):
            memory = psutil.Process(pid).memory_full_info().uss
            self.first.setdefault((kind, pid), memory)
            self.most[kind, pid] = max(self.most.get((kind, pid), 0), memory)

    def growth(self, kind: str) -> float:
        """The most that a process of the kind has grown, MiB."""
        return max((self.most[key] - self.first[key]) / MIB for key in self.first if key[0] == kind)

    def peak(self, kind: str) -> float:
        """The most that a process of the kind had, MiB."""
        return max(most / MIB for key, most in self.most.items() if key[0] == kind)

    def _watch(self) -> None:
        table = boto3.client(
            "dynamodb", endpoint_url=self.stack.stack.aws_url, region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip
        while not self.over.wait(0.5):
            for name in ("api-server", "triggerer"):
                self.look(programs.states(self.stack.stack)[name]["pid"], name)
            for item in table.scan(TableName="media-uploads", ConsistentRead=True)["Items"]:
                if owner := json.loads(item.get("relay", {"S": "{}"})["S"]).get("owner"):
                    self.look(int(owner.split("-")[-2]), "relay")


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
                watch.look(first.pid, "uploader")
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
                    watch.look(second.pid, "uploader")
                    time.sleep(0.5)
                assert second.returncode == 0
                arrived = time.monotonic() - began
                assert stack.wait("upload", f"upload__{upload_id}", timeout=900) == "success"
            ended = time.monotonic() - began
            through_server = server.io_counters().read_chars - read_before
            kinds = ("relay", "api-server", "triggerer", "uploader")
            memory = ", ".join(f"{kind} {watch.peak(kind):.0f} (+{watch.growth(kind):.0f})" for kind in kinds)
            print(f"\n{len(parts)} parts of {part} MiB: arrived after {arrived:.0f} s, over after {ended:.0f} s")
            print(f"MiB of memory at most (more than at first): {memory}")
            print(f"{through_server / MIB:.0f} MiB through the API server")
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
            # A process of Airflow's and a few chunks: no part is held whole.
            assert watch.peak("relay") < 200
            assert watch.peak("triggerer") < 250
            assert watch.growth("api-server") < 64
            assert watch.peak("uploader") < 120
            assert through_server < 100 * MIB
