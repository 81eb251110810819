"""S3's events about new objects, as a queue holds them: at least once, in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from include.errors import StorageError
from include.media_store.client import sqs_client
from include.media_store.errors import error_code

__all__ = ["ObjectEvents", "ObjectMessage", "object_keys"]

WAIT_SECONDS = 20
_MOST = 10  # SQS hands out no more at once


@dataclass(frozen=True)
class ObjectMessage:
    """A message of the queue, and the keys that it names; none for a test event of S3's."""

    receipt: str
    keys: tuple[str, ...]


class ObjectEvents:
    """A queue that S3 tells of new objects. Methods block, and raise ``StorageError`` where the queue does not answer."""

    def __init__(self, queue_url: str, *, client: Any = None) -> None:
        self._queue_url = queue_url
        self._client = client or sqs_client()

    def receive(self, wait_seconds: int = WAIT_SECONDS) -> list[ObjectMessage]:
        """Wait for messages and return them; those that are not deleted come again."""
        with _translated():
            answer = self._client.receive_message(
                QueueUrl=self._queue_url, MaxNumberOfMessages=_MOST, WaitTimeSeconds=wait_seconds
            )
        return [ObjectMessage(message["ReceiptHandle"], object_keys(message["Body"])) for message in answer.get("Messages", ())]

    def delete(self, message: ObjectMessage) -> None:
        """Forget a message that was dealt with."""
        with _translated():
            self._client.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message.receipt)


def object_keys(body: str) -> tuple[str, ...]:
    """Return the keys that a message of S3 names, as S3 keeps them; none where it is no such message."""
    try:
        records = json.loads(body).get("Records", ())
        # S3 encodes keys as forms do: a blank is a plus sign.
        return tuple(unquote_plus(record["s3"]["object"]["key"]) for record in records)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise StorageError(f"The queue of uploads answered {error_code(error) or 'an error without a code'}.") from error
    except BotoCoreError as error:
        raise StorageError(f"The queue of uploads did not answer ({type(error).__name__}).") from error
