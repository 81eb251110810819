"""S3's events about objects, as a queue holds them: at least once, in any order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from include.media_store.queues import WAIT_SECONDS, Message, Queue

__all__ = ["ObjectEvent", "ObjectEvents", "ObjectMessage", "Reading", "object_keys", "read_events"]


@dataclass(frozen=True)
class ObjectEvent:
    """Something that has happened to an object; ``created`` where it is there since."""

    bucket: str
    key: str
    created: bool


@dataclass(frozen=True)
class Reading:
    """What a message says, and what of it cannot be understood."""

    events: tuple[ObjectEvent, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObjectMessage:
    """A message of the queue, and the keys that it names; none for a test event of S3's."""

    receipt: str
    keys: tuple[str, ...]


class ObjectEvents:
    """A queue that S3 tells of new objects. Methods block, and raise ``StorageError`` where the queue does not answer."""

    def __init__(self, queue_url: str, *, client: Any = None) -> None:
        self._queue = Queue(queue_url, client=client)

    def receive(self, wait_seconds: int = WAIT_SECONDS) -> list[ObjectMessage]:
        """Wait for messages and return them; those that are not deleted come again."""
        return [ObjectMessage(message.receipt, object_keys(message.body)) for message in self._queue.receive(wait_seconds)]

    def delete(self, message: ObjectMessage) -> None:
        """Forget a message that was dealt with."""
        self._queue.delete(Message("", message.receipt, ""))


def object_keys(body: str) -> tuple[str, ...]:
    """Return the keys that a message of S3 names, as S3 keeps them; none where it is no such message."""
    try:
        records = json.loads(body).get("Records", ())
        # S3 encodes keys as forms do: a blank is a plus sign.
        return tuple(unquote_plus(record["s3"]["object"]["key"]) for record in records)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()


def read_events(body: str) -> Reading:
    """Read a message of S3's: its own form, EventBridge's, or either in the envelope of an SNS topic.

    The test event that S3 sends when it is told of a queue says nothing. What is wrong about one record does not keep the others.
    """
    try:
        document = _mapping(json.loads(body))
        if document.get("Type") == "Notification" and isinstance(document.get("Message"), str):
            document = _mapping(json.loads(document["Message"]))
    except (ValueError, RecursionError):
        return Reading(problems=("it is no JSON object",))
    if document.get("Event") == "s3:TestEvent":
        return Reading()
    if document.get("source") == "aws.s3":
        return _collect([_of_event_bridge(document)])
    records = document.get("Records")
    if not isinstance(records, list):
        return Reading(problems=("it is no event of S3's: neither Records nor an event of EventBridge",))
    return _collect([_of_record(record) for record in records])


def _collect(read: list[ObjectEvent | str]) -> Reading:
    return Reading(
        tuple(found for found in read if isinstance(found, ObjectEvent)), tuple(found for found in read if isinstance(found, str))
    )


def _of_record(record: Any) -> ObjectEvent | str:
    try:
        about = _mapping(record["s3"])
        # S3 encodes keys as forms do: a blank is a plus sign. What is no UTF-8 is no key of S3's.
        key = unquote_plus(about["object"]["key"], errors="strict")
        return _event(
            about["bucket"]["name"], key, created=str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated")
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return "a record names no bucket, key or event"


def _of_event_bridge(document: Mapping[str, Any]) -> ObjectEvent | str:
    try:
        detail = _mapping(document["detail"])
        # Here keys are as they are.
        return _event(detail["bucket"]["name"], detail["object"]["key"], created=document["detail-type"] == "Object Created")
    except (ValueError, KeyError, TypeError):
        return "an event of EventBridge names no bucket, key or kind"


def _event(bucket: Any, key: Any, *, created: bool) -> ObjectEvent:
    if not (isinstance(bucket, str) and isinstance(key, str) and bucket and key):
        raise ValueError("no names")
    return ObjectEvent(bucket, key, created)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no mapping")  # noqa: TRY004  one kind of error for what cannot be read
    return value
