"""Shows what a unit in a local process tells, while it runs."""

from __future__ import annotations

import logging
import time

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowRuntimeError

from include.orchestration.backends.base import Document

__all__ = ["Follower", "log_line"]

logger = logging.getLogger(__name__)

# Storing costs the API server some 25 ms: often at first, later when there is something new to see.
STORE_SECONDS = (2.0, 10.0)
STORE_SHARE = 0.05
LOG_SECONDS = 10.0


class Follower:
    """Writes progress to the task state store and, less often, to the log; keeps the first and the last event."""

    def __init__(self, context: Context) -> None:
        self._store = context["task_state_store"]
        self._began = time.monotonic()
        self._stored = self._logged = float("-inf")
        self.first: Document = {}
        self.last: Document = {}

    def __call__(self, event: Document) -> None:
        """Take a progress event."""
        self.first, self.last = self.first or event, event
        now = time.monotonic()
        shortest, longest = STORE_SECONDS
        if now - self._stored >= min(max(shortest, STORE_SHARE * (now - self._began)), longest):
            self._stored = now
            try:
                self._store.set("progress", {name: value for name, value in event.items() if name != "event"})
            except AirflowRuntimeError as error:
                # The web server may be restarting; the next event is as good.
                logger.warning("Progress was not stored: %s", error)
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            rate = f", {event['fps']} frames/s" if event.get("fps") else ""
            logger.info("%s: %s of %s %s%s", event.get("phase", "work"), event["done"], event["total"], event["unit"], rate)


def log_line(text: str) -> None:
    """Write a line of a worker to the task's log."""
    logger.info("%s", text)
