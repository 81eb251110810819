"""Objects dropped in the watched folders of the running stack: one run each, what cannot be taken is shown."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.embedded import programs
from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that
from tests.media import content, ffmpeg, read_frame_numbers

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(900)]

TRANSCODE, UPSCALE = "incoming/transcode/", "incoming/super_resolution/"


class Folders:
    """The watched folders, below which each test has one of its own."""

    def __init__(self, stack: RunningStack, name: str) -> None:
        self.stack, self.name = stack, name

    def transcode(self, key: str) -> str:
        return f"{TRANSCODE}{self.name}/{key}"

    def upscale(self, key: str) -> str:
        return f"{UPSCALE}{self.name}/{key}"

    def put(self, key: str, body: bytes | dict[str, Any], **arguments: Any) -> str:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        self.stack.s3.put_object(Bucket=self.stack.bucket, Key=key, Body=data, **arguments)
        return key

    def runs(self, dag_id: str, key: str) -> list[dict[str, Any]]:
        """Return the runs that an object has had."""
        field = "source_key" if dag_id == "transcode" else "key"
        query: dict[str, Any] = {"limit": 100, "order_by": "-id"}
        found = self.stack.http.get(f"/api/v2/dags/{dag_id}/dagRuns", params=query).raise_for_status().json()["dag_runs"]
        return [run for run in found if run["conf"].get(field) == key]

    def ended(self, dag_id: str, key: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until an object has had so many runs, and return them."""

        def look() -> list[dict[str, Any]]:
            found = self.runs(dag_id, key)
            return found if len(found) >= count and all(run["state"] in ("success", "failed") for run in found) else []

        return await_that(f"{count} runs of {key}", look, timeout=400, interval=1)

    def there(self) -> set[str]:
        """Return what lies in the watched folders of this test."""
        return {*self.stack.keys(self.transcode("")), *self.stack.keys(self.upscale(""))}


