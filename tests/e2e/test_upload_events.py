"""Uploads on a stack whose S3 tells a queue of each part; what else is in the queue does no harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from include.embedded.queues import ACCOUNT
from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that, running_stack
from tests.e2e.test_contract4 import create, follow, padded, put

pytestmark = [pytest.mark.long, pytest.mark.stack, pytest.mark.xdist_group("upload_events"), pytest.mark.timeout(600)]

MIB = 2**20
NAME = "parts"


@pytest.fixture
def stack(tools: tuple[str, str], tmp_path: Path) -> Iterator[RunningStack]:
    settings = {
        "MEDIA_API_KEYS": "ours:e2e-key-of-ours-0123456789",
        "MEDIA_UPLOAD_PART_SIZE": str(5 * MIB),
        "MEDIA_UPLOAD_QUEUE_URL": NAME,
        "MEDIA_UPLOAD_POLL_SECONDS": "0.5",
        "MEDIA_CACHE_DIR": str(tmp_path / "cache"),
    }
    with running_stack(tmp_path / "state", settings) as running:
        yield running


def test_parts_are_known_by_what_the_queue_tells(stack: RunningStack, clip: Clips) -> None:
    content = padded(clip("short"), 12 * MIB)
    url = f"{stack.stack.aws_url}/{ACCOUNT}/{NAME}"
    sqs = boto3.client(
        "sqs", endpoint_url=stack.stack.aws_url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )

    def tell(key: str) -> None:
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": stack.bucket}, "object": {"key": key}}}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": [record]}))

    def is_empty() -> bool:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return not any(int(value) for value in found.values())

    with stack.client() as client:
        upload = create(client, "told", content)
        path = f"/api2/atom/told/uploads/{upload['id']}"
        # What was not there when it was told, comes twice, or is no event at all.
        tell(upload["parts"][1]["key"])
        tell(f"uploads/told/{upload['id']}/parts/99")
        sqs.send_message(QueueUrl=url, MessageBody="no JSON")
        put(client, path, 2, content[10 * MIB :])
        put(client, path, 0, b"too short")
        await_that(
            "what is wrong with part 0", lambda: client.get(path).json()["parts"][0].get("error"), timeout=120, interval=0.3
        )
        put(client, path, 0, content[: 5 * MIB])
        tell(upload["parts"][0]["key"])
        await_that("all messages are dealt with", is_empty, timeout=120)
        assert [part["complete"] for part in client.get(path).json()["parts"]] == [True, False, True]
        put(client, path, 1, content[5 * MIB : 10 * MIB])
        [destination] = follow(client, path)[-1]["destinations"]
    assert destination["status"] == "complete", destination
    assert stack.wait("upload", f"upload__{upload['id']}") == "success"
    assert stack.s3.get_object(Bucket=stack.bucket, Key=f"uploads/told/{upload['id']}/full")["Body"].read() == content
