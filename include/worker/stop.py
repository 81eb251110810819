"""What SIGTERM does to a worker: what is nearly done is finished, everything else is undone, and what hangs is ended.

A spot instance is announced gone two minutes ahead, but the container gets only its stop time (30 s on ECS, 10 s in Docker
unless told otherwise) between SIGTERM and SIGKILL.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable

__all__ = ["END_SECONDS", "FINISH_SECONDS", "stop_on_signals"]

logger = logging.getLogger(__name__)

FINISH_SECONDS = 12.0
END_SECONDS = 18.0


def stop_on_signals(cancelled: threading.Event, *, nearly_done: Callable[[], bool], status: int) -> None:
    """Set ``cancelled`` on SIGTERM and SIGINT, ``FINISH_SECONDS`` later where the work is nearly done.

    A process that is still there after ``END_SECONDS`` is ended with its children and the exit ``status``.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A handler interrupts the main thread anywhere, also where it holds a lock: it starts no thread and logs nothing.
        signal.signal(number, lambda *_: asked.set())

    def watch() -> None:
        asked.wait()
        began = time.monotonic()
        if nearly_done():
            logger.info("Asked to stop; the unit is nearly done and gets %g s to finish.", FINISH_SECONDS)
            time.sleep(FINISH_SECONDS)
        cancelled.set()
        time.sleep(max(0.0, END_SECONDS - (time.monotonic() - began)))
        _end(status)

    threading.Thread(target=watch, name="stop", daemon=True).start()


def _end(status: int) -> None:
    import psutil  # noqa: PLC0415 - only now, since every worker would wait for it

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(status)
