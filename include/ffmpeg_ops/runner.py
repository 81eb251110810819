"""Runs ffmpeg and ffprobe: the only place in the project that starts a media process.

No shell, no standard input, an allow-list of protocols and containers, a session of its own that dies with us, progress,
timeout, cancellation, and a failure told as an error of our own tree.
"""

from __future__ import annotations

import logging
import select
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from include.ffmpeg_ops import log
from include.ffmpeg_ops.log import LogLine
from include.ffmpeg_ops.process import Child, Flag, Progress
from include.ffmpeg_ops.redaction import redacted
from include.ffmpeg_ops.tools import Tools, tools
from include.settings import Settings, get_settings

__all__ = [
    "ANALYSIS",
    "AnyFlag",
    "Command",
    "Completed",
    "LogLine",
    "Progress",
    "Stream",
    "Tools",
    "command_line",
    "input_options",
    "outcome",
    "run",
    "stream",
    "tools",
]

logger = logging.getLogger(__name__)

# How much ffprobe may read before it tells what the streams are. By default it gives up after five seconds of sound, and then
# says nothing of the pixels and colours of a video that starts later.
ANALYSIS = ("-probesize", str(50 * 10**6), "-analyzeduration", str(3600 * 10**6))

# Containers that hold their media themselves. Playlists (hls, dash, concat, sdp, image2) make ffmpeg open what the file's author
# names, so they are read only where we wrote them.
_CONTAINERS = (
    "mov,matroska,webm,mpegts,mpeg,mpegvideo,flv,avi,ogg,asf,mxf,gxf,ivf,nut,rm,dv,wtv,3gp,"
    "wav,w64,mp3,aac,ac3,eac3,flac,h264,hevc,av1,obu,m4v,yuv4mpegpipe"
)
# What ffmpeg ends with after a polite signal, its outputs finished.
_INTERRUPTED = 255
_STANDARD_OUTPUT = {"-", "pipe:1", "pipe:"}
_READERS = {"source": (), "url": (), "concat": ("-f", "concat", "-safe", "0"), "hls": ("-f", "hls"), "image2": ("-f", "image2")}


@dataclass(frozen=True)
class Command:
    """A media process to run: ``argv[0]`` is the role ``ffmpeg`` or ``ffprobe``, which becomes the configured program."""

    argv: tuple[str, ...]
    outputs: Mapping[str, Path] = field(default_factory=dict)
    frames: int | None = None


@dataclass(frozen=True)
class Completed:
    """A process that ended well; ``frames`` is the last count of the first video output, ``private`` are its files' paths."""

    stdout: str
    log: tuple[LogLine, ...]
    wall_seconds: float
    cpu_seconds: float
    frames: int | None
    private: frozenset[str] = frozenset()

    @cached_property
    def damage(self) -> tuple[str, ...]:
        """Messages of demuxers and decoders that tell of damage in a source, without paths of ours."""
        return log.damage(self.log, self.private)


def input_options(kind: Literal["source", "url", "concat", "hls", "image2"] = "source") -> tuple[str, ...]:
    """Return the options that stand before ``-i``: local files only, and ``source``s only in self-contained containers.

    ``url`` is a source at an address that we have made ourselves; it may not refer to files.
    """
    containers = _CONTAINERS if kind in {"source", "url"} else f"{kind},{_CONTAINERS}"
    protocols = "http,https,tls,tcp,httpproxy" if kind == "url" else "file,pipe"
    return ("-protocol_whitelist", protocols, "-format_whitelist", containers, *_READERS[kind])


def run(
    command: Command,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    timeout: float | None = None,
    cancelled: threading.Event | None = None,
    settings: Settings | None = None,
) -> Completed:
    """Run ``command`` to its end; no process of it is left behind, whatever happens.

    Raises :class:`TimedOut` after ``timeout`` seconds, :class:`Cancelled` when the event is set, and what
    :func:`include.ffmpeg_ops.log.failure` makes of a failure. Partial outputs stay where they are: the caller owns the folder.
    """
    settings = settings or get_settings()
    role = command.argv[0]
    # Progress shares standard output, unless the command itself writes there.
    progress = role == "ffmpeg" and not _STANDARD_OUTPUT.intersection(command.argv)
    child = Child(command_line(command, progress, settings), on_progress if progress else None, progress)
    try:
        status = child.wait(timeout, cancelled)
    finally:
        child.end()
    return outcome(command, child, status, "" if progress else child.stdout.decode(errors="replace"))


