"""The dispatcher of the queue, which is moto's: what is deleted when, and what becomes of messages that it cannot deal with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from include.errors import InternalError, InvalidInputData, ParameterError, StorageError
from include.ingest.models import Dispatched, Dropped, Fate
from include.media_store.queues import DeadLetters, Queue
from include.orchestration.ingest import queue as module
from include.orchestration.ingest.queue import drain
from tests.servers import moto


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with moto() as url:
        yield boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )


@pytest.fixture
def urls(client: Any, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A queue, and its dead-letter queue; what is received is not to be had for a minute."""
    name = request.node.name.split("[")[0][:60]
    dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    client.purge_queue(QueueUrl=dead)
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    url = client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60", "RedrivePolicy": policy})["QueueUrl"]
    client.purge_queue(QueueUrl=url)
    return url, dead


@pytest.fixture
def queue(client: Any, urls: tuple[str, str]) -> Queue:
    return Queue(urls[0], client=client)


@pytest.fixture
def dead(queue: Queue) -> DeadLetters:
    return queue.dead_letters()


def event(*keys: str, name: str = "ObjectCreated:Put") -> str:
    return json.dumps(
        {"Records": [{"eventName": name, "s3": {"bucket": {"name": "media"}, "object": {"key": key}}} for key in keys]}
    )


class Ingest:
    """Claims every object, each once, and has room for so many."""

    def __init__(self, room: int = 1000) -> None:
        self.places = room
        self.claimed: list[str] = []
        self.named: list[str] = []
        self.leaked = 0
        self.stuck: Exception | None = None
        self.broken: dict[str, Exception] = {}
        self.fates: dict[str, tuple[Fate, float]] = {}

    def room(self) -> int:
        return self.places

    def reconcile(self) -> None:
        self.places += self.leaked
        if self.stuck:
            raise self.stuck

    def dispatch(self, dropped: list[Dropped]) -> list[Dispatched]:
        found = []
        for one in dropped:
            self.named.append(one.key)
            if one.key in self.broken:
                raise self.broken[one.key]
            fate, seconds = self.fates.get(one.key, ("known" if one.key in self.claimed else "started", 0.0))
            if fate == "started":
                self.claimed.append(one.key)
                self.places -= 1
            found.append(Dispatched(one, fate, seconds=seconds))
        return found


