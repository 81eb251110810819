"""Runs ffmpeg and ffprobe: the only place in the project that starts a media process.

No shell, no standard input, an allow-list of protocols and containers, a session of its own that dies with us, progress,
timeout, cancellation, and a failure told as an error of our own tree.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from include.errors import Cancelled, InternalError, OutputNotSupported, TimedOut
from include.ffmpeg_ops import log
from include.ffmpeg_ops.log import LogLine
from include.settings import Settings, get_settings

__all__ = ["Command", "Completed", "LogLine", "Progress", "Tools", "input_options", "run", "tools"]

logger = logging.getLogger(__name__)

LOG_LINES = 4000
GRACE_SECONDS = 5.0
OLDEST = 5

# Containers that hold their media themselves. Playlists (hls, dash, concat, sdp, image2) make ffmpeg open what the file's author
# names, so they are read only where we wrote them.
_CONTAINERS = (
    "mov,matroska,webm,mpegts,mpeg,mpegvideo,flv,avi,ogg,asf,mxf,gxf,ivf,nut,rm,dv,wtv,3gp,"
    "wav,w64,mp3,aac,ac3,eac3,flac,h264,hevc,av1,obu,m4v,yuv4mpegpipe"
)
_READERS = {"source": (), "concat": ("-f", "concat", "-safe", "0"), "hls": ("-f", "hls"), "image2": ("-f", "image2")}


@dataclass(frozen=True)
class Command:
    """A media process to run: ``argv[0]`` is the role ``ffmpeg`` or ``ffprobe``, which becomes the configured program."""

    argv: tuple[str, ...]
    outputs: Mapping[str, Path] = field(default_factory=dict)
    frames: int | None = None


@dataclass(frozen=True)
class Progress:
    """What ffmpeg has done so far; ``speed`` is in multiples of real time."""

    frames: int
    out_time: Fraction
    fps: float | None
    speed: float | None


@dataclass(frozen=True)
class Completed:
    """A process that ended well; ``frames`` is the last count of the first video output."""

    stdout: str
    log: tuple[LogLine, ...]
    wall_seconds: float
    cpu_seconds: float
    frames: int | None

    @cached_property
    def damage(self) -> tuple[str, ...]:
        """Messages of demuxers and decoders that tell of damage in a source."""
        return log.damage(self.log)


def input_options(kind: Literal["source", "concat", "hls", "image2"] = "source") -> tuple[str, ...]:
    """Return the options that stand before ``-i``: local files only, and ``source``s only in self-contained containers."""
    containers = _CONTAINERS if kind == "source" else f"{kind},{_CONTAINERS}"
    return ("-protocol_whitelist", "file,pipe", "-format_whitelist", containers, *_READERS[kind])


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
    progress = role == "ffmpeg" and not {"-", "pipe:1", "pipe:"}.intersection(command.argv)
    argv = [_program(role, settings), *_global_options(role, progress), *command.argv[1:]]
    logger.info("%s", shlex.join(argv))
    child = _Child(argv, on_progress if progress else None, progress)
    try:
        status = child.wait(timeout, cancelled)
    finally:
        child.end()
    if status != 0:
        private = {arg.removeprefix("file:") for arg in command.argv if arg.startswith(("/", "file:/"))}
        raise log.failure(role, status, tuple(child.log), private)
    return Completed(
        "" if progress else child.stdout.decode(errors="replace"),
        tuple(child.log),
        time.monotonic() - child.started,
        child.cpu_seconds,
        child.frames,
    )


def _program(role: str, settings: Settings) -> str:
    return {"ffmpeg": settings.ffmpeg, "ffprobe": settings.ffprobe}[role]


def _global_options(role: str, progress: bool) -> list[str]:
    options = ["-hide_banner", "-loglevel", "level+warning"]
    if role == "ffmpeg":
        options = ["-nostdin", "-y", *options]
    return [*options, "-progress", "pipe:1", "-stats_period", "0.5"] if progress else options


_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _environment() -> dict[str, str]:
    # A program that reads untrusted media gets no credentials, and no report file of its own making.
    private = ("AWS_", "MEDIA_", "AIRFLOW", "_AIRFLOW", "FFREPORT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return kept | {"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"}


class _Child:
    """A running process and what it has said."""

    def __init__(self, argv: list[str], on_progress: Callable[[Progress], None] | None, progress: bool) -> None:
        self.started = time.monotonic()
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.frames: int | None = None
        self.cpu_seconds = 0.0
        self.stdout = bytearray()
        self._tail = {"stdout": b"", "stderr": b""}
        self._progress = progress
        self._fields: dict[str, str] = {}
        self._on_progress = on_progress
        self._reaped = False
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
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

    def wait(self, timeout: float | None, cancelled: threading.Event | None) -> int:
        """Read until the process ends; return its exit status, negative for a signal."""
        deadline = None if timeout is None else self.started + timeout
        assert self._process.stdout is not None  # noqa: S101 - told to the type checker
        assert self._process.stderr is not None  # noqa: S101
        with selectors.DefaultSelector() as selector:
            for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
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
            if not self._reaped:
                self._signal(signal.SIGTERM)
                deadline = time.monotonic() + GRACE_SECONDS
                while not self._exited() and time.monotonic() < deadline:
                    time.sleep(0.02)
                self._reap()
        finally:
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()

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
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            self._process.send_signal(number)

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


@dataclass(frozen=True)
class Tools:
    """The ffmpeg and ffprobe in use, and what this ffmpeg can do."""

    ffmpeg: str
    ffprobe: str
    version: str = field(metadata={"doc": "as ffmpeg tells it, e.g. 5.1.9-0+deb12u1"})
    major: int
    filters: frozenset[str]
    encoders: frozenset[str]

    def has_filter(self, name: str) -> bool:
        """Tell whether this ffmpeg has the filter."""
        return name in self.filters

    def has_encoder(self, name: str) -> bool:
        """Tell whether this ffmpeg has the encoder."""
        return name in self.encoders


def tools(settings: Settings | None = None) -> Tools:
    """Look at the configured programs, once; raises :class:`OutputNotSupported` for an ffmpeg older than 5.0."""
    settings = settings or get_settings()
    return _tools(settings.ffmpeg, settings.ffprobe)


@lru_cache(maxsize=8)
def _tools(ffmpeg: str, ffprobe: str) -> Tools:
    def say(program: str, *arguments: str) -> str:
        child = _Child([program, "-hide_banner", *arguments], None, progress=False)
        try:
            status = child.wait(60, None)
        finally:
            child.end()
        if status != 0:
            raise InternalError(f"{Path(program).name} {' '.join(arguments)} failed with exit status {status}.")
        return child.stdout.decode(errors="replace")

    versions = {}
    for program in (ffmpeg, ffprobe):
        text = say(program, "-version")
        name = re.search(r"version (\S+)", text)
        # Git builds have no version number, but libavutil's is always told: 57 came with ffmpeg 5, 58 with 6, …
        library = re.search(r"libavutil\s+(\d+)\.", text)
        if name is None or library is None or int(library[1]) - 52 < OLDEST:
            raise OutputNotSupported(
                f"{Path(program).name} is {name[1] if name else 'unknown'}; version {OLDEST}.0 or newer is needed."
            )
        versions[program] = name[1], int(library[1]) - 52
    version, major = versions[ffmpeg]
    return Tools(
        ffmpeg,
        ffprobe,
        version,
        major,
        frozenset(re.findall(r"^ [T.][S.][C.]? *(\w+) +\S+->", say(ffmpeg, "-filters"), re.MULTILINE)),
        frozenset(re.findall(r"^ [VAS][F.][S.][X.][B.][D.] (\S+)", say(ffmpeg, "-encoders"), re.MULTILINE)),
    )
