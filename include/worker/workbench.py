"""What a unit works with: store, cache, media tools, clock, progress and the wish to stop."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import Cancelled, TimedOut
from include.media_store.cache import ObjectCache
from include.media_store.models import ObjectRef
from include.media_store.slots import slot
from include.settings import Settings
from include.worker.job import Job
from include.worker.media import MediaTools
from include.worker.progress import Progress

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["Workbench", "now", "processors"]


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def now() -> datetime:
    """Return the time, UTC, in whole seconds as all documents have it."""
    return datetime.now(timezone.utc).replace(microsecond=0)


@dataclass
class Workbench:
    """The place where one unit is worked on; ``phases`` collects what each phase cost."""

    store: ObjectStore
    settings: Settings
    job: Job
    media: MediaTools
    progress: Progress
    cancelled: threading.Event
    scratch: Path = Path()
    phases: dict[str, dict[str, float]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=now)
    seconds: float | None = None
    """how long the unit may take, where that is not ``MEDIA_UNIT_TIMEOUT_SECONDS``"""
    facts: dict[str, Any] = field(default_factory=dict)
    """further metrics, kept of a unit that fails, too"""

    def __post_init__(self) -> None:
        # A store may have served others before.
        self._bytes = self.store.bytes_read, self.store.bytes_written

    @property
    def cache(self) -> ObjectCache:
        """The local cache of objects."""
        return ObjectCache(self.settings)

    def check(self) -> None:
        """Raise ``Cancelled`` or ``TimedOut`` where the unit must stop."""
        if self.cancelled.is_set():
            raise Cancelled("The work was cancelled.")
        self.remaining()

    def remaining(self) -> float:
        """Return the seconds until the unit's deadline; ``TimedOut`` when it is past."""
        limit = self.seconds or self.settings.unit_timeout_seconds
        left = limit - (time.monotonic() - self.started)
        if left <= 0:
            setting = "" if self.seconds else " (MEDIA_UNIT_TIMEOUT_SECONDS)"
            raise TimedOut(f"The unit ran past its {limit:g} seconds{setting}.")
        return left

    def run_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of everything that starts a media process."""
        return {"settings": self.settings, "cancelled": self.cancelled, "timeout": self.remaining()}

    @contextmanager
    def phase(self, name: str, total: float = 0, unit: str = "") -> Iterator[None]:
        """Name what is done inside, measure it (children's processor time too), and let it be cancelled before it starts."""
        self.check()
        self.progress.begin(name, total, unit)
        wall, cpu = time.monotonic(), _cpu_seconds()
        try:
            yield
        finally:
            spent = self.phases.setdefault(name, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
            spent["wall_seconds"] = round(spent["wall_seconds"] + time.monotonic() - wall, 3)
            spent["cpu_seconds"] = round(spent["cpu_seconds"] + _cpu_seconds() - cpu, 3)

    @contextmanager
    def slot(self, name: str, slots: int) -> Iterator[None]:
        """Hold one of the ``slots`` that this machine has for work of the kind ``name``; waiting for it is a phase."""

        def waiting() -> None:
            self.check()
            self.progress.update(0)

        with ExitStack() as held:
            with self.phase("wait"):
                held.enter_context(slot(self.settings.cache_dir / name, slots, waiting))
            yield

    def fetch(self, ref: ObjectRef, name: str) -> Path:
        """Return a file of this unit's own, in scratch, with exactly the object version ``ref``."""

        def on_bytes(count: int) -> None:
            self.check()
            self.progress.advance(count)

        return self.cache.fetch(self.store, ref, self.scratch / name, on_bytes)

    def metrics(self) -> dict[str, Any]:
        """Return what the unit cost so far."""
        return {
            "wall_seconds": round(time.monotonic() - self.started, 3),
            "cpu_seconds": round(sum(phase["cpu_seconds"] for phase in self.phases.values()), 3),
            "bytes_read": self.store.bytes_read - self._bytes[0],
            "bytes_written": self.store.bytes_written - self._bytes[1],
            "phases": self.phases,
            **self.facts,
        }


def _cpu_seconds() -> float:
    # Children count once they are waited for, which the runner has done when a phase ends.
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
