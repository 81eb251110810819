"""Processes that a test has started, told from those that the servers of the session start meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psutil

__all__ = ["watch_children"]


def watch_children() -> Callable[[], set[psutil.Process]]:
    """Return what tells which processes were started since, by us or by what we have started since, and still run.

    A stack that other tests share is there already; what it starts is none of theirs.
    """
    before = set(psutil.Process().children())

    def started() -> set[psutil.Process]:
        mine = set(psutil.Process().children()) - before
        for child in list(mine):
            with suppress(psutil.NoSuchProcess):
                mine.update(child.children(recursive=True))
        return mine

    return started
