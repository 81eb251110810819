"""Contract 2 in the running stack, as its clients use it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from include.ffmpeg_ops.probe import probe
from include.settings import Settings
from include.worker.models import SuperResolutionRequest
from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that
from tests.media import ffmpeg, ffprobe, read_frame_numbers

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

DAG = "super_resolution"


@pytest.fixture
def client(stack: RunningStack) -> Iterator[httpx.Client]:
    with stack.client() as found:
        yield found


def finished(client: httpx.Client, url: str, timeout: float = 240) -> dict[str, Any]:
    """Return the status once it is final."""

    def look() -> dict[str, Any] | None:
        answer = client.get(url).raise_for_status().json()
        ladder = answer.get("ladder")
        at_work = answer["status"] in {"queued", "running"} or (
            answer["status"] == "done" and ladder and ladder["status"] in {"waiting", "running"}
        )
        return None if at_work else answer

    return await_that("the run ends", look, timeout=timeout, interval=0.5)


def audio_hash(path: Path) -> str:
    argv = [ffmpeg(), "-v", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "streamhash", "-hash", "md5", "-"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def fetched(stack: RunningStack, key: str, folder: Path) -> Path:
    path = folder / key.replace("/", "_")
    stack.s3.download_file(stack.bucket, key, str(path))
    return path


def job_of(stack: RunningStack, **fields: Any) -> str:
    return f"_reelflow/jobs/{SuperResolutionRequest(bucket=stack.bucket, **fields).job_id}"


def test_a_video_comes_out_twice_as_large_with_every_frame_at_its_time_and_its_own_sound(
    stack: RunningStack, client: httpx.Client, clip: Clips, tmp_path: Path
) -> None:
    source = clip("exact_grid")
    key = stack.upload(source, "sr/放大 #1/a b.mp4")
    answer = client.post("/prod", json={"key": key, "scale": "2", "segment_time": "1"})
    assert answer.status_code == 200, answer.text
    started = answer.json()
    assert started["message"] == f"{key} started"
    assert started["output_key"] == "sr/放大 #1/a b_x2.mp4"
    assert started["segments"] == 6
    again = client.post("/prod/", json={"key": key, "scale": 2, "segment_time": 1}).json()
    assert again["run_id"] == started["run_id"]

    status = finished(client, started["status_url"])
    assert (status["status"], status["progress"], status["error"]) == ("done", 100, None)
    # By its keyframes, every two seconds, and not by the clock.
    assert [(one["status"], one["frames"], one["done"]) for one in status["segments"]] == [("done", 50, 50)] * 3
    made = fetched(stack, started["output_key"], tmp_path)
    settings = Settings(_env_file=None, ffmpeg=ffmpeg(), ffprobe=ffprobe())
    (before, old), (after, new) = (probe(path, settings=settings) for path in (source, made))
    assert (after.video.width, after.video.height) == (256, 144)
    assert read_frame_numbers(made) == list(range(150))
    assert [pts * new.time_base for pts in new.pts] == [pts * old.time_base for pts in old.pts]
    assert audio_hash(made) == audio_hash(source)
    assert after.audio[0].start_time == before.audio[0].start_time
    assert not any("/chunks/" in name for name in stack.keys(job_of(stack, key=key)))

    # Done: the same request is answered at once, and nothing is run again.
    ended = stack.run(DAG, started["run_id"])["end_date"]
    assert client.post("/prod", json={"key": key, "segment_time": 1}).json()["run_id"] == started["run_id"]
    assert stack.run(DAG, started["run_id"])["end_date"] == ended


@pytest.mark.long
def test_another_video_under_the_same_key_is_another_work(
    stack: RunningStack, client: httpx.Client, clip: Clips, tmp_path: Path
) -> None:
    key = stack.upload(clip("one_frame"), "sr/replaced.mp4")
    started = client.post("/prod", json={"key": key, "segment_time": 1}).raise_for_status().json()
    assert finished(client, started["status_url"])["frames"] == 1
    stack.upload(clip("short"), key)
    client.post("/prod", json={"key": key, "segment_time": 1}).raise_for_status()
    assert finished(client, started["status_url"])["frames"] == 50
    assert read_frame_numbers(fetched(stack, started["output_key"], tmp_path)) == list(range(50))


@pytest.mark.long
def test_debug_also_keeps_segments_manifest_and_logs(stack: RunningStack, client: httpx.Client, clip: Clips) -> None:
    key = stack.upload(clip("exact_grid"), "sr/debug/clip.mp4")
    started = client.post("/prod", json={"key": key, "task": "debug", "env": "onDemand", "segment_time": 2}).json()
    assert started["message"] == f"{key} debug"
    assert finished(client, started["status_url"])["status"] == "done"
    kept = stack.keys("sr/debug/clip_mp4_debug/")
    names = {name.removeprefix("sr/debug/clip_mp4_debug/") for name in kept}
    assert {f"segments/segment-0000{n}.nut" for n in range(3)} <= names
    assert {f"upscaled/segment-0000{n}.mp4" for n in range(3)} <= names
    assert {"manifest.json", "report.json", "logs/split.log", "logs/segment-00002.log", "logs/merge.log"} <= names
    assert all(kept.values())
    manifest = stack.read_json("sr/debug/clip_mp4_debug/manifest.json")
    assert [one["first_frame"] for one in manifest["segments"]] == [0, 50, 100]
    unit = stack.read_json(f"{job_of(stack, key=key)}/units/unit-segment-00000.json")
    assert unit["task"]["env"] == "onDemand"
    assert "sr/debug/clip_x2.mp4" in stack.keys("sr/debug/")


def test_a_ladder_of_the_result_follows_in_one_go(stack: RunningStack, client: httpx.Client, clip: Clips, tmp_path: Path) -> None:
    key = stack.upload(clip("short"), "sr/ladder/one.mp4")
    started = client.post("/prod", json={"key": key, "ladder": "m3u8"}).json()
    status = finished(client, started["status_url"])
    assert (status["status"], status["ladder"]["status"]) == ("done", "done"), status
    assert status["ladder"]["output_key"] == "sr/ladder/one_x2/one_x2.m3u8"
    stack.download("sr/ladder/one_x2/", tmp_path)
    assert read_frame_numbers(tmp_path / "hls0800k" / "one_x2.m3u8") == list(range(50))


@pytest.mark.timeout(400)
@pytest.mark.long
def test_a_worker_that_is_killed_in_the_middle_of_a_segment_costs_that_segment_alone(
    stack: RunningStack, client: httpx.Client, clip: Clips, tmp_path: Path
) -> None:
    key = stack.upload(clip("content"), "sr/kill/clip.mp4")
    # Two segments of two seconds and a slow network: finding the process must not take longer than its work.
    started = client.post("/prod", json={"key": key, "segment_time": 2, "scale": 4, "model": "balanced"}).json()

    def decoding() -> list[psutil.Process]:
        # Its decoder runs from the first picture to the last.
        found = stack.processes("include.worker", "unit-segment-00001")
        return [one for one in found if any("ffmpeg" in child.name() for child in one.children(recursive=True))]

    for process in await_that("the second segment is at work", decoding, timeout=120, interval=0.02):
        process.send_signal(signal.SIGKILL)
    job = job_of(stack, key=key, scale=4)
    assert f"{job}/results/result-segment-00001.json" not in stack.keys(job), "it was too late to kill"
    first = f"{job}/results/result-segment-00000.json"
    await_that("the first segment's result", lambda: first in stack.keys(job))
    before = stack.read_json(first)
    status = finished(client, started["status_url"])
    assert (status["status"], status["frames_done"]) == ("done", 100), status
    made = fetched(stack, started["output_key"], tmp_path)
    info, index = probe(made, settings=Settings(_env_file=None, ffmpeg=ffmpeg(), ffprobe=ffprobe()))
    assert (info.video.width, info.video.height, len(index.pts)) == (1280, 720, 100)
    assert stack.read_json(f"{job}/results/result-segment-00000.json") == before, "a finished segment was upscaled again"
    tries = {t["map_index"]: t["try_number"] for t in stack.tasks(DAG, started["run_id"]) if t["task_id"] == "upscale"}
    assert tries == {number: 2 if number == 1 else 1 for number in range(len(tries))}
    assert not [one for one in stack.processes("include.worker") if "segment" in " ".join(one.cmdline())], "left behind"


def test_what_is_wrong_is_said_at_once(stack: RunningStack, client: httpx.Client, clip: Clips) -> None:
    stack.upload(clip("short"), "sr/errors/good.mp4")
    stack.upload(clip("audio_only"), "sr/errors/sound.mp4")
    stack.upload(clip("content1080"), "sr/errors/large.mp4")
    stack.s3.put_object(Bucket=stack.bucket, Key="sr/errors/text.mp4", Body=b"no video at all" * 100)
    for body, status, message in [
        ({"key": "sr/errors/none.mp4"}, 404, "key: "),
        ({"key": "sr/errors/text.mp4"}, 415, "not a video"),
        ({"key": "sr/errors/sound.mp4"}, 415, "no video"),
        ({"key": "sr/errors/large.mp4", "scale": 4}, 400, "Video size exceeded the limit"),
        ({"key": "sr/errors/good.mp4", "scale": 3}, 400, "scale: "),
        ({"key": "sr/errors/good.mp4", "scal": 2}, 400, "scal: "),
        ({}, 400, "key: "),
    ]:
        answer = client.post("/prod", json=body)
        assert (answer.status_code, set(answer.json())) == (status, {"message"}), body
        assert message in answer.json()["message"], answer.json()
        assert "X-Amz" not in answer.text


def test_clients_that_follow_no_redirect_are_served_with_and_without_the_slash(
    stack: RunningStack, client: httpx.Client, clip: Clips
) -> None:
    key = stack.upload(clip("one_frame"), "sr/clients/one.mp4")
    body, address = json.dumps({"key": key}), f"{stack.stack.airflow_url}/prod"
    headers = {"x-api-key": stack.stack.api_key, "Content-Type": "application/json"}
    answers = []
    for url in (address, f"{address}/"):
        request = urllib.request.Request(url, data=body.encode(), headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            answers.append(json.load(answer))
        call = f"requests.post({url!r}, json={{'key': {key!r}}}, headers={headers!r}, allow_redirects=False)"
        code = f"import requests; answer = {call}; print(answer.status_code, answer.text)"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert said.startswith("200 ")
        answers.append(json.loads(said[4:]))
        if shutil.which("curl"):
            argv = ["curl", "-sS", "-X", "POST", url, "-d", body, *(f"-H{name}: {value}" for name, value in headers.items())]
            answers.append(json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout))
    assert {answer["message"] for answer in answers} == {f"{key} started"}
    assert len({answer["run_id"] for answer in answers}) == 1
    assert finished(client, answers[0]["status_url"])["status"] == "done"
    assert re.fullmatch(r"super_resolution__[0-9a-f]{20}", answers[0]["run_id"])


def test_no_log_of_the_stack_holds_a_signed_address(stack: RunningStack) -> None:
    for folder in (stack.stack.logs, stack.stack.airflow_home / "logs"):
        for path in folder.rglob("*"):
            if path.is_file() and "moto" not in path.name:
                assert "X-Amz-Signature" not in path.read_text(errors="replace"), path
