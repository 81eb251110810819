"""The stack's queue of dropped objects: S3 tells it, in its own encoding, of what lies below ingest's prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from include.embedded.queues import ACCOUNT, make_ingest_queue, queue_name
from include.media_store.object_events import ObjectEvent, read_events
from include.media_store.queues import Queue
from include.settings import Settings
from tests.servers import moto

NAME = "reelflow-ingest"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Any, Queue]]:
    """S3 and the queue of a moto server; the queue is asked at another address than its own, as behind a port of Docker's."""
    with moto() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
            patch.setenv(name, value)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="media")
        make_ingest_queue(Settings(_env_file=None, ingest_queue_url=NAME, ingest_settle_seconds=0))
        yield s3, Queue(f"{url}/{ACCOUNT}/{NAME}")


def events(queue: Queue) -> list[ObjectEvent]:
    found = []
    while messages := queue.receive(0):
        for message in messages:
            reading = read_events(message.body)
            assert reading.problems == ()
            found += reading.events
            queue.delete(message)
    return found


def test_it_is_told_of_new_objects_below_the_prefixes_and_of_nothing_else(server: tuple[Any, Queue]) -> None:
    s3, queue = server
    events(queue)  # the test event, where there is one
    keys = ["incoming/transcode/a b+c/é%2B&=#.mp4", "incoming/super_resolution/b.mp4"]
    for key in (*keys, "published/c.mp4", "incoming/other/d.mp4"):
        s3.put_object(Bucket="media", Key=key, Body=b"x")
    s3.copy_object(Bucket="media", Key="incoming/transcode/moved.mp4", CopySource={"Bucket": "media", "Key": keys[0]})
    s3.delete_object(Bucket="media", Key=keys[0])
    assert [(event.bucket, event.key, event.created) for event in events(queue)] == [
        ("media", key, True) for key in (*keys, "incoming/transcode/moved.mp4")
    ]


def test_it_has_a_dead_letter_queue_as_on_aws(server: tuple[Any, Queue]) -> None:
    assert server[1].dead_letters().most_receives == 5


@pytest.mark.parametrize(
    "url", [NAME, f"http://127.0.0.1:5000/{ACCOUNT}/{NAME}", f"https://sqs.eu-west-1.amazonaws.com/1/{NAME}"]
)
def test_a_queue_has_the_name_that_its_address_ends_with(url: str) -> None:
    assert queue_name(url) == NAME
