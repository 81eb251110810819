"""One child process: started without a shell, read while it runs, ended with all of its group."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import io
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

from include.errors import Cancelled, InternalError, TimedOut
from include.ffmpeg_ops import log
from include.ffmpeg_ops.log import LogLine

__all__ = ["Child", "Flag", "Progress"]

LOG_LINES = 4000
PIPE_BYTES = 1 << 20
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Progress:
    """What ffmpeg has done so far; ``speed`` is in multiples of real time."""

    frames: int
    out_time: Fraction
    fps: float | None
    speed: float | None


class Flag(Protocol):
    """What can be asked whether it is set: a :class:`threading.Event`, or several."""

    def is_set(self) -> bool:
        """Tell whether it is."""


_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_FORKING = threading.Lock()


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _widen(pipe: io.FileIO) -> None:
    # Pictures are larger than the 64 KiB of a pipe; a system that allows no more just switches more often.
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out of the child between fork and exec.

    There it may come upon a decoder of PyAV and wait for its threads, which only the parent has, for ever.
    """
    with _FORKING:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()


def _environment() -> dict[str, str]:
    # A program that reads untrusted media gets no credentials, and no report file of its own making.
    private = ("AWS_", "MEDIA_", "AIRFLOW", "_AIRFLOW", "FFREPORT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return kept | {"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"}


class Child:
    """A running process and what it has said.

    With ``piped`` its standard output is left to a reader of :attr:`pipe`, in the thread that started it; with ``fed`` that
    thread writes to :attr:`feed`, its standard input. :meth:`wait` then runs in another one.
    """

    def __init__(
        self,
        argv: list[str],
        on_progress: Callable[[Progress], None] | None,
        progress: bool,
        *,
        piped: bool = False,
        fed: bool = False,
    ) -> None:
        self.started = time.monotonic()
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.frames: int | None = None
        self.cpu_seconds = 0.0
        self.stdout = bytearray()
        self._tail = {"stdout": b"", "stderr": b""}
        self._progress = progress
        self._fields: dict[str, str] = {}
        self._on_progress = on_progress
        self._piped = piped
        self._reaped = False
        try:
            with _no_collection():
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    env=_environment(),
                    start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call through a library loaded before the fork
                )
        except OSError as error:
            raise InternalError(
                f"{Path(argv[0]).name} cannot be started ({error.strerror}); install ffmpeg or set "
                "MEDIA_FFMPEG and MEDIA_FFPROBE."
            ) from error
        if piped:
            _widen(self.pipe)

    @property
    def pipe(self) -> io.FileIO:
        """The process's standard output, unbuffered."""
        assert self._process.stdout is not None  # noqa: S101 - told to the type checker
        return cast(io.FileIO, self._process.stdout)

    @property
    def feed(self) -> io.FileIO:
        """The process's standard input, unbuffered."""
        assert self._process.stdin is not None  # noqa: S101 - told to the type checker
        return cast(io.FileIO, self._process.stdin)

    def wait(self, timeout: float | None, cancelled: Flag | None) -> int:
        """Read until the process ends; return its exit status, negative for a signal."""
        deadline = None if timeout is None else self.started + timeout
        assert self._process.stderr is not None  # noqa: S101
        streams = {"stderr": self._process.stderr} if self._piped else {"stdout": self.pipe, "stderr": self._process.stderr}
        with selectors.DefaultSelector() as selector:
            for name, stream in streams.items():
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, name)
            while not self._exited():
                if cancelled is not None and cancelled.is_set():
                    raise Cancelled("The work was cancelled.")
                if deadline is not None and time.monotonic() > deadline:
                    raise TimedOut(f"The process ran past its {timeout:g} seconds.")
                if not selector.get_map():
                    time.sleep(0.01)
                for key, _ in selector.select(0.1) if selector.get_map() else ():
                    if not self._read(key.data, key.fd):
                        selector.unregister(key.fileobj)
            for key in list(selector.get_map().values()):
                while self._read(key.data, key.fd):
                    pass
        if self._tail["stderr"]:
            self._line("stderr", self._tail["stderr"])
        return self._reap()

    def end(self) -> None:
        """Make sure that the process and all of its group are gone."""
        try:
            self.stop()
        finally:
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()

    def interrupt(self) -> None:
        """Ask the process to end by itself, and to write what it still holds."""
        if not self._reaped:
            self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """As :meth:`end`, but what the process has written can still be read."""
        if self._reaped:
            return
        # One that waits for its output to be read would not heed a polite signal, and has no file to finish.
        self._signal(signal.SIGKILL if self._piped else signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while not self._exited() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._reap()

    def _exited(self) -> bool:
        # WNOWAIT leaves a zombie, which keeps the process id ours until the group has been killed.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _reap(self) -> int:
        self._signal(signal.SIGKILL)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._reaped = True
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _read(self, name: str, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if name == "stdout" and not self._progress:
            self.stdout += data
            return bool(data)
        *lines, rest = (self._tail[name] + data).split(b"\n")
        # A line without end is ffmpeg's hex dump or binary junk: no more of it is kept than helps.
        self._tail[name] = rest[-4096:]
        for line in lines:
            self._line(name, line)
        return bool(data)

    def _line(self, name: str, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if name == "stderr":
            if text:
                self.log.append(log.parse(text))
            return
        key, _, value = text.partition("=")
        self._fields[key] = value.strip()
        if key != "progress":
            return
        progress = _parse_progress(self._fields)
        self._fields = {}
        self.frames = progress.frames
        if self._on_progress is not None:
            self._on_progress(progress)


def _parse_progress(fields: Mapping[str, str]) -> Progress:
    def number(name: str) -> float | None:
        match = re.match(r"\s*(-?\d+(\.\d+)?)", fields.get(name, ""))
        return float(match[1]) if match else None

    return Progress(
        frames=int(number("frame") or 0),
        out_time=Fraction(int(number("out_time_us") or 0), 1_000_000),
        fps=number("fps"),
        speed=number("speed"),
    )
