"""Looks after a live task beside its stream: whether a client has stopped it, and how far it has come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from include.errors import MediaError
from include.worker.job import Job
from include.worker.models import LiveState

__all__ = ["LiveWatch"]

logger = logging.getLogger(__name__)

SECONDS = 2.0


class LiveWatch:
    """A thread for as long as the block runs; ``stopped`` is set when ``cancelled.json`` is there.

    A store that does not answer holds up nothing but this.
    """

    def __init__(self, job: Job, state: Callable[[], LiveState]) -> None:
        self.stopped = threading.Event()
        self._job = job
        self._state = state
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live-watch", daemon=True)

    def __enter__(self) -> LiveWatch:
        # A task that was stopped while it waited does not begin.
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Look for the note, and write how far the task has come; raises what the store does."""
        if self._job.store.head(self._job.bucket, self._job.cancelled_key) is not None:
            self.stopped.set()
        self._job.write_live(self._state())

    def _watch(self) -> None:
        while not self._over.wait(SECONDS):
            try:
                self.look()
            except MediaError as error:
                logger.warning("The task's folder cannot be looked after just now: %s", error)