def invisible(client: Any, url: str) -> int:
    name = "ApproximateNumberOfMessagesNotVisible"
    return int(client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def reasons(client: Any, url: str) -> dict[str, str]:
    lying = client.receive_message(QueueUrl=url, MessageAttributeNames=["All"], MaxNumberOfMessages=10).get("Messages", ())
    return {found["Body"]: found["MessageAttributes"]["reason"]["StringValue"] for found in lying}


def test_each_object_is_dispatched_and_its_message_deleted(client: Any, urls: Any, queue: Queue, dead: DeadLetters) -> None:
    ingest = Ingest()
    for body in (event("a"), event("b+c"), event("d", "e"), event("a")):
        queue.send(body)
    done = drain(queue, dead, ingest.dispatch, ingest.room)
    assert sorted(ingest.claimed) == ["a", "b c", "d", "e"]
    assert done.to_document() == {"messages": 4, "started": 4, "known": 1}
    assert (queue.waiting(), invisible(client, urls[0]), dead.queue.waiting()) == (0, 0, 0)


def test_what_tells_of_no_new_object_is_deleted(client: Any, urls: Any, queue: Queue, dead: DeadLetters) -> None:
    ingest = Ingest()
    for body in (json.dumps({"Event": "s3:TestEvent"}), event("a", name="ObjectRemoved:Delete")):
        queue.send(body)
    done = drain(queue, dead, ingest.dispatch, ingest.room)
    assert ingest.named == []
    assert done.to_document() == {"messages": 2}
    assert (queue.waiting(), invisible(client, urls[0]), dead.queue.waiting()) == (0, 0, 0)


def test_no_more_messages_are_taken_than_there_is_room(client: Any, urls: Any, queue: Queue, dead: DeadLetters) -> None:
    ingest = Ingest(room=3)
    for number in range(8):
        queue.send(event(str(number)))
    drain(queue, dead, ingest.dispatch, ingest.room)
    assert len(ingest.claimed) == 3
    # The others were not even received: waiting for room brings them no nearer to the dead-letter queue.
    assert (queue.waiting(), invisible(client, urls[0])) == (5, 0)
    assert {message.receives for message in queue.receive(0)} == {1}


def test_a_process_that_is_killed_while_it_dispatches_loses_nothing(
    client: Any, urls: Any, queue: Queue, dead: DeadLetters
) -> None:
    class Killed(BaseException):
        pass

    ingest = Ingest()
    queue.send(event("a"))

    def dispatch(dropped: list[Dropped]) -> list[Dispatched]:
        ingest.dispatch(dropped)
        # The object is claimed, and its run started; then nobody is left who could delete the message.
        raise Killed

    with pytest.raises(Killed):
        drain(queue, dead, dispatch, ingest.room)
    assert (queue.waiting(), invisible(client, urls[0])) == (0, 1)
    client.set_queue_attributes(QueueUrl=urls[0], Attributes={"VisibilityTimeout": "0"})
    queue.send(event("a"))
    drain(queue, dead, ingest.dispatch, ingest.room)
    assert ingest.claimed == ["a"]


def test_what_cannot_be_read_goes_to_the_dead_letters_at_once_with_the_reason(
    client: Any, urls: Any, queue: Queue, dead: DeadLetters
) -> None:
    ingest = Ingest()
    half = json.dumps({"Records": [*json.loads(event("a"))["Records"], {"dynamodb": {}}]})
    for body in ("no JSON", half, event("b")):
        queue.send(body)
    done = drain(queue, dead, ingest.dispatch, ingest.room)
    assert sorted(ingest.claimed) == ["a", "b"]
    assert len(done.dead) == 2
    assert reasons(client, urls[1]) == {"no JSON": "it is no JSON object", half: "a record names no bucket, key or event"}
    assert (queue.waiting(), invisible(client, urls[0])) == (0, 0)


def test_a_message_that_fails_comes_again_and_at_last_is_a_dead_letter(
    client: Any, urls: Any, queue: Queue, dead: DeadLetters
) -> None:
    client.set_queue_attributes(QueueUrl=urls[0], Attributes={"VisibilityTimeout": "1"})
    ingest = Ingest()
    ingest.broken["bad"] = StorageError("S3 did not answer.")
    for body in (event("bad"), event("good")):
        queue.send(body)
    done = drain(queue, dead, ingest.dispatch, ingest.room)
    assert ingest.claimed == ["good"]
    assert [failure.partition(": ")[2] for failure in done.failures] == ["S3 did not answer."]
    assert dead.queue.waiting() == 0
    while not queue.waiting():
        pass
    done = drain(queue, dead, ingest.dispatch, ingest.room)
    assert done.failures == []
    assert reasons(client, urls[1]) == {event("bad"): "S3 did not answer."}


def test_it_stops_where_everything_fails(queue: Queue, dead: DeadLetters) -> None:
    ingest = Ingest()
    for number in range(25):
        queue.send(event(str(number)))
        ingest.broken[str(number)] = RuntimeError("Airflow is away")
    done = drain(queue, dead, ingest.dispatch, ingest.room)
    assert len(done.failures) == 3
    assert queue.waiting() == 15


def test_an_object_that_has_to_wait_is_looked_at_later_however_often(
    client: Any, urls: Any, queue: Queue, dead: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = Ingest()
    ingest.fates["a"] = ("waiting", 0.0)
    monkeypatch.setattr(module, "WAITING_SECONDS", 0.0)
    queue.send(event("a"))
    for _ in range(5):
        seen = len(ingest.named)
        drain(queue, dead, ingest.dispatch, ingest.room, clock=iter([0.0, 0.0, 1000.0]).__next__)
        assert len(ingest.named) == seen + 1
    assert dead.queue.waiting() == 0
    ingest.fates["a"] = ("unsettled", 30.0)
    drain(queue, dead, ingest.dispatch, ingest.room)
    assert (queue.waiting(), invisible(client, urls[0])) == (0, 0)
    name = "ApproximateNumberOfMessagesDelayed"
    assert client.get_queue_attributes(QueueUrl=urls[0], AttributeNames=[name])["Attributes"][name] == "1"


def test_it_ends_after_its_time(queue: Queue, dead: DeadLetters) -> None:
    ingest = Ingest(room=1)
    for number in range(3):
        queue.send(event(str(number)))
    drain(queue, dead, ingest.dispatch, lambda: 1, seconds=10, clock=iter([0.0, 1.0, 11.0]).__next__)
    assert len(ingest.claimed) == 1


class TestTask:
    """``dispatch_queue``, with the store and Airflow replaced."""

    @pytest.fixture(autouse=True)
    def place(self, client: Any, urls: Any, monkeypatch: pytest.MonkeyPatch) -> Ingest:
        ingest = Ingest()
        monkeypatch.setattr(module, "get_settings", lambda: SimpleNamespace(ingest_queue_url=urls[0]))
        monkeypatch.setattr("include.media_store.queues.sqs_client", lambda: client)
        monkeypatch.setattr("include.ingest.dispatch.dispatch", lambda _ingest, dropped, runs: ingest.dispatch(dropped))
        monkeypatch.setattr("include.ingest.reconcile.reconcile", lambda _ingest, runs: ingest.reconcile())
        monkeypatch.setattr("include.ingest.claims.room", lambda _ingest: ingest.room())
        return ingest

    def run(self, *, redrive: bool = False, try_number: int = 1) -> dict[str, Any]:
        return module.dispatch_queue({"params": {"redrive": redrive}, "ti": SimpleNamespace(try_number=try_number)})

    def test_it_returns_what_it_did(self, queue: Queue) -> None:
        queue.send(event("a"))
        assert self.run() == {"messages": 1, "started": 1, "dead_letters": 0}

    def test_places_of_runs_that_were_killed_are_given_back_first(self, queue: Queue, place: Ingest) -> None:
        place.places, place.leaked = 0, 1
        queue.send(event("a"))
        assert self.run()["started"] == 1

    def test_a_claim_that_cannot_be_dealt_with_keeps_no_message_waiting(self, queue: Queue, place: Ingest) -> None:
        place.stuck = StorageError("S3 did not answer.")
        queue.send(event("a"))
        with pytest.raises(StorageError):
            self.run()
        assert place.claimed == ["a"]

    def test_it_fails_with_the_reason_where_a_message_is_a_dead_letter_and_has_done_the_others(
        self, queue: Queue, place: Ingest
    ) -> None:
        for body in ("no JSON", event("a")):
            queue.send(body)
        with pytest.raises(InvalidInputData, match=r"1 of 2 messages .* it is no JSON object"):
            self.run()
        assert place.claimed == ["a"]

    def test_it_fails_so_that_it_is_tried_again_where_a_message_could_not_be_dealt_with(
        self, queue: Queue, place: Ingest
    ) -> None:
        place.broken["a"] = StorageError("S3 did not answer.")
        queue.send(event("a"))
        with pytest.raises(InternalError, match=r"1 of 1 messages will come again: .* S3 did not answer"):
            self.run()

    def test_dead_letters_are_put_back_where_that_is_wanted_and_not_again_at_a_second_attempt(
        self, queue: Queue, dead: DeadLetters, place: Ingest
    ) -> None:
        dead.queue.send(event("a"))
        assert self.run()["dead_letters"] == 1
        assert self.run(redrive=True, try_number=2)["dead_letters"] == 1
        assert self.run(redrive=True) == {"messages": 1, "started": 1, "dead_letters": 0}
        assert place.claimed == ["a"]

    def test_without_a_queue_there_is_nothing_to_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "get_settings", lambda: SimpleNamespace(ingest_queue_url=""))
        with pytest.raises(ParameterError, match="MEDIA_INGEST_QUEUE_URL"):
            self.run()
