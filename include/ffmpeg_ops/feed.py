"""Runs a media process that the caller feeds."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from include.errors import InternalError, TimedOut
from include.ffmpeg_ops.process import Child, Flag, Progress
from include.ffmpeg_ops.runner import AnyFlag, Command, Completed, command_line, outcome
from include.settings import Settings, get_settings

__all__ = ["Feed", "feed"]


class Feed:
    """A running command whose standard input the caller writes as it comes."""

    def __init__(self, command: Command, child: Child, cancelled: threading.Event | None) -> None:
        self._command = command
        self._child = child
        self._status: int | None = None
        self._error: BaseException | None = None
        self._closed = threading.Event()
        watch = (AnyFlag(self._closed, cancelled),)
        self._watcher = threading.Thread(target=self._watch, args=watch, name="ffmpeg-watch", daemon=True)
        self._watcher.start()
        self._poll = select.poll()
        self._poll.register(child.feed, select.POLLOUT)
        os.set_blocking(child.feed.fileno(), False)

    def write(self, data: bytes, timeout: float) -> None:
        """Write all of ``data``; raises what the process failed with, :class:`TimedOut` where it took nothing for so long."""
        rest = memoryview(data)
        while rest:
            ready = self._poll.poll(timeout * 1000)
            if not ready:
                raise TimedOut(f"{self._command.argv[0]} took no data for {timeout:g} seconds.")
            try:
                rest = rest[self._child.feed.write(rest) or 0 :]
            except BrokenPipeError:
                self._watcher.join()
                self._result()
                raise InternalError(f"{self._command.argv[0]} ended before its input did.") from None

    def check(self) -> None:
        """Raise what the process failed with, where it has ended."""
        if not self._watcher.is_alive():
            self._result()
            raise InternalError(f"{self._command.argv[0]} ended before its input did.")

    def finish(self, timeout: float) -> Completed:
        """Tell of the end of the input, and wait for that of the process; raises as :meth:`write` does."""
        self._child.feed.close()
        self._watcher.join(timeout)
        if self._watcher.is_alive():
            raise TimedOut(f"{self._command.argv[0]} did not finish within {timeout:g} seconds.")
        return self._result()

    def close(self) -> None:
        """End the process where it has not ended yet."""
        self._closed.set()
        self._watcher.join()
        self._child.end()

    def _watch(self, cancelled: Flag) -> None:
        try:
            self._status = self._child.wait(None, cancelled)
        except BaseException as error:  # raised again where the input is written
            self._error = error
            self._child.stop()

    def _result(self) -> Completed:
        if self._error is not None:
            raise self._error
        assert self._status is not None  # noqa: S101 - the watcher sets one of both
        return outcome(self._command, self._child, self._status, "")


@contextmanager
def feed(
    command: Command,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    cancelled: threading.Event | None = None,
    settings: Settings | None = None,
) -> Iterator[Feed]:
    """Run ``command``, which reads ``pipe:0``, and let the caller write that while it runs; no process is left behind.

    Cancelled, it ends and what the caller does next raises :class:`Cancelled`. The thread that enters is the one that writes and
    leaves; ``on_progress`` is called from another one.
    """
    settings = settings or get_settings()
    child = Child(command_line(command, True, settings), on_progress, True, fed=True)
    feeding = Feed(command, child, cancelled)
    try:
        yield feeding
    finally:
        feeding.close()