@pytest.fixture(scope="module")
def tiny(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of half a second, small enough to be upscaled in a moment."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.mp4"
    command = [ffmpeg(), "-v", "error", *content(0.4, size="64x36"), "-c:v", "libx264", "-preset", "ultrafast", str(path)]
    subprocess.run(command, check=True)
    return path.read_bytes()


def test_a_dropped_film_is_published_and_put_away(stack: RunningStack, clip: Clips, tiny: bytes, tmp_path: Path) -> None:
    at = Folders(stack, "good")
    short = clip("short").read_bytes()
    plain = at.put(at.transcode("news/short.mp4"), short)
    at.put(at.transcode("short.json"), {"type": "mp4", "contentprovider": "publicspace"})
    with_sidecar = at.put(at.transcode("short.mp4"), short)
    # As clients do that write under another name first: S3 copies.
    part = at.put(at.transcode("renamed.mp4.part"), tiny)
    upscaled = at.put(at.upscale("a b/tiny.mp4"), tiny, Metadata={"reelflow-scale": "4"})
    renamed = at.transcode("renamed.mp4")
    stack.s3.copy_object(Bucket=stack.bucket, Key=renamed, CopySource={"Bucket": stack.bucket, "Key": part})
    stack.s3.delete_object(Bucket=stack.bucket, Key=part)
    at.put(plain, short)  # the same once more

    found = {key: at.ended("transcode", key) for key in (plain, with_sidecar, renamed)}
    found[upscaled] = at.ended("super_resolution", upscaled)
    assert {key: [run["state"] for run in runs] for key, runs in found.items()} == {key: ["success"] for key in found}
    confs = {key: runs[0]["conf"] for key, runs in found.items()}
    assert {conf["client"] for conf in confs.values()} == {"ingest"}

    folder = confs[plain]["folder"]
    assert folder.startswith("published/good/news/short_")
    stack.download(folder, tmp_path)
    assert read_frame_numbers(tmp_path / "hls0800k" / "short.m3u8") == list(range(clip.frames("short")))
    assert confs[with_sidecar]["content_provider"] == "publicspace"
    assert f"{confs[with_sidecar]['folder']}short.mp4" in stack.keys(confs[with_sidecar]["folder"])
    output = confs[upscaled]["output_folder"]
    assert output.startswith("published/good/a b/tiny_")
    assert f"{output}tiny_x4.mp4" in stack.keys(output)

    await_that("the sources are put away", lambda: not at.there())
    put_away = {key.rpartition("/")[2] for key in stack.keys(f"finished/{at.transcode('')}")}
    assert put_away == {"short.mp4", "short.json", "renamed.mp4"}
    assert stack.keys("_reelflow/ingest/open/") == {}
    # Nothing that was published, and nothing of an upload or of the work in between, was taken for a new source.
    sources = [conf.get("source_key") or conf.get("key") for conf in confs.values()]
    assert all(source.startswith(("incoming/transcode/good/", "incoming/super_resolution/good/")) for source in sources)


@pytest.mark.long
def test_what_cannot_be_taken_is_shown_and_can_be_put_right(stack: RunningStack, clip: Clips, tiny: bytes) -> None:
    at = Folders(stack, "bad")
    empty = at.put(at.transcode("empty.mp4"), b"")
    text = at.put(at.upscale("notes.txt"), b"text")
    broken = at.put(at.transcode("broken.mp4"), clip("truncated_moov").read_bytes())
    wrong = at.put(at.transcode("wrong.mp4"), tiny)
    at.put(f"{wrong}.json", {"type": "avi", "speed": "fast"})

    for key, words in ((empty, "empty"), (text, "cannot be upscaled"), (wrong, "speed: ")):
        (run,) = at.ended("ingest_object", key)
        assert run["state"] == "failed"
        assert words in stack.task_log("ingest_object", run["dag_run_id"], "admit")
        told = stack.read_json(f"{key}.error.json")
        assert words in told["message"]
        assert told["run_id"] == run["dag_run_id"]
    (run,) = at.ended("transcode", broken)
    assert run["state"] == "failed"
    assert stack.read_json(f"{broken}.error.json")["code"] == "InvalidInputData"

    # A sidecar that is put right is another try.
    at.put(f"{wrong}.json", {"type": "mp4"})
    (run,) = at.ended("transcode", wrong)
    assert run["state"] == "success"
    # So is other content.
    at.put(empty, tiny)
    assert [run["state"] for run in at.ended("transcode", empty)] == ["success"]
    await_that(
        "no word is left beside what is done", lambda: at.there() == {text, f"{text}.error.json", broken, f"{broken}.error.json"}
    )
    # A refused run that is cleared looks again.
    run_id = at.runs("ingest_object", text)[0]["dag_run_id"]
    stack.http.post(f"/api/v2/dags/ingest_object/dagRuns/{run_id}/clear", json={"dry_run": False}).raise_for_status()
    assert stack.wait("ingest_object", run_id) == "failed"
    assert max(task["try_number"] for task in stack.tasks("ingest_object", run_id)) == 2


@pytest.mark.long
def test_other_content_under_the_same_name_is_another_film(stack: RunningStack, clip: Clips, tiny: bytes) -> None:
    at = Folders(stack, "again")
    key = at.put(at.transcode("film.mp4"), tiny)
    at.ended("transcode", key)
    at.put(key, clip("one_frame").read_bytes())
    runs = at.ended("transcode", key, 2)
    assert [run["state"] for run in runs] == ["success", "success"]
    assert len({run["conf"]["folder"] for run in runs}) == 2
    await_that("both are put away", lambda: len(stack.keys(f"finished/{at.transcode('')}")) == 2)


@pytest.mark.long
def test_a_triggerer_that_was_killed_misses_nothing(stack: RunningStack, tiny: bytes) -> None:
    at = Folders(stack, "killed")
    psutil.Process(programs.states(stack.stack)["triggerer"]["pid"]).kill()
    key = at.put(at.transcode("film.mp4"), tiny)
    (run,) = at.ended("transcode", key)
    assert run["state"] == "success"


def test_waiting_takes_no_worker(stack: RunningStack) -> None:
    def watching() -> dict[str, Any] | None:
        runs = stack.http.get("/api/v2/dags/ingest_s3/dagRuns", params={"limit": 1, "order_by": "-id"}).json()["dag_runs"]
        tasks = stack.tasks("ingest_s3", runs[0]["dag_run_id"]) if runs and runs[0]["state"] == "running" else []
        return next((task for task in tasks if task["task_id"] == "watch" and task["state"] == "deferred"), None)

    task = await_that("the sensor waits", watching, timeout=120)
    assert task["hostname"] in ("", None), "a worker has begun it"
    assert task["trigger"]["classpath"].endswith("DroppedTrigger")
