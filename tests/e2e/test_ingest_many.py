"""Hundreds of objects at once, some twice, some renamed while being written, some broken: one run each, none lost, errors shown.

``REELFLOW_TEST_OBJECTS`` is how many (300).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.dropping import PREFIX, Dropping, dropping, tiny_clip
from tests.e2e.stack import await_that

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(3 * 3600)]

OBJECTS = int(os.environ.get("REELFLOW_TEST_OBJECTS", "300"))
SECONDS_EACH = 30


@pytest.fixture(scope="module")
def clip(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def place(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dropping]:
    with dropping(tmp_path_factory.mktemp("many") / "state", tmp_path_factory.mktemp("cache")) as running:
        yield running


class Dropper:
    """Drops one object in one of the ways in which objects come, and knows what is to become of it."""

    def __init__(self, place: Dropping, clip: bytes) -> None:
        self.place, self.clip = place, clip
        self.good: set[str] = set()
        self.refused: set[str] = set()
        self.failing: set[str] = set()
        self.ways = [
            *[self.plainly] * 10, *[self.twice] * 3, *[self.renamed] * 2, *[self.rewritten] * 2,
            self.empty, self.of_another_kind, self.with_a_bad_sidecar, self.cut_off,
        ]  # fmt: skip

    def drop(self, number: int) -> None:
        self.ways[number % len(self.ways)](f"shelf {number % 7}/film #{number}+é.mp4")

    def plainly(self, key: str) -> None:
        self.good.add(self.place.drop(key, self.clip))

    def twice(self, key: str) -> None:
        self.plainly(key)
        self.plainly(key)
        self.place.tell(PREFIX + key)

    def renamed(self, key: str) -> None:
        part = self.place.drop(f"{key}.part", self.clip)
        s3, bucket = self.place.stack.s3, self.place.stack.bucket
        s3.copy_object(Bucket=bucket, Key=PREFIX + key, CopySource={"Bucket": bucket, "Key": part})
        s3.delete_object(Bucket=bucket, Key=part)
        self.place.tell(part)
        self.good.add(PREFIX + key)

    def rewritten(self, key: str) -> None:
        self.place.drop(key, self.clip[: len(self.clip) // 2])
        self.plainly(key)

    def empty(self, key: str) -> None:
        self.refused.add(self.place.drop(key, b""))

    def of_another_kind(self, key: str) -> None:
        self.refused.add(self.place.drop(f"{key}.txt", b"text"))

    def with_a_bad_sidecar(self, key: str) -> None:
        self.place.drop(f"{key}.json", json.dumps({"type": "avi"}).encode())
        self.refused.add(self.place.drop(key, self.clip))

    def cut_off(self, key: str) -> None:
        self.failing.add(self.place.drop(key, self.clip[: len(self.clip) // 2]))


def test_each_of_many_objects_has_one_run_and_none_is_lost(place: Dropping, clip: bytes) -> None:
    began = time.monotonic()
    dropper = Dropper(place, clip)
    numbers = list(range(OBJECTS))
    random.Random(7).shuffle(numbers)
    for number in numbers:
        dropper.drop(number)
    place.queue.send("no JSON")
    every = dropper.good | dropper.refused | dropper.failing
    assert len(every) == OBJECTS
    print(f"{OBJECTS} objects were dropped in {time.monotonic() - began:.0f} s.")

    most = 0

    def over() -> bool:
        nonlocal most
        runs = place.runs_by_source()
        at_work = [run for of_one in runs.values() for run in of_one if run["state"] in ("queued", "running")]
        most = max(most, place.claims())
        return len(runs) >= len(every) and not at_work

    await_that("every object's run has ended", over, timeout=300 + SECONDS_EACH * OBJECTS, interval=5)
    await_that("every message is dealt with", lambda: place.messages() == 0, timeout=300, interval=1)
    seconds = time.monotonic() - began
    print(f"All runs had ended after {seconds:.0f} s, {seconds / OBJECTS:.1f} s each; at most {most} had a place.")

    runs = place.runs_by_source()
    assert set(runs) == every
    assert {len(of_one) for of_one in runs.values()} == {1}
    ends = {key: (of_one[0]["dag_id"], of_one[0]["state"]) for key, of_one in runs.items()}
    assert Counter(ends[key] for key in dropper.good) == {("transcode", "success"): len(dropper.good)}
    assert Counter(ends[key] for key in dropper.refused) == {("ingest_object", "failed"): len(dropper.refused)}
    assert Counter(ends[key] for key in dropper.failing) == {("transcode", "failed"): len(dropper.failing)}
    # Each of the two flows keeps to eight, and one may not see what the other is about to claim.
    assert most < 16

    published = place.stack.keys("published/")
    for key in dropper.good:
        conf = runs[key][0]["conf"]
        assert f"{conf['folder']}{conf['name']}.m3u8" in published, key
    left = set(place.stack.keys("incoming/"))
    broken = dropper.refused | dropper.failing
    sidecars = {key for key in left if key.endswith(".mp4.json")}
    assert left - sidecars == broken | {f"{key}.error.json" for key in broken}
    for key in broken:
        told = place.stack.read_json(f"{key}.error.json")
        assert told["message"]
        assert told["run_id"] == runs[key][0]["dag_run_id"]
    assert place.dead.waiting() == 1
    assert len([run for run in place.runs("ingest_queue") if run["state"] == "failed"]) == 1
