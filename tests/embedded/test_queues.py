"""The stack's queues: S3 tells them, in its own encoding, of what is dropped below ingest's prefixes, and of what is uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from include.embedded.queues import ACCOUNT, make_told_queues, queue_name
from include.media_store.object_events import ObjectEvent, read_events
from include.media_store.queues import Queue
from include.settings import Settings
from tests.servers import moto

NAME = "reelflow-ingest"
UPLOADS = "reelflow-uploads"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Any, Queue, Queue]]:
    """S3 and the queues of a moto server; these are asked at another address than their own, as behind a port of Docker's."""
    with moto() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
            patch.setenv(name, value)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="media")
        make_told_queues(Settings(_env_file=None, ingest_queue_url=NAME, upload_queue_url=UPLOADS, ingest_settle_seconds=0))
        yield s3, Queue(f"{url}/{ACCOUNT}/{NAME}"), Queue(f"{url}/{ACCOUNT}/{UPLOADS}")


def events(queue: Queue) -> list[ObjectEvent]:
    found = []
    while messages := queue.receive(0):
        for message in messages:
            reading = read_events(message.body)
            assert reading.problems == ()
            found += reading.events
            queue.delete(message)
    return found


def test_it_is_told_of_new_objects_below_the_prefixes_and_of_nothing_else(server: tuple[Any, Queue, Queue]) -> None:
    s3, queue, _ = server
    events(queue)  # the test event, where there is one
    keys = ["incoming/transcode/a b+c/é%2B&=#.mp4", "incoming/super_resolution/b.mp4"]
    for key in (*keys, "published/c.mp4", "incoming/other/d.mp4"):
        s3.put_object(Bucket="media", Key=key, Body=b"x")
    s3.copy_object(Bucket="media", Key="incoming/transcode/moved.mp4", CopySource={"Bucket": "media", "Key": keys[0]})
    s3.delete_object(Bucket="media", Key=keys[0])
    assert [(event.bucket, event.key, event.created) for event in events(queue)] == [
        ("media", key, True) for key in (*keys, "incoming/transcode/moved.mp4")
    ]


def test_the_queue_of_uploads_is_told_of_these_alone(server: tuple[Any, Queue, Queue]) -> None:
    s3, ingest, uploads = server
    events(ingest)
    events(uploads)
    for key in ("uploads/atom/1/parts/0", "incoming/transcode/e.mp4"):
        s3.put_object(Bucket="media", Key=key, Body=b"x")
    assert [event.key for event in events(uploads)] == ["uploads/atom/1/parts/0"]
    assert [event.key for event in events(ingest)] == ["incoming/transcode/e.mp4"]


def test_it_has_a_dead_letter_queue_as_on_aws(server: tuple[Any, Queue, Queue]) -> None:
    assert server[1].dead_letters().most_receives == 5


@pytest.mark.parametrize(
    "url", [NAME, f"http://127.0.0.1:5000/{ACCOUNT}/{NAME}", f"https://sqs.eu-west-1.amazonaws.com/1/{NAME}"]
)
def test_a_queue_has_the_name_that_its_address_ends_with(url: str) -> None:
    assert queue_name(url) == NAME
