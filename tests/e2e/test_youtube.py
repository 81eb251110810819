"""Uploads that the running stack relays to YouTube: while they come, once, and whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest

from include.embedded import programs
from tests.e2e.stack import RunningStack, await_that
from tests.youtube_server import CLIENT, PROCESSED, YouTube

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

MIB = 2**20
CONTENT = random.Random(17).randbytes(12 * MIB + 99)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def nothing_wrong(youtube: YouTube) -> None:
    youtube.control(faults=[], processing=PROCESSED)


class Upload:
    """An upload to YouTube, and what is known of it."""

    def __init__(self, stack: RunningStack, youtube: YouTube, **fields: Any) -> None:
        self.stack, self.youtube, self.client = stack, youtube, stack.client()
        self.title = uuid.uuid4().hex
        body = {"filename": "film.mp4", "size": len(CONTENT), "destinations": ["youtube"], "title": self.title, **fields}
        answer = self.client.post("/api2/atom/youtube/uploads", json=body)
        assert answer.status_code == 200, answer.text
        self.id = answer.json()["id"]
        self.parts = answer.json()["parts"]
        self.path = f"/api2/atom/youtube/uploads/{self.id}"
        self.run_id = f"upload__{self.id}"

    def put(self, *numbers: int) -> None:
        for n in numbers:
            url = self.client.get(f"{self.path}/parts/{n}/url").raise_for_status().json()["url"]
            data = CONTENT[self.parts[n]["start"] : self.parts[n]["end"]]
            httpx.put(url, content=data, timeout=60, trust_env=False).raise_for_status()

    def destination(self) -> dict[str, Any]:
        [found] = self.client.get(self.path).raise_for_status().json()["destinations"]
        return found

    def sessions(self) -> list[dict[str, Any]]:
        found = self.youtube.state()["sessions"]
        return [one for one in found if one["resource"]["snippet"]["title"] == self.title]

    def relay_owner(self) -> str:
        """The process that has the relay's lease, as the table tells."""
        client = boto3.client(
            "dynamodb", endpoint_url=self.stack.stack.aws_url, region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip
        key = {"atom_id": {"S": "youtube"}, "upload_id": {"S": self.id}}
        item = client.get_item(TableName="media-uploads", Key=key, ConsistentRead=True)["Item"]
        return json.loads(item.get("relay", {"S": "{}"})["S"]).get("owner", "")

    def relay_process(self) -> psutil.Process:
        owner = await_that("a process relays", self.relay_owner, timeout=90)
        return psutil.Process(int(owner.split("-")[-2]))

    def end(self, timeout: float = 240) -> dict[str, Any]:
        """Return the destination once it has ended; it never goes back on the way."""
        order = ["waiting", "upload", "transcoding", "failed", "complete"]
        before = (0, 0.0)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                found = self.destination()
                now = (order.index(found["status"]), found["progress"])
                assert now >= before
                before = now
                if found["status"] in ("complete", "failed"):
                    return found
            time.sleep(0.2)
        raise AssertionError(f"{self.stack.task_states('upload', self.run_id)} after {timeout} s")

    def assert_one_right_video(self) -> None:
        [session] = [one for one in self.sessions() if one["video_id"]]
        assert session["sha256"] == DIGEST
        assert self.youtube.state()["violations"] == []
        assert self.destination()["details"] == f"https://youtu.be/{session['video_id']}"


@pytest.mark.long
def test_parts_are_on_youtube_before_the_last_one_comes(stack: RunningStack, youtube: YouTube) -> None:
    upload = Upload(stack, youtube, description="As it comes", tags=["news"], privacy="unlisted", sha256=DIGEST)
    upload.put(1)
    upload.put(0)
    await_that("two parts are on YouTube", lambda: [one for one in upload.sessions() if one["offset"] == 10 * MIB], timeout=90)
    # Nothing is held while the last part does not come.
    await_that("the relay waits", lambda: stack.task_states("upload", upload.run_id)["relay[-1]"] == "deferred")
    assert upload.destination()["status"] == "upload"
    upload.put(2)
    assert upload.end()["status"] == "complete"
    upload.assert_one_right_video()
    [session] = upload.sessions()
    assert session["resource"]["snippet"] == {"title": upload.title, "description": "As it comes", "tags": ["news"]}
    assert session["resource"]["status"] == {"privacyStatus": "unlisted"}
    assert stack.wait("upload", upload.run_id) == "success"

    # Neither credentials nor the session are in a log, in Airflow's database or in its confs.
    folders = (stack.stack.logs, stack.stack.airflow_home)
    kept = b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())
    for secret in (CLIENT["client_secret"], CLIENT["refresh_token"], "ya29.", session["id"]):
        assert secret.encode() not in kept


