"""A hundred uploads at once through the running stack: all complete, and nothing that a poller sees goes back."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that
from tests.e2e.test_contract4 import MIB, ORDER, padded
from tests.youtube_server import PROCESSED, YouTube

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.long, pytest.mark.timeout(3600)]

UPLOADS = 100
ATOM = "busy"
SIZE = 10 * MIB + 77


@dataclass(eq=False)
class Poller(threading.Thread):
    """Looks at all uploads of the atom again and again, as a page does, and notes what goes back."""

    client: httpx.Client
    looks: int = 0
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    seen: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def run(self) -> None:
        while not self.over.wait(0.5):
            for upload in self.uploads():
                for at in upload["destinations"]:
                    key, now = (upload["id"], at["type"]), (ORDER.index(at["status"]), at["progress"])
                    before = self.seen.get(key, now)
                    if now < before:
                        self.wrong.append(f"{key}: {before}, then {now}")
                    self.seen[key] = now
            self.looks += 1

    def uploads(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get(f"/api2/atom/{ATOM}/uploads").raise_for_status().json()["uploads"]
        return found


def test_a_hundred_uploads_at_once_are_complete(stack: RunningStack, youtube: YouTube, clip: Clips) -> None:
    youtube.control(faults=[], processing=PROCESSED)
    film = padded(clip("two_frames"), SIZE)
    # Each has bytes of its own at its end, so that no part can be taken for another's.
    contents = [film[: -8 * MIB] + random.Random(number).randbytes(8 * MIB) for number in range(UPLOADS)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    began = time.monotonic()
    with stack.client() as client, stack.client() as other:
        poller = Poller(other)

        def create(number: int) -> dict[str, Any]:
            # Every tenth becomes a ladder, too.
            where = ["youtube", "s3Bucket"] if number % 10 == 0 else ["youtube"]
            body = {
                "filename": f"{number}.mp4",
                "size": SIZE,
                "sha256": digests[number],
                "destinations": where,
                "title": str(number),
            }
            answer: dict[str, Any] = client.post(f"/api2/atom/{ATOM}/uploads", json=body).raise_for_status().json()
            return answer

        def put(upload: dict[str, Any], number: int, n: int) -> None:
            path = f"/api2/atom/{ATOM}/uploads/{upload['id']}"
            url = client.get(f"{path}/parts/{n}/url").raise_for_status().json()["url"]
            part = upload["parts"][n]
            httpx.put(url, content=contents[number][part["start"] : part["end"]], timeout=120, trust_env=False).raise_for_status()

        with ThreadPoolExecutor(16) as pool:
            many = list(pool.map(create, range(UPLOADS)))
            assert {len(upload["parts"]) for upload in many} == {3}
            poller.start()
            work = [(upload, number, n) for number, upload in enumerate(many) for n in range(3)]
            random.Random(5).shuffle(work)
            for future in [pool.submit(put, *what) for what in work]:
                future.result()
        print(f"All parts were there after {time.monotonic() - began:.0f} s.")

        def over() -> bool:
            ends = [at["status"] for upload in poller.uploads() for at in upload["destinations"]]
            return len(ends) >= UPLOADS and all(end in {"complete", "failed"} for end in ends)

        await_that("all are over", over, timeout=3000, interval=3)
        poller.over.set()
        poller.join()
        print(f"All {UPLOADS} were complete after {time.monotonic() - began:.0f} s; the poller has looked {poller.looks} times.")
        after = {upload["id"]: upload for upload in poller.uploads()}
    assert poller.wrong == []
    assert poller.looks > 10
    for upload in many:
        now = after[upload["id"]]
        assert {at["status"] for at in now["destinations"]} == {"complete"}, now
        assert all(part["complete"] for part in now["parts"])
        assert stack.wait("upload", f"upload__{upload['id']}") == "success"
    state = youtube.state()
    assert state["violations"] == []
    videos = [one for one in state["sessions"] if one["video_id"] and one["resource"]["snippet"]["title"].isdecimal()]
    assert sorted(one["sha256"] for one in videos) == sorted(digests)
