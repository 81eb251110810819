"""Places of one machine that processes take by turns, so that as many work side by side as it has processors for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["slot"]

_POLL_SECONDS = 0.1


@contextmanager
def slot(folder: Path, count: int, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold one of the ``count`` slots of ``folder``; ``while_waiting`` is called ten times a second and may raise to give up.

    The system frees a slot when its holder dies, however it dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / f"{number}.lock") for number in range(count)]
    held = _free(locks)
    while held is None:
        while_waiting()
        time.sleep(_POLL_SECONDS)
        held = _free(locks)
    try:
        yield
    finally:
        held.release()


def _free(locks: list[FileLock]) -> FileLock | None:
    for lock in locks:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock
    return None
