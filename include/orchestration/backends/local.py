"""Runs work units as child processes of the task."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import psutil

from include.errors import Cancelled, InternalError, error_from_document
from include.orchestration.backends.base import Document
from include.settings import get_settings

__all__ = ["LocalBackend"]

ROOT = Path(__file__).resolve().parents[3]
WORKER = (sys.executable, "-m", "include.worker", "run")
# Secrets of Airflow and of the APIs, which a process that reads strangers' files has no use for.
PRIVATE_PREFIXES = ("AIRFLOW", "_AIRFLOW", "MEDIA_API_KEYS", "MEDIA_SIGNING_KEYS", "MEDIA_WEBHOOK_SECRETS")
GRACE_SECONDS = 10.0
KEPT_LINES = 15


class LocalBackend:
    """A child process in a session of its own, which ends when its standard input closes: a killed task leaves nothing."""

    def __init__(self, worker: Sequence[str] = ()) -> None:
        self._worker = tuple(worker or shlex.split(get_settings().worker_command) or WORKER)
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled_at: float | None = None

    def run(self, uri: str, *, on_progress: Callable[[Document], None], on_log: Callable[[str], None]) -> Document:
        """See :meth:`WorkBackend.run`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE_PREFIXES)}
        process = self._process = subprocess.Popen(
            [*self._worker, uri, "--watch-stdin"],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            result = self._follow(process, on_progress, on_log)
        finally:
            self._end(process)
        if self._cancelled_at is not None:
            raise Cancelled(f"The unit {uri} was stopped from outside.")
        if result["status"] != "done":
            raise error_from_document(result.get("error") or {})
        return result

    def cancel(self) -> None:
        """See :meth:`WorkBackend.cancel`."""
        self._cancelled_at = time.monotonic()
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.terminate()

    def _follow(
        self, process: subprocess.Popen[bytes], on_progress: Callable[[Document], None], on_log: Callable[[str], None]
    ) -> Document:
        """Read both streams to their ends."""
        # Threads only move lines, so that callbacks (and timeouts, which Airflow raises by signal) stay in this thread.
        lines: queue.Queue[tuple[str, bytes | None]] = queue.Queue()
        for name, stream in (("out", process.stdout), ("log", process.stderr)):
            threading.Thread(target=_pump, args=(name, stream, lines), daemon=True).start()
        result: Document | None = None
        last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        open_streams = 2
        while open_streams:
            try:
                name, line = lines.get(timeout=1)
            except queue.Empty:
                if self._cancelled_at is not None and time.monotonic() - self._cancelled_at > GRACE_SECONDS:
                    break
                continue
            if line is None:
                open_streams -= 1
                continue
            text = line.decode(errors="replace").rstrip()
            event = _event(text) if name == "out" else None
            if event is None:
                last_lines.append(text)
                on_log(text)
            elif event.get("event") == "progress":
                on_progress(event)
            elif event.get("event") == "result":
                result = event.get("result")
        if result is None and self._cancelled_at is None:
            raise InternalError(_describe(process.wait(), last_lines))
        return result or {"status": "failed"}

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the worker, and whatever it may have left, and wait for it."""
        children: list[psutil.Process] = []
        if process.poll() is None:
            with contextlib.suppress(psutil.Error):
                children = psutil.Process(process.pid).children(recursive=True)
            if self._cancelled_at is None:
                process.terminate()
            if process.stdin:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()


def _pump(name: str, stream: IO[bytes] | None, lines: queue.Queue[tuple[str, bytes | None]]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in stream or ():
            lines.put((name, line))
    lines.put((name, None))


def _event(text: str) -> Document | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "event" in document else None


def _describe(status: int, last_lines: Sequence[str]) -> str:
    if status == -signal.SIGKILL:
        how = "was killed, perhaps because the machine had no memory left"
    else:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
    return f"The worker {how} before it had a result." + (f" Its last line: {last_lines[-1]}" if last_lines else "")