def test_youtubes_refusals_are_told_in_words(stack: RunningStack, youtube: YouTube) -> None:
    youtube.control(faults=[{"where": "start", "status": 403, "reason": "quotaExceeded"}])
    upload = Upload(stack, youtube)
    upload.put(0, 1, 2)
    ended = upload.end()
    assert ended["status"] == "failed"
    assert "the project's daily quota is used up" in ended["error"]
    assert stack.wait("upload", upload.run_id) == "failed"


@pytest.mark.long
def test_youtubes_processing_is_followed_to_its_bad_end(stack: RunningStack, youtube: YouTube) -> None:
    rejected = {"status": {"uploadStatus": "rejected", "rejectionReason": "duplicate"}}
    youtube.control(processing=[PROCESSED[1], rejected])
    upload = Upload(stack, youtube)
    upload.put(0, 1, 2)
    ended = upload.end()
    assert (ended["status"], ended["error"]) == (
        "failed",
        "YouTube rejected the video because the channel has the same video already.",
    )


def relay(upload: Upload) -> psutil.Process:
    return upload.relay_process()


def supervisor(upload: Upload) -> psutil.Process:
    return upload.relay_process().parent()


def scheduler(upload: Upload) -> psutil.Process:
    upload.relay_process()
    return psutil.Process(programs.states(upload.stack.stack)["scheduler"]["pid"])


def triggerer(upload: Upload) -> psutil.Process:
    upload.relay_process()
    return psutil.Process(programs.states(upload.stack.stack)["triggerer"]["pid"])


def waiting_triggerer(upload: Upload) -> psutil.Process:
    await_that("the relay waits", lambda: upload.stack.task_states("upload", upload.run_id)["relay[-1]"] == "deferred")
    return psutil.Process(programs.states(upload.stack.stack)["triggerer"]["pid"])


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("victim", [relay, supervisor, scheduler, triggerer, waiting_triggerer])
def test_one_video_whatever_is_killed(victim: Callable[[Upload], psutil.Process], stack: RunningStack, youtube: YouTube) -> None:
    # Each chunk takes seconds, so that there is something to kill.
    youtube.control(faults=[{"where": "put", "kind": "slow", "seconds": 0.04, "times": 3, "after": 0}])
    upload = Upload(stack, youtube)
    if victim is not waiting_triggerer:
        upload.put(0, 1)
    with contextlib.suppress(psutil.NoSuchProcess):
        victim(upload).send_signal(signal.SIGKILL)
    upload.put(*range(3))
    assert upload.end(300)["status"] == "complete"
    upload.assert_one_right_video()


@pytest.mark.long
def test_the_command_sends_a_file_and_waits(stack: RunningStack, youtube: YouTube, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(CONTENT)
    title = uuid.uuid4().hex
    command = [
        sys.executable, "-m", "include.uploads", "send", str(film), "--atom", "command", "--url", stack.stack.airflow_url,
        "--destination", "youtube", "--title", title, "--mode", "sts", "--wait",
    ]  # fmt: skip
    environment = os.environ | {"REELFLOW_API_KEY": stack.stack.api_key}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert b"all 3 parts have arrived" in done.stdout
    assert b"youtube: complete 100% https://youtu.be/" in done.stdout
    [video] = [one for one in youtube.state()["videos"] if one["resource"]["snippet"]["title"] == title]
    assert video["sha256"] == DIGEST
