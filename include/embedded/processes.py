"""Finds and ends the processes of a stack.

Every process of a stack inherits ``REELFLOW_STACK=<id>``. Airflow's task supervisors make themselves non-dumpable, which hides
their environment from users other than root, and what Airflow gives a title has written it over its environment; those are
found by supervisord's session, which they keep when it is gone, and as descendants of others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

__all__ = ["MARKER", "PROGRAM", "end", "members", "session_of", "supervisor_of"]

MARKER = "REELFLOW_STACK"
PROGRAM = "REELFLOW_PROGRAM"


def supervisor_of(state_dir: Path, stack_id: str) -> psutil.Process | None:
    """Return the running supervisord of a stack, or ``None``."""
    try:
        process = psutil.Process(int((state_dir / "supervisord.pid").read_text()))
        if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARKER) == stack_id:
            return process
    except (FileNotFoundError, ValueError, psutil.Error):
        pass
    return None


def session_of(state_dir: Path) -> int | None:
    """Return the session of a stack's last supervisord, running or killed; ``None`` after a clean stop."""
    try:
        return int((state_dir / "supervisord.pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def members(stack_id: str, *, session: int | None = None, program: str | None = None) -> list[psutil.Process]:
    """Return the living processes of a stack (or of one program of it), without this process and its ancestors."""
    mine = {os.getpid(), *(process.pid for process in psutil.Process().parents())}

    def belongs(process: psutil.Process) -> bool:
        try:
            environment = process.environ()
        except psutil.AccessDenied:
            environment = {}
        if MARKER not in environment:
            # Hidden, perhaps. A session bears the number of its first process, which may be another's by now: hence the name.
            return program is None and session is not None and _session(process) == session and _is_airflow(process)
        return environment[MARKER] == stack_id and program in (None, environment.get(PROGRAM))

    found = {process.pid: process for process in _select(psutil.process_iter(), belongs)}
    for process in list(found.values()):
        with contextlib.suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True)}
    return [process for pid, process in found.items() if pid not in mine and _alive(process)]


def end(processes: Iterable[psutil.Process], *, grace: float = 0.0) -> int:
    """End processes: SIGTERM, ``grace`` seconds later SIGKILL; return how many there were. Never raises."""
    living = list(processes)
    count = len(living)
    if grace:
        for process in living:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, living = psutil.wait_procs(living, timeout=grace)
    for process in living:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(living, timeout=5)
    return count


def _select(processes: Iterable[psutil.Process], belongs: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    chosen = []
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            if belongs(process):
                chosen.append(process)
    return chosen


def _session(process: psutil.Process) -> int:
    return os.getsid(process.pid)


def _is_airflow(process: psutil.Process) -> bool:
    return "airflow" in " ".join(process.cmdline())


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
