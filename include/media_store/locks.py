"""Locks between the processes of one machine; the system frees them when their holder dies, however it dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["file_lock"]

_POLL_SECONDS = 0.25


@contextmanager
def file_lock(path: Path, while_waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file ``path``; ``while_waiting`` is called four times a second and may raise to give up.

    The file is there for as long as somebody holds or wants the lock, or its holder was killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_POLL_SECONDS)
            break
        except Timeout:
            if while_waiting is not None:
                while_waiting()
    try:
        yield
    finally:
        # By whoever holds it, so that it is never the file of somebody else's lock: who waits for it sees that it is gone, and
        # makes another.
        path.unlink(missing_ok=True)
        lock.release()
