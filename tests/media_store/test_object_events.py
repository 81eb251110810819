"""S3's events in a queue."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from include.errors import StorageError
from include.media_store.object_events import ObjectEvents, object_keys
from tests.servers import moto


def message(*keys: str) -> str:
    return json.dumps(
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": key, "size": 1}}} for key in keys]}
    )


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (message("uploads/a/b/parts/0"), ("uploads/a/b/parts/0",)),
        (message("in/a+film%2Bmore%C3%A9.mp4", "x"), ("in/a film+moreé.mp4", "x")),
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"}), ()),
        (json.dumps({"Records": [{"dynamodb": {}}]}), ()),
        ("[]", ()),
        ("null", ()),
        ("no JSON", ()),
    ],
)
def test_keys_are_read_as_s3_keeps_them_and_strange_messages_name_none(body: str, keys: tuple[str, ...]) -> None:
    assert object_keys(body) == keys


@pytest.fixture(scope="module")
def events() -> Iterator[tuple[ObjectEvents, object]]:
    with moto() as url:
        client = boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        queue = client.create_queue(QueueName="parts", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        yield ObjectEvents(queue, client=client), client


def test_a_message_comes_again_until_it_is_deleted(events: tuple[ObjectEvents, object]) -> None:
    queue, client = events
    client.send_message(QueueUrl=queue._queue_url, MessageBody=message("uploads/a/b/parts/3"))  # type: ignore[attr-defined]
    first = queue.receive(0)
    again = queue.receive(0)
    assert [found.keys for found in first + again] == [("uploads/a/b/parts/3",)] * 2
    queue.delete(again[0])
    assert queue.receive(0) == []


def test_a_queue_that_does_not_exist_is_a_storage_error_without_its_address(events: tuple[ObjectEvents, object]) -> None:
    queue = ObjectEvents("http://127.0.0.1:9/123456789012/none", client=events[1])
    with pytest.raises(StorageError) as caught:
        queue.receive(0)
    assert "127.0.0.1" not in caught.value.message
