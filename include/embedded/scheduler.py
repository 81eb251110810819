"""Starts Airflow's scheduler after ending what a killed one has left.

LocalExecutor's workers are forked and hold both ends of their queue, so they never notice that their scheduler is gone: they
would stay for ever, a new set beside each new scheduler. Their tasks would go on, too, beside their own second attempts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

from include.embedded import processes

__all__ = ["main"]


def main() -> None:
    """End leftovers, then become the scheduler."""
    group_file = Path(os.environ["AIRFLOW_HOME"]) / "scheduler.pgid"
    ended = processes.end(_leftovers(group_file))
    if ended:
        print(f"ended {ended} processes that a killed scheduler had left", flush=True)
    group_file.write_text(str(os.getpgrp()))
    os.execv(sys.executable, [sys.executable, "-m", "airflow", "scheduler", "--skip-serve-logs"])  # noqa: S606


def _leftovers(group_file: Path) -> list[psutil.Process]:
    found = processes.members(os.environ[processes.MARKER], program=os.environ[processes.PROGRAM])
    try:
        group = int(group_file.read_text())
    except (FileNotFoundError, ValueError):
        return found
    # Workers hide their environment (see processes) but keep the process group and the session that they were born into.
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and os.getpgid(process.pid) == group and os.getsid(process.pid) == os.getsid(0):
                found += [process, *process.children(recursive=True)]
        except (psutil.Error, OSError):
            continue
    return [process for process in found if process.pid != os.getpid()]


if __name__ == "__main__":
    main()
