"""Uploads in the running stack: parts go to S3, and what comes of them is what a client sees."""

from __future__ import annotations

import hashlib
import random
import struct
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that
from tests.media import read_frame_numbers

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

MIB = 2**20
ORDER = ["waiting", "upload", "transcoding", "failed", "complete"]


def padded(path: Path, size: int) -> bytes:
    """Return the video with a box that players skip, so that it has this size."""
    video = path.read_bytes()
    rest = size - len(video)
    return video + struct.pack(">I4s", rest, b"free") + random.Random(size).randbytes(rest - 8)


def create(client: httpx.Client, atom: str, content: bytes, **fields: Any) -> dict[str, Any]:
    body = {"filename": "an interview.mp4", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()} | fields
    answer = client.post(f"/api2/atom/{atom}/uploads", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def put(client: httpx.Client, path: str, n: int, data: bytes) -> None:
    answer = client.get(f"{path}/parts/{n}/url").raise_for_status().json()
    httpx.put(answer["url"], content=data, timeout=60, trust_env=False).raise_for_status()


def follow(client: httpx.Client, path: str, timeout: float = 240) -> list[dict[str, Any]]:
    """Return all that a poller sees until every destination has ended; nothing may go back."""
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            upload = client.get(path).raise_for_status().json()
        except httpx.TransportError:  # a test may just have killed the server
            time.sleep(0.3)
            continue
        if seen:
            for before, after in zip(seen[-1]["destinations"], upload["destinations"], strict=True):
                then, now = ORDER.index(before["status"]), ORDER.index(after["status"])
                assert (now, after["progress"]) >= (then, before["progress"]), (before, after)
        seen.append(upload)
        if all(at["status"] in {"complete", "failed"} for at in upload["destinations"]):
            return seen
        time.sleep(0.3)
    raise AssertionError(f"not over after {timeout} s: {seen[-1]['destinations']}")


def everything_kept(stack: RunningStack) -> bytes:
    """Return all that was written: logs, Airflow's database with XComs and confs, the tables, the documents in S3."""
    files = [path for folder in (stack.stack.logs, stack.stack.airflow_home) for path in folder.rglob("*") if path.is_file()]
    kept = [path.read_bytes() for path in files if path.name not in {"passwords.json"}]
    tables = boto3.client(
        "dynamodb",
        endpoint_url=stack.stack.aws_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for name in tables.list_tables()["TableNames"]:
        kept += [repr(page["Items"]).encode() for page in tables.get_paginator("scan").paginate(TableName=name)]
    for key in stack.keys("_reelflow/"):
        if key.endswith(".json"):
            kept.append(stack.s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read())
    return b"".join(kept)


def test_parts_in_any_order_become_one_file_and_a_ladder(stack: RunningStack, clip: Clips, tmp_path: Path) -> None:
    content = padded(clip("short"), 12 * MIB + 345)
    with stack.client() as client:
        upload = create(client, "newsroom-1", content)
        path = f"/api2/atom/newsroom-1/uploads/{upload['id']}"
        parts = {n: content[part["start"] : part["end"]] for n, part in enumerate(upload["parts"])}
        assert [len(data) for data in parts.values()] == [5 * MIB, 5 * MIB, 2 * MIB + 345]
        put(client, path, 2, parts[2])
        put(client, path, 0, b"too short")
        wrong = await_that(
            "the error of part 0", lambda: client.get(path).json()["parts"][0].get("error"), timeout=60, interval=0.3
        )
        assert wrong == f"Part 0 has 9 bytes instead of {5 * MIB}; send it again."
        put(client, path, 2, parts[2])
        put(client, path, 0, parts[0])
        keys = upload["credentials"]
        s3 = boto3.client(
            "s3", endpoint_url=upload["endpoint"], region_name=upload["region"], aws_access_key_id=keys["temporaryAccessId"],
            aws_secret_access_key=keys["temporarySecretKey"], aws_session_token=keys["sessionToken"],
        )  # fmt: skip
        s3.put_object(Bucket=upload["bucket"], Key=upload["parts"][1]["key"], Body=parts[1])
        seen = follow(client, path)
    [destination] = seen[-1]["destinations"]
    assert (destination["status"], destination["progress"]) == ("complete", 100.0), destination
    assert stack.wait("upload", f"upload__{upload['id']}") == "success"
    prefix = f"uploads/newsroom-1/{upload['id']}/"
    full = stack.s3.get_object(Bucket=stack.bucket, Key=f"{prefix}full")["Body"].read()
    assert hashlib.sha256(full).hexdigest() == hashlib.sha256(content).hexdigest()
    assert not [key for key in stack.keys(prefix) if "/parts/" in key]
    stack.download(prefix, tmp_path)
    assert destination["details"] == f"s3://{stack.bucket}/{prefix}an_interview.m3u8"
    assert read_frame_numbers(tmp_path / "hls0800k" / "an_interview.m3u8") == list(range(clip.frames("short")))

    secrets = [keys["temporarySecretKey"], keys["sessionToken"]]
    kept = everything_kept(stack)
    assert not [secret for secret in secrets if secret.encode() in kept]


@pytest.mark.long
def test_a_part_that_does_not_come_fails_the_upload_and_says_which(stack: RunningStack) -> None:
    content = bytes(11 * MIB)
    with stack.client() as client:
        upload = create(client, "newsroom-2", content)
        path = f"/api2/atom/newsroom-2/uploads/{upload['id']}"
        put(client, path, 0, content[: 5 * MIB])
        seen = follow(client, path)
        [destination] = seen[-1]["destinations"]
        assert (destination["status"], destination["error"]) == ("failed", "Timed out waiting for part 1")
        assert [part["complete"] for part in seen[-1]["parts"]] == [True, False, False]
        refused = client.post(f"{path}/credentials")
        assert (refused.status_code, "part 1" in refused.json()["message"]) == (409, True)
    assert stack.wait("upload", f"upload__{upload['id']}") == "failed"


def test_an_aborted_upload_leaves_nothing(stack: RunningStack) -> None:
    content = bytes(6 * MIB)
    with stack.client() as client:
        upload = create(client, "newsroom-3", content)
        path = f"/api2/atom/newsroom-3/uploads/{upload['id']}"
        put(client, path, 0, content[: 5 * MIB])
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 404
    assert stack.keys(f"uploads/newsroom-3/{upload['id']}/") == {}
    assert stack.wait("upload", f"upload__{upload['id']}") == "failed"


@pytest.mark.long
def test_a_file_that_is_not_the_announced_one_is_refused_with_its_reason(stack: RunningStack) -> None:
    content = bytes(MIB)
    with stack.client() as client:
        upload = create(client, "newsroom-4", content, sha256="0" * 64)
        path = f"/api2/atom/newsroom-4/uploads/{upload['id']}"
        put(client, path, 0, content)
        [destination] = follow(client, path)[-1]["destinations"]
    assert destination["status"] == "failed"
    assert hashlib.sha256(content).hexdigest() in destination["error"]
    assert f"uploads/newsroom-4/{upload['id']}/full" not in stack.keys("uploads/newsroom-4/")
