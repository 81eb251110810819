"""Contract 3 against the running stack, as a client with a pair of keys speaks it."""

from __future__ import annotations

import re
import secrets
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that
from tests.media import ffmpeg
from tests.media_api.signed import run_id, signed

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]

TASKS = "/api/v1/task/transcoding"
PROFILE = "video_mp4_320x180_300kbps"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Client:
    """One client of the stack, which signs every request anew."""

    def __init__(self, stack: RunningStack, number: int = 0) -> None:
        self.name, self.public, self.private = stack.stack.signing_keys.split(",")[number].split(":")
        self.http = httpx.Client(base_url=stack.stack.airflow_url, timeout=60, trust_env=False)

    def headers(self) -> dict[str, str]:
        return signed(self.name, self.public, self.private, nonce=str(secrets.randbits(64)))

    def __call__(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self.http.request(method, path, headers=self.headers(), **arguments)

    def create(self, source: str, *targets: str, profile: str = PROFILE, **changes: Any) -> str:
        body = {"source": {"source_url": source}, "profile_name": profile, "targets": [{"target_url": url} for url in targets]}
        answer = self("POST", TASKS, json=body | changes)
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"task_id"}
        return str(answer.json()["task_id"])

    def show(self, task_id: str) -> dict[str, Any]:
        answer = self("GET", f"{TASKS}/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def await_end(self, task_id: str, timeout: float = 240) -> dict[str, Any]:
        """Poll until the task is over; progress never falls on the way."""
        reached = 0
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            told = self.show(task_id)
            if told["task_status"] in {"SUCCESS", "FAILED", "CANCELLED"}:
                return told
            assert told["progress"] >= reached
            reached = told["progress"]
            time.sleep(0.5)
        raise AssertionError(f"not over in {timeout} s: {told}")


@pytest.fixture
def client(stack: RunningStack) -> Iterator[Client]:
    one = Client(stack)
    with one.http:
        yield one


@pytest.fixture
def folder() -> str:
    return f"e2e/{uuid.uuid4().hex[:8]}/"


@pytest.fixture(scope="module")
def film(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that lasts while something is done to its task."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    video = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=60", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([ffmpeg(), "-v", "error", "-y", *video, "-pix_fmt", "yuv420p", str(path)], check=True, timeout=60)
    return path


def test_one_source_goes_to_two_objects(stack: RunningStack, client: Client, clip: Clips, folder: str) -> None:
    """The contract's `1in2out`, for files; asked for by many at the same moment, it is one task and one run."""
    source = f"s3://{stack.bucket}/{stack.upload(clip('short'), folder + 'in.mp4')}"
    keys = [f"{folder}out/one.mp4", f"{folder}out/two/copy.mp4"]
    targets = [f"s3://{stack.bucket}/{key}" for key in keys]
    with ThreadPoolExecutor(10) as pool:
        (task_id,) = set(pool.map(lambda _: client.create(source, *targets), range(10)))
    told = client.await_end(task_id)
    assert told.pop("targets") == [{"target_url": target} for target in targets]
    times = [told.pop(name) for name in ("create_time", "start_time", "end_time")]
    assert all(TIME.fullmatch(one) for one in times)
    assert times == sorted(times)
    assert told == {
        "task_id": task_id,
        "source": {"source_url": source},
        "profile_name": PROFILE,
        "task_status": "SUCCESS",
        "progress": 100,
    }
    made = stack.keys(f"{folder}out/")
    assert made.keys() == set(keys)
    assert len(set(made.values())) == 1
    assert client.create(source, *targets) == task_id, "done, and asked for again"
    assert stack.run("transcode", run_id(client.name, task_id))["conf"]["task_id"] == task_id
    stack.s3.delete_object(Bucket=stack.bucket, Key=keys[1])
    again = client.create(source, *targets)
    assert again != task_id
    assert client.await_end(again)["task_status"] == "SUCCESS"
    assert stack.keys(f"{folder}out/").keys() == set(keys)


def test_a_source_that_is_no_video_fails_with_its_code(stack: RunningStack, client: Client, folder: str) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key=f"{folder}bad.mp4", Body=b"this is no video" * 100)
    bad, missing = (f"s3://{stack.bucket}/{folder}{name}.mp4" for name in ("bad", "missing"))
    ids = [client.create(source, f"s3://{stack.bucket}/{folder}out.mp4") for source in (bad, missing)]
    ends = [client.await_end(task_id) for task_id in ids]
    assert [end["task_status"] for end in ends] == ["FAILED", "FAILED"]
    assert ends[0]["error"]["code"] in {"InvalidInputData", "InputNotSupported"}
    assert ends[1]["error"]["code"] == "InvalidInputData"
    for end in ends:
        assert "/tmp" not in end["error"]["message"]
        assert end["error"]["message_zh"]
    assert client.create(bad, f"s3://{stack.bucket}/{folder}out.mp4") not in ids


def test_a_live_task_relays_records_and_is_stopped(stack: RunningStack, client: Client, film: Path, folder: str) -> None:
    source = f"s3://{stack.bucket}/{stack.upload(film, folder + 'in.mp4')}"
    recording = f"{folder}show.m3u8"
    task_id = client.create(source, "udp://127.0.0.1:9299", f"s3://{stack.bucket}/{recording}")
    await_that("seconds are relayed", lambda: client.show(task_id)["progress"] >= 3, timeout=90, interval=0.5)
    told = client.show(task_id)
    assert told["task_status"] == "RUNNING"
    assert [target["state"] for target in told["targets"]] == ["sending", "sending"]
    stopped = client("DELETE", f"{TASKS}/{task_id}").json()
    assert stopped["task_status"] == "CANCELLED"
    end = await_that("the run ends", lambda: client.show(task_id).get("end_time"), timeout=90, interval=0.5)
    assert TIME.fullmatch(end)
    assert client.show(task_id)["task_status"] == "CANCELLED"
    playlist = stack.s3.get_object(Bucket=stack.bucket, Key=recording)["Body"].read().decode()
    assert playlist.rstrip().endswith("#EXT-X-ENDLIST")


def test_a_task_that_is_failed_in_airflow_is_cancelled(stack: RunningStack, client: Client, film: Path, folder: str) -> None:
    source = f"s3://{stack.bucket}/{stack.upload(film, folder + 'in.mp4')}"
    task_id = client.create(source, "udp://127.0.0.1:9298")
    await_that("it runs", lambda: client.show(task_id)["progress"] >= 1, timeout=90, interval=0.5)
    path = f"/api/v2/dags/live/dagRuns/{run_id(client.name, task_id)}"
    stack.http.patch(path, json={"state": "failed"}).raise_for_status()
    assert client.show(task_id)["task_status"] == "CANCELLED"


def test_a_request_is_good_once(client: Client) -> None:
    headers = client.headers()
    answers = [client.http.get(TASKS, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[1].json()["code"] == "AuthFailed"


def test_tasks_are_listed_page_by_page_and_to_their_client_only(stack: RunningStack, client: Client, folder: str) -> None:
    missing = f"s3://{stack.bucket}/{folder}missing.mp4"
    made = [client.create(missing, f"s3://{stack.bucket}/{folder}{number}.mp4") for number in range(2)]
    seen: list[str] = []
    cursor = ""
    while len(seen) < 2:
        page = client("GET", TASKS, params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        seen += [task["task_id"] for task in page["tasks"]]
        cursor = page.get("cursor", "")
    assert seen == made[::-1]
    # No list, and lists of what is no run's id: a number of 64 bits, a table, a list, a truth.
    for wrong in ("bm9uZQ", "kc-AAAAAAAAAAA", "kYGhYQE", "kZGheA", "kcM"):
        answer = client("GET", TASKS, params={"cursor": wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameterException"), wrong
    other = Client(stack, 1)
    with other.http:
        assert other("GET", f"{TASKS}/{made[0]}").json()["code"] == "NoSuchTask"
        assert other("DELETE", f"{TASKS}/{made[0]}").json()["code"] == "NoSuchTask"
        assert not {task["task_id"] for task in other("GET", TASKS).json()["tasks"]} & set(made)
    for task_id in made:
        client.await_end(task_id)
    failed = client("GET", TASKS, params={"status": "FAILED", "limit": 100}).json()["tasks"]
    assert set(made) <= {task["task_id"] for task in failed}


def test_a_clients_own_profile_is_used_and_kept_while_it_is(stack: RunningStack, client: Client, film: Path, folder: str) -> None:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    encoding = {"container": "mp4", "width": 160, "height": 90, "bitrate": 100_000, "preset": "highPerformance"}
    assert client("POST", "/api/v1/profile", json={"profile_name": name, "encodings": [encoding]}).status_code == 200
    assert name in {profile["profile_name"] for profile in client("GET", "/api/v1/profiles").json()["profiles"]}
    source = f"s3://{stack.bucket}/{stack.upload(film, folder + 'in.mp4')}"
    task_id = client.create(source, "udp://127.0.0.1:9297", profile=name)
    assert client("DELETE", f"/api/v1/profile/{name}").json()["code"] == "ProfileNotEmpty"
    client("DELETE", f"{TASKS}/{task_id}")
    await_that(
        "it may be deleted", lambda: client("DELETE", f"/api/v1/profile/{name}").status_code == 200, timeout=90, interval=1
    )
    assert client("GET", f"/api/v1/profile/{name}").json()["code"] == "NoSuchProfile"


def test_airflows_own_api_is_as_it_was(stack: RunningStack) -> None:
    for path in ("version", "dags", "pools", "monitor/health"):
        assert stack.http.get(f"/api/v2/{path}").status_code == 200
    assert stack.http.get("/api/v2/profiles").status_code == 401, "ours, and it wants a signature"