class Stream:
    """A running command whose standard output the caller reads as it comes."""

    def __init__(self, command: Command, child: Child, timeout: float | None, cancelled: threading.Event | None) -> None:
        self.completed: Completed | None = None
        self._command = command
        self._child = child
        self._status: int | None = None
        self._error: BaseException | None = None
        self._closed = threading.Event()
        self._interrupted = False
        watch = (timeout, AnyFlag(self._closed, cancelled))
        self._watcher = threading.Thread(target=self._watch, args=watch, name="ffmpeg-watch", daemon=True)
        self._watcher.start()

    @property
    def log(self) -> tuple[LogLine, ...]:
        """What the process has said so far."""
        return tuple(self._child.log)

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` (bytes) and return how much was read: less than its length at the end of the output alone.

        At the end the process has ended, too: :attr:`completed` is set, or what :func:`run` raises is raised.
        """
        filled = 0
        while filled < len(buffer):
            count = self._child.pipe.readinto(buffer[filled:])
            if not count:
                self._finish()
                break
            filled += count
        return filled

    def read(self, most: int, timeout: float) -> bytes | None:
        """Return what there is, up to ``most`` bytes; ``None`` where nothing came in time; the end is as of :meth:`readinto`."""
        poll = select.poll()
        poll.register(self._child.pipe, select.POLLIN)
        if not poll.poll(timeout * 1000):
            return None
        data = self._child.pipe.read(most)
        if not data:
            self._finish()
        return data

    def interrupt(self) -> None:
        """Ask the process to end with what it has; its output is read to the end as ever, which is no failure then."""
        self._interrupted = True
        self._child.interrupt()

    def close(self) -> None:
        """End the process where it has not ended yet."""
        self._closed.set()
        self._watcher.join()
        self._child.end()

    def _watch(self, timeout: float | None, cancelled: Flag) -> None:
        try:
            self._status = self._child.wait(timeout, cancelled)
        except BaseException as error:  # raised again where the output is read
            self._error = error
            self._child.stop()

    def _finish(self) -> None:
        self._watcher.join()
        if self._error is not None:
            raise self._error
        assert self._status is not None  # noqa: S101 - the watcher sets one of both
        if self._interrupted and self._status == _INTERRUPTED:
            self._status = 0
        self.completed = outcome(self._command, self._child, self._status, "")


class AnyFlag:
    """Set when one of several events is."""

    def __init__(self, *events: threading.Event | None) -> None:
        self._events = [event for event in events if event is not None]

    def is_set(self) -> bool:
        """Tell whether one of them is."""
        return any(event.is_set() for event in self._events)


@contextmanager
def stream(
    command: Command,
    *,
    timeout: float | None = None,
    cancelled: threading.Event | None = None,
    settings: Settings | None = None,
) -> Iterator[Stream]:
    """Run ``command``, which writes to ``pipe:1``, and let the caller read that while it runs.

    As with :func:`run` no process is left behind, and what it raises is raised where the end of the output is read. A caller that
    leaves before the end ends the process and is told nothing. The thread that enters is the one that reads and leaves.
    """
    settings = settings or get_settings()
    if not _STANDARD_OUTPUT.intersection(command.argv):
        raise ValueError("a streaming command writes to pipe:1")
    child = Child(command_line(command, False, settings), None, False, piped=True)
    reading = Stream(command, child, timeout, cancelled)
    try:
        yield reading
    finally:
        reading.close()


def command_line(command: Command, progress: bool, settings: Settings) -> list[str]:
    """Return what is started, and log it, without its secrets; with ``progress`` it is told on standard output."""
    role = command.argv[0]
    argv = [_program(role, settings), *_global_options(role, progress), *command.argv[1:]]
    logger.info("%s", redacted(shlex.join(argv), command.argv))
    return argv


def outcome(command: Command, child: Child, status: int, stdout: str) -> Completed:
    """Return how a process ended; raise what its failure means."""
    role = command.argv[0]
    private = frozenset(arg.removeprefix("file:") for arg in command.argv if arg.startswith(("/", "file:/")))
    if status != 0 or log.lost_output(child.log) or log.no_decoder(child.log):
        error = log.failure(role, status, tuple(child.log), private)
        raise type(error)(redacted(error.message, command.argv))
    return Completed(stdout, tuple(child.log), time.monotonic() - child.started, child.cpu_seconds, child.frames, private)


def _program(role: str, settings: Settings) -> str:
    return {"ffmpeg": settings.ffmpeg, "ffprobe": settings.ffprobe}[role]


def _global_options(role: str, progress: bool) -> list[str]:
    options = ["-hide_banner", "-loglevel", "level+warning"]
    if role == "ffmpeg":
        options = ["-nostdin", "-y", *options]
    return [*options, "-progress", "pipe:1", "-stats_period", "0.5"] if progress else options
