"""Several jobs at once in threads: most of them wait for a process, or for a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_parallel"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def in_parallel(
    function: Callable[[Item], Answer],
    items: Iterable[Item],
    *,
    at_once: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """Call ``function`` on every item, ``at_once`` (by default as many as there are processors), and return the answers in order.

    ``check`` is called before each; the first error is raised, and what has not begun then never begins.
    """

    def step(item: Item) -> Answer:
        check()
        return function(item)

    items = list(items)
    if len(items) < 2:
        # No thread for what would wait for it alone: a status that is asked for often has one.
        return [step(item) for item in items]
    with ThreadPoolExecutor(at_once or os.cpu_count() or 1) as pool:
        futures = [pool.submit(step, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
