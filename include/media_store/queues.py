"""Queues of SQS: messages come at least once, in any order, and until they are deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from include.errors import InternalError, StorageError
from include.media_store.client import sqs_client
from include.media_store.errors import error_code

__all__ = ["DeadLetters", "Message", "Queue"]

MOST = 10  # SQS hands out no more at once
WAIT_SECONDS = 20
# What a reader of the dead-letter queue sees beside a message's text, which stays as it came.
_REASON, _MESSAGE_ID = "reason", "message-id"
_REASON_BYTES = 1000
_LONGEST_DELAY = 900


@dataclass(frozen=True)
class Message:
    """A message as it was received for the ``receives``-th time; ``receipt`` is good until it is received again."""

    id: str
    receipt: str
    body: str
    receives: int = 1


class Queue:
    """One queue. Methods block, and raise ``StorageError`` where it does not answer."""

    def __init__(self, url: str, *, client: Any = None) -> None:
        self._url = url
        self._client = client or sqs_client()

    def waiting(self) -> int:
        """Return about how many messages nobody has at the moment. Looking receives none: none comes nearer to its last time."""
        return int(self._attributes("ApproximateNumberOfMessages").get("ApproximateNumberOfMessages", 0))

    def receive(self, wait_seconds: int = WAIT_SECONDS, most: int = MOST) -> list[Message]:
        """Wait for messages and return at most ``most`` (10 at the most); those that are not deleted come again."""
        with _translated():
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, MOST),
                WaitTimeSeconds=wait_seconds,
                # The old name of the parameter, which every server knows.
                AttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(
                found["MessageId"],
                found["ReceiptHandle"],
                found["Body"],
                int(found.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for found in answer.get("Messages", ())
        ]

    def send(self, body: str, attributes: dict[str, str] | None = None, *, delay_seconds: float = 0) -> None:
        """Put a message into the queue; nobody receives it for ``delay_seconds`` (a quarter of an hour at the most)."""
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items() if value}
        with _translated():
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=body,
                MessageAttributes=typed,
                DelaySeconds=min(ceil(delay_seconds), _LONGEST_DELAY),
            )

    def delete(self, message: Message) -> None:
        """Forget a message that was dealt with."""
        with _translated():
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def postpone(self, message: Message, seconds: float) -> None:
        """Have a message come again later as a new one: waiting is no failure, and brings it no nearer to its last time."""
        self.send(message.body, delay_seconds=seconds)
        self.delete(message)

    def dead_letters(self) -> DeadLetters:
        """Return the queue that this one's redrive policy names; ``InternalError`` where there is none."""
        policy = json.loads(self._attributes("RedrivePolicy").get("RedrivePolicy") or "{}")
        arn = str(policy.get("deadLetterTargetArn") or "").split(":")
        if len(arn) < 6:
            raise InternalError("The queue has no dead-letter queue; give it a redrive policy.")
        with _translated():
            url = self._client.get_queue_url(QueueName=arn[5], QueueOwnerAWSAccountId=arn[4])["QueueUrl"]
        return DeadLetters(Queue(url, client=self._client), most_receives=int(policy.get("maxReceiveCount") or 1))

    def _attributes(self, name: str) -> dict[str, str]:
        with _translated():
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=[name])
        return dict(answer.get("Attributes") or {})


@dataclass(frozen=True)
class DeadLetters:
    """Where messages lie that could not be dealt with; SQS itself puts those there that were received ``most_receives`` times."""

    queue: Queue
    most_receives: int

    def take(self, source: Queue, message: Message, reason: str) -> None:
        """Move a message here, with the reason as an attribute. Whatever is killed meanwhile, it is in one of the queues."""
        shown = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        self.queue.send(message.body, {_REASON: shown, _MESSAGE_ID: message.id})
        source.delete(message)

    def redrive(self, target: Queue) -> int:
        """Put what lies here back into ``target`` and return how many messages that were.

        They are those of now: what comes here meanwhile stays, so that it ends although the same message comes back at once.
        """
        left = self.queue.waiting()
        moved = 0
        # An answer without any waiting is of some of SQS's servers only, and may be empty though messages are there.
        while moved < left and (messages := self.queue.receive(1, most=left - moved)):
            for message in messages:
                target.send(message.body)
                self.queue.delete(message)
                moved += 1
        return moved


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise StorageError(f"The queue answered {error_code(error) or 'an error without a code'}.") from error
    except BotoCoreError as error:
        raise StorageError(f"The queue did not answer ({type(error).__name__}).") from error
