"""Ends this process, and all it has started, with the process that started it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from include.worker.stop import END_SECONDS

__all__ = ["end_with_standard_input"]


def end_with_standard_input(gently: Callable[[], bool] = lambda: False) -> None:
    """Make this process the leader of its own group and kill that group when standard input ends.

    A parent that is killed, however hard, closes its end of the pipe; nothing else tells of it reliably. ``gently``: the process
    is asked to end, as by SIGTERM, and has the time that it has then.
    """
    if os.getpgrp() != os.getpid():
        with suppress(PermissionError):
            os.setpgid(0, 0)
    threading.Thread(target=_wait_for_end, args=(gently,), name="watch-stdin", daemon=True).start()


def _wait_for_end(gently: Callable[[], bool]) -> None:
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    if gently():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(END_SECONDS)
    import psutil  # noqa: PLC0415 - only now, since every worker would wait for it

    # Media processes have sessions of their own, so the group alone would miss them.
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
