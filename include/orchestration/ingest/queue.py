"""Deals with the messages of the queue that S3 tells of dropped objects: the task of the DAG ``ingest_queue``.

A message is deleted after its objects were claimed and their runs started, and not a moment before: whatever is killed, it comes
again, and a claim lets nothing happen twice. What cannot be read, or has failed as often as the queue allows, goes to its
dead-letter queue with the reason.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from include.errors import InternalError, InvalidInputData, MediaError, ParameterError
from include.ingest.models import Dispatched, Dropped
from include.media_store.object_events import read_events
from include.settings import get_settings

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from include.media_store.queues import DeadLetters, Message, Queue

__all__ = ["Drained", "dispatch_queue", "drain"]

logger = logging.getLogger(__name__)

# After so many failures in a row it is not the messages: they would only come nearer to the dead-letter queue.
FAILURES_IN_A_ROW = 3
# A run ends when there is nothing to do, or after this time, so that somebody sees what it did; the next one goes on.
LONGEST_SECONDS = 300.0
# An answer of an empty queue comes after it has asked all of SQS's servers.
WAIT_SECONDS = 1
# What must wait for another run comes again after this time.
WAITING_SECONDS = 30.0
SHOWN = 5


# Claims objects and starts their runs: include.ingest.dispatch.dispatch.
Dispatch = Callable[[list[Dropped]], list[Dispatched]]
# How many runs may be started now: include.ingest.claims.room.
Room = Callable[[], int]


@dataclass
class Drained:
    """What became of the messages that were received."""

    messages: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    dead: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def to_document(self) -> dict[str, Any]:
        """Return what the task returns: ``{"messages", "<fate>": n …}``; a fate counts objects."""
        return {"messages": self.messages, **self.fates}


def drain(
    queue: Queue,
    dead: DeadLetters,
    dispatch: Dispatch,
    room: Room,
    *,
    seconds: float = LONGEST_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Drained:
    """Deal with messages as long as there are some and there is room for their runs; never have more of them than there is room.

    A message whose objects cannot be dispatched stays in the queue and comes again; others go on, until several fail in a row.
    """
    done = Drained()
    in_a_row = 0
    end = clock() + seconds
    while clock() < end and in_a_row < FAILURES_IN_A_ROW and (places := room()) > 0:
        messages = queue.receive(WAIT_SECONDS, most=places)
        if not messages:
            break
        for message in messages:
            done.messages += 1
            failure = _deal_with(message, queue, dead, dispatch, done)
            in_a_row = in_a_row + 1 if failure else 0
            if in_a_row == FAILURES_IN_A_ROW:
                break
    return done


def dispatch_queue(context: Context) -> dict[str, Any]:
    """Drain the queue, after claims of killed runs were settled, and dead letters put back where the run's parameters want that.

    Raises ``InternalError`` where a message could not be dealt with (the task is tried again), ``InvalidInputData`` where one
    went to the dead-letter queue: that run is the sign of it.
    """
    from include.ingest.claims import room  # noqa: PLC0415  these bring boto3
    from include.ingest.dispatch import dispatch  # noqa: PLC0415
    from include.ingest.place import open_ingest  # noqa: PLC0415
    from include.ingest.reconcile import reconcile  # noqa: PLC0415
    from include.media_store.queues import Queue  # noqa: PLC0415
    from include.orchestration.ingest.runs import TaskIngestRuns  # noqa: PLC0415
    from include.orchestration.metrics import record_ingest  # noqa: PLC0415

    url = get_settings().ingest_queue_url
    if not url:
        raise ParameterError("MEDIA_INGEST_QUEUE_URL is not set: there is no queue to read.")
    queue = Queue(url)
    dead = queue.dead_letters()
    if context["params"].get("redrive") and context["ti"].try_number == 1:
        logger.info("%d messages are back from the dead-letter queue.", dead.redrive(queue))
    ingest, runs = open_ingest(), TaskIngestRuns()
    failure: MediaError | None = None
    try:
        # Where nobody looks into the folders no one else gives places back.
        reconcile(ingest, runs)
    except MediaError as error:
        failure = error
    done = drain(queue, dead, partial(dispatch, ingest, runs=runs), partial(room, ingest))
    record_ingest(done.fates)
    document = done.to_document() | {"dead_letters": dead.queue.waiting()}
    logger.info("Messages: %s", document)
    if document["dead_letters"]:
        logger.warning("%d messages lie in the dead-letter queue; a run with `redrive` puts them back.", document["dead_letters"])
    if done.dead:
        raise InvalidInputData(
            f"{len(done.dead)} of {done.messages} messages went to the dead-letter queue: {_listed(done.dead)}"
        )
    if done.failures:
        raise InternalError(f"{len(done.failures)} of {done.messages} messages will come again: {_listed(done.failures)}")
    if failure is not None:
        raise failure
    return document


def _deal_with(message: Message, queue: Queue, dead: DeadLetters, dispatch: Dispatch, done: Drained) -> bool:
    """Deal with one message; tell whether it failed."""
    reading = read_events(message.body)
    try:
        fates = dispatch([Dropped(event.bucket, event.key) for event in reading.events if event.created])
    except Exception as error:  # whatever it is, the message is not lost, and others need not wait for it
        reason = error.message if isinstance(error, MediaError) else f"{type(error).__name__}: {error}"
        logger.warning("Message %s failed for the %d. time: %s", message.id, message.receives, reason, exc_info=True)
        if message.receives >= dead.most_receives:
            dead.take(queue, message, reason)
            done.dead.append(f"{message.id}: {reason}")
        else:
            done.failures.append(f"{message.id}: {reason}")
        return True
    done.fates.update(fate.fate for fate in fates)
    if reading.problems:
        reason = "; ".join(dict.fromkeys(reading.problems))
        dead.take(queue, message, reason)
        done.dead.append(f"{message.id}: {reason}")
    elif later := [fate.seconds or WAITING_SECONDS for fate in fates if fate.fate in ("unsettled", "waiting")]:
        queue.postpone(message, max(later))
    else:
        queue.delete(message)
    return False


def _listed(reasons: list[str]) -> str:
    return "; ".join(reasons[:SHOWN]) + ("; …" if len(reasons) > SHOWN else "") + "."
