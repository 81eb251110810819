"""Sends an upload to YouTube, and holds a worker's slot only while it sends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from include.errors import Cancelled, MediaError, StorageError, TimedOut
from include.orchestration.metrics import record_relayed
from include.orchestration.youtube.destination import YouTubeDestination
from include.orchestration.youtube.triggers import RelayTrigger
from include.settings import get_settings
from include.uploads.youtube.errors import YouTubeUnavailable

if TYPE_CHECKING:
    from include.uploads.models import Upload
    from include.uploads.relay import Relay

__all__ = ["RelayOperator"]

logger = logging.getLogger(__name__)

FIRST_WAIT = 15.0
LONGEST_WAIT = 300.0
# With the waits between them about three quarters of an hour.
MOST_FAILURES = 12

# Then other tasks have their turn: a relay may take days, and a machine has few slots. It also is well below the task's deadline.
TURN_SECONDS = 600.0


class RelayOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Relays the upload that the run's conf names; skipped where YouTube is none of its destinations.

    It is deferred while the next part has not come, while another process relays, while YouTube cannot be reached, and for a
    moment after each turn of ten minutes. An error that is final is told in the upload's destination and fails the task at
    once. Returns the id of the video.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._cancelled = threading.Event()

    def make_relay(self, upload: Upload, cancelled: threading.Event) -> AbstractContextManager[Relay]:
        """Return what relays."""
        from include.orchestration.youtube.assemble import relay_of  # noqa: PLC0415  brings boto3

        return relay_of(upload, cancelled)

    def make_destination(self, context: Context) -> YouTubeDestination:
        """Return what is read and told."""
        return YouTubeDestination(context)

    def execute(self, context: Context) -> str | None:
        """Relay what is there; see the class."""
        return self._relay(context, failures=0)

    def resume(self, context: Context, event: Mapping[str, Any], failures: int) -> str | None:
        """Go on when the trigger has fired."""
        if event.get("late"):
            late = TimedOut(
                "Neither the next part nor the joining of the parts has come in time; the run's other tasks tell why."
            )
            self.make_destination(context).fail(late.message)
            raise AirflowFailException(late.message)
        return self._relay(context, failures)

    def on_kill(self) -> None:
        """Stop after the chunk that is being sent."""
        # In a thread: this is a signal handler, and what it has interrupted may hold the event's lock.
        threading.Thread(target=self._cancelled.set, daemon=True).start()

    def _relay(self, context: Context, failures: int) -> str | None:
        from include.uploads.youtube.ledger import LeaseTaken  # noqa: PLC0415  brings boto3

        destination = self.make_destination(context)
        upload = destination.upload()
        try:
            with self.make_relay(upload, self._cancelled) as relay:
                try:
                    relayed = relay.relay_available(TURN_SECONDS)
                finally:
                    # Only failures between which nothing arrives are counted.
                    failures = 0 if relay.sent else failures
                    record_relayed(relay.sent)
        except LeaseTaken as error:
            logger.info("%s", error.message)
            self._defer(upload, failures, not_before=error.until)
        except (YouTubeUnavailable, StorageError) as error:
            if failures >= MOST_FAILURES:
                destination.fail(error.message)
                raise AirflowFailException(f"{error.code}: {error.message}") from error
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2**failures)
            logger.warning("%s It is tried again in %g s.", error.message, wait)
            self._defer(upload, failures + 1, not_before=time.time() + wait)
        except Cancelled as error:
            if self._cancelled.is_set():
                raise
            problem = destination.upload().outcome.problem
            destination.fail(problem.message if problem else error.message)
            raise AirflowFailException(error.message) from error
        except MediaError as error:
            if error.retryable and context["ti"].try_number <= context["ti"].max_tries:
                raise
            destination.fail(error.message)
            raise AirflowFailException(f"{error.code}: {error.message}") from error
        else:
            if relayed.video_id:
                logger.info("YouTube has the video %s.", relayed.video_id)
                return relayed.video_id
            logger.info("YouTube has %d of %d bytes.", relayed.offset, upload.size)
            self._defer(upload, 0, awaits=relayed.awaits)
        return None

    def _defer(self, upload: Upload, failures: int, **arguments: Any) -> None:
        settings = get_settings()
        trigger = RelayTrigger(
            **upload.reference.model_dump(),
            poll_seconds=settings.upload_poll_seconds,
            since=time.time(),
            # Those that it waits for fail before: for want of a part, or at the deadline of a task.
            patience=settings.upload_part_timeout_seconds + settings.unit_timeout_seconds,
            **arguments,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"failures": failures})
