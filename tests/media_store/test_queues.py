"""Queues of SQS, on moto's server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from include.errors import InternalError, StorageError
from include.media_store.queues import Message, Queue
from tests.servers import moto


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with moto() as url:
        yield boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )


@pytest.fixture
def urls(client: Any, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A queue whose messages are there again at once, and its dead-letter queue."""
    name = request.node.name[:60]
    dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    attributes = {"VisibilityTimeout": "0", "RedrivePolicy": policy}
    return client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"], dead


def bodies(messages: list[Message]) -> list[str]:
    return sorted(message.body for message in messages)


def test_looking_receives_nothing(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=client)
    queue.send("a")
    assert [queue.waiting() for _ in range(5)] == [1] * 5
    (message,) = queue.receive(0)
    assert (message.body, message.receives) == ("a", 1)


def test_a_message_comes_again_until_it_is_deleted_and_says_how_often(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=client)
    queue.send("a")
    assert [queue.receive(0)[0].receives for _ in range(2)] == [1, 2]
    queue.delete(queue.receive(0)[0])
    assert queue.receive(0) == []


def test_no_more_are_received_than_are_wanted(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=client)
    for number in range(12):
        queue.send(str(number))
    assert len(queue.receive(0, most=3)) == 3
    assert len(queue.receive(0, most=500)) == 10


def test_a_postponed_message_is_a_new_one(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=client)
    queue.send("later")
    queue.receive(0)
    (message,) = queue.receive(0)
    queue.postpone(message, 0)
    (again,) = queue.receive(0)
    assert (again.body, again.receives) == ("later", 1)
    assert again.id != message.id
    queue.postpone(again, 600)
    assert (queue.receive(0), queue.waiting()) == ([], 0)


def test_a_dead_letter_keeps_its_text_and_gets_a_reason(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=client)
    dead = queue.dead_letters()
    assert dead.most_receives == 3
    queue.send("no JSON")
    (message,) = queue.receive(0)
    dead.take(queue, message, "it is no JSON " + "é" * 2000)
    assert queue.waiting() == 0
    (lying,) = client.receive_message(QueueUrl=urls[1], MessageAttributeNames=["All"])["Messages"]
    assert lying["Body"] == "no JSON"
    attributes = {name: value["StringValue"] for name, value in lying["MessageAttributes"].items()}
    assert attributes["reason"].startswith("it is no JSON éé")
    assert len(attributes["reason"].encode()) <= 1000
    assert attributes["message-id"] == message.id


def test_sqs_itself_gives_up_what_is_received_too_often(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=client)
    queue.send("kills its reader")
    assert [len(queue.receive(0)) for _ in range(4)] == [1, 1, 1, 0]
    assert bodies(queue.dead_letters().queue.receive(0)) == ["kills its reader"]


def test_dead_letters_go_back_once(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=client)
    dead = queue.dead_letters()
    for number in range(13):
        dead.queue.send(str(number))
    assert dead.redrive(queue) == 13
    assert (dead.queue.waiting(), queue.waiting()) == (0, 13)
    assert dead.redrive(queue) == 0


class ManyServers:
    """SQS, which asks some of its servers only where it need not wait, and so may say that a queue with few messages is empty."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def receive_message(self, **arguments: Any) -> Any:
        return self.client.receive_message(**arguments) if arguments["WaitTimeSeconds"] else {}


def test_few_dead_letters_are_found_wherever_they_lie(client: Any, urls: tuple[str, str]) -> None:
    queue = Queue(urls[0], client=ManyServers(client))
    dead = queue.dead_letters()
    dead.queue.send("a")
    assert dead.redrive(queue) == 1
    assert (dead.queue.waiting(), queue.waiting()) == (0, 1)


def test_a_queue_without_a_dead_letter_queue_is_told_of(client: Any) -> None:
    url = client.create_queue(QueueName="alone")["QueueUrl"]
    with pytest.raises(InternalError, match="redrive policy"):
        Queue(url, client=client).dead_letters()


def test_a_queue_that_does_not_exist_is_a_storage_error_without_its_address(client: Any) -> None:
    queue = Queue("http://127.0.0.1:9/123456789012/none", client=client)
    with pytest.raises(StorageError) as caught:
        queue.waiting()
    assert "127.0.0.1" not in caught.value.message
