"""S3's events in a queue."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from include.errors import StorageError
from include.media_store.object_events import ObjectEvent, ObjectEvents, object_keys, read_events
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
    queue, _ = events
    queue._queue.send(message("uploads/a/b/parts/3"))
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


def record(key: object, name: str = "ObjectCreated:Put", bucket: str = "media") -> dict[str, object]:
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}}


def bridge(key: object, kind: str = "Object Created") -> dict[str, object]:
    detail = {"bucket": {"name": "media"}, "object": {"key": key, "size": 1, "etag": "x"}, "reason": "PutObject"}
    return {"version": "0", "detail-type": kind, "source": "aws.s3", "detail": detail}


def sns(body: object) -> dict[str, object]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": json.dumps(body)}


@pytest.mark.parametrize(
    ("document", "events"),
    [
        ({"Records": [record("in/a+film%2Bmore%C3%A9.mp4")]}, [("media", "in/a film+moreé.mp4", True)]),
        ({"Records": [record("a"), record("b", bucket="other")]}, [("media", "a", True), ("other", "b", True)]),
        ({"Records": [record("a", "ObjectCreated:CompleteMultipartUpload")]}, [("media", "a", True)]),
        ({"Records": [record("a", "s3:ObjectCreated:Copy")]}, [("media", "a", True)]),
        ({"Records": [record("a", "ObjectRemoved:Delete")]}, [("media", "a", False)]),
        ({"Records": [record("a", "ObjectTagging:Put")]}, [("media", "a", False)]),
        ({"Records": []}, []),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"}, []),
        # EventBridge leaves keys as they are: a plus sign is one.
        (bridge("in/a+film%2B.mp4"), [("media", "in/a+film%2B.mp4", True)]),
        (bridge("a", "Object Deleted"), [("media", "a", False)]),
        (sns({"Records": [record("a%20b")]}), [("media", "a b", True)]),
        (sns({"Service": "Amazon S3", "Event": "s3:TestEvent"}), []),
    ],
)
def test_events_are_read_in_each_form_that_they_come_in(document: object, events: list[tuple[str, str, bool]]) -> None:
    reading = read_events(json.dumps(document))
    assert reading.events == tuple(ObjectEvent(*event) for event in events)
    assert reading.problems == ()


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        "null",
        "[]",
        '"text"',
        "{}",
        "[" * 100_000,
        json.dumps({"Records": {"s3": {}}}),
        json.dumps({"Records": [{"dynamodb": {}}]}),
        json.dumps({"Records": [None]}),
        json.dumps({"Records": [record("")]}),
        json.dumps({"Records": [record(7)]}),
        json.dumps({"Records": [record("a%FF")]}),
        json.dumps({"Records": [{"s3": {"object": {"key": "a"}}, "eventName": "ObjectCreated:Put"}]}),
        json.dumps(bridge("")),
        json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": None}),
        json.dumps({"Type": "Notification", "Message": "no JSON"}),
        json.dumps(sns(sns({"Records": [record("a")]}))),
    ],
)
def test_what_is_no_event_says_why(body: str) -> None:
    reading = read_events(body)
    assert reading.events == ()
    assert len(reading.problems) == 1


def test_one_bad_record_does_not_keep_the_others() -> None:
    reading = read_events(json.dumps({"Records": [record("a"), {"dynamodb": {}}, record("b")]}))
    assert [event.key for event in reading.events] == ["a", "b"]
    assert reading.problems == ("a record names no bucket, key or event",)
