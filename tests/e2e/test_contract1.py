"""Contract 1 against the running stack, as a client's script speaks it."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from include.worker.models import job_id_for
from tests.conftest import Clips
from tests.e2e.stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]

SUBMIT = "/prod/videoTranscode"
HOSTILE = ["sp ace#100%25", "a+b&c=d;", "中文🎬", "-rf", 'it\'s "$(id)`id`"', "...%05d"]


@pytest.fixture
def src() -> str:
    return f"e2e/{uuid.uuid4().hex[:8]}/src/"


def body(stack: RunningStack, src: str, **changes: Any) -> dict[str, Any]:
    dst = f"{'/'.join(src.split('/')[:2])}/dst/"
    return {"bucket": stack.bucket, "src": src, "dst": dst, "time": "20160426000001", "type": "mp4", "testflag": "no"} | changes


def post(stack: RunningStack, src: str, **changes: Any) -> dict[str, Any]:
    with stack.client() as client:
        answer = client.post(SUBMIT, json=body(stack, src, **changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def at_once(stack: RunningStack, times: int, src: str, **changes: Any) -> dict[str, Any]:
    """Post the same from many clients at the same moment; return the one answer that all of them get."""
    with ThreadPoolExecutor(times) as pool:
        answers = list(pool.map(lambda _: post(stack, src, **changes), range(times)))
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def read(stack: RunningStack, submitted: dict[str, Any]) -> list[dict[str, Any]]:
    with stack.client() as client:
        answer = client.get(submitted["status_url"])
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == submitted.keys()
    return list(answer.json()["videos"])


def await_end(stack: RunningStack, submitted: dict[str, Any], timeout: float = 400) -> list[dict[str, Any]]:
    """Poll the status until nothing is left to do; progress never falls on the way."""
    reached: dict[str, int] = {}
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        videos = read(stack, submitted)
        for video in videos:
            if "progress" in video and video["status"] != "failed":
                assert video["progress"] >= reached.get(video["src"], 0), video
                reached[video["src"]] = video["progress"]
        if not any(video.get("status") == "transcode" for video in videos):
            return videos
        time.sleep(0.5)
    raise AssertionError(f"not done in {timeout} s: {videos}")


def transcodes_of(stack: RunningStack, submitted: dict[str, Any]) -> list[str]:
    """The `transcode` runs that exist for the videos of an answer."""
    wanted = {f"transcode__{job_id_for(stack.bucket, video['dst'])}" for video in submitted["videos"] if "dst" in video}
    found = [run_id for run_id in wanted if stack.http.get(f"/api/v2/dags/transcode/dagRuns/{run_id}").status_code == 200]
    return sorted(found)


def test_a_folder_with_hostile_names_is_done_once_whoever_asks_how_often(stack: RunningStack, clip: Clips, src: str) -> None:
    for name in HOSTILE:
        stack.upload(clip("two_frames"), f"{src}{name}/{name}.mp4")
    for other in ("cover.png", "poster.JPG", "notes.txt", "old.m3u8", "a.mov", ".mp4"):
        stack.s3.put_object(Bucket=stack.bucket, Key=src + other, Body=b"something")
    stack.s3.put_object(Bucket=stack.bucket, Key=f"{src}empty folder/", Body=b"")

    tested = post(stack, src, testflag="test")
    assert (tested["run_id"], tested["status_url"]) == (None, None)
    assert transcodes_of(stack, tested) == []

    submitted = at_once(stack, 20, src)
    dst = src.replace("/src/", "/dst/")
    expected = [
        {
            "src": f"{src}{name}/{name}.mp4",
            "status": "transcode",
            "error": "no",
            "keyoutpath": f"{dst}{name}/",
            "output_key": name,
            "dst": f"{dst}{name}/{name}_20160426000001/{name}.mp4",
        }
        for name in HOSTILE
    ]
    mentioned = [*expected, {"src": src + "a.mov", "error": "not .mp4"}]
    assert submitted["videos"] == sorted(mentioned, key=lambda video: video["src"])
    assert tested["videos"] == [video | ({"error": "test"} if "dst" in video else {}) for video in submitted["videos"]]

    videos = await_end(stack, submitted)
    assert videos == [video | ({"status": "done", "progress": 100} if "dst" in video else {}) for video in submitted["videos"]]
    assert {video["dst"] for video in expected} <= stack.keys(dst).keys()
    assert len(transcodes_of(stack, submitted)) == len(HOSTILE)

    again = post(stack, src)
    assert [video for video in again["videos"] if "dst" in video] == [
        video | {"status": "exist", "error": "exist"} for video in submitted["videos"] if "dst" in video
    ]
    assert {video.get("status") for video in read(stack, again)} == {"exist", None}
    assert stack.http.get(f"/api/v2/dags/video_transcode/dagRuns/{again['run_id']}").status_code == 404


def test_one_file_to_hls_is_one_run_with_progress(stack: RunningStack, clip: Clips, src: str) -> None:
    key = stack.upload(clip("short"), f"{src}film.mp4")
    submitted = at_once(stack, 20, key, type="m3u8", v_bitrate="2700000", v_height=1088, contentprovider="publicspace")
    (video,) = submitted["videos"]
    assert submitted["run_id"] == f"transcode__{job_id_for(stack.bucket, video['dst'])}"
    assert stack.run("transcode", submitted["run_id"])["note"].startswith("publicspace: ")
    assert read(stack, submitted)[0]["status"] == "transcode"
    assert await_end(stack, submitted) == [video | {"status": "done", "progress": 100}]
    keys = stack.keys(video["dst"].rpartition("/")[0] + "/")
    assert video["dst"] in keys
    assert any(key.endswith("/hls0800k/film00000.ts") for key in keys)
    assert post(stack, key, type="m3u8")["videos"][0]["status"] == "exist"


@pytest.mark.parametrize("of", ["file", pytest.param("folder", marks=pytest.mark.long)])
def test_a_failure_is_told_and_posting_again_mends_it(stack: RunningStack, clip: Clips, src: str, of: str) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key=f"{src}bad.mp4", Body=b"this is no video" * 100)
    asked = src if of == "folder" else f"{src}bad.mp4"
    failed = await_end(stack, post(stack, asked))
    assert failed[0]["status"] == "failed"
    assert len(failed[0]["error"]) > 10
    assert "/tmp" not in failed[0]["error"]

    stack.upload(clip("two_frames"), f"{src}bad.mp4")
    mended = await_end(stack, post(stack, asked))
    assert [(video["status"], video["progress"], video["error"]) for video in mended] == [("done", 100, "no")]


def test_every_path_wants_a_key(stack: RunningStack) -> None:
    with stack.client() as client:
        paths = client.get("/prod/openapi.json").json()["paths"]
        assert client.get("/prod/docs").status_code == 200
    assert SUBMIT.removeprefix("/prod") in paths
    for headers in ({}, {"x-api-key": "wrong"}, dict(stack.http.headers), {"x-api-key": ""}):
        with httpx.Client(base_url=stack.stack.airflow_url, headers=headers, trust_env=False) as client:
            for path in [*paths, "/docs", "/openapi.json", "/", "/nothing"]:
                for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
                    answer = client.request(method, f"/prod{path}", content=b"{")
                    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"}), (method, path)


def test_another_client_finds_no_run_of_ours(stack: RunningStack, clip: Clips, src: str) -> None:
    keys = [pair.partition(":")[2] for pair in stack.stack.api_keys.split(",")]
    stack.upload(clip("two_frames"), f"{src}a.mp4")
    submitted = post(stack, src)
    with httpx.Client(headers={"x-api-key": keys[1]}, trust_env=False) as other:
        answer = other.get(submitted["status_url"])
    assert answer.status_code == 404
    assert "a.mp4" not in answer.text
    await_end(stack, submitted)


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"bucket": "not-allowed"}, 404, "bucket"),
        ({"src": "e2e/no/such.mp4"}, 404, "src"),
        ({"src": "/"}, 400, "src"),
        ({"src": ""}, 400, "src"),
        ({"dst": "out"}, 400, "dst"),
        ({"time": "../../x"}, 400, "time"),
        ({"type": "hls"}, 400, "type"),
        ({"v_height": 999}, 400, "v_height"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(stack: RunningStack, src: str, changes: dict[str, Any], status: int, field: str) -> None:
    with stack.client() as client:
        answer = client.post(SUBMIT, json=body(stack, src) | changes)
    assert answer.status_code == status
    assert answer.json()["message"].startswith(f"{field}: ")
