"""Becomes Airflow's scheduler, after ending what a killed one has left and importing what all tasks need.

LocalExecutor's workers are forked and hold both ends of their queue, so they never notice that their scheduler is gone: they
would stay for ever, a new set beside each new scheduler. Their tasks would go on, too, beside their own second attempts.

Tasks are forks of those workers: what is imported here is there when a task starts, and costs it nothing. They give way to
Airflow itself and to the API.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import psutil

from include.embedded import processes
from include.settings import get_settings

__all__ = ["main"]

# What the DAG files and the tasks import, with the large packages behind it (boto3, pydantic-settings, Airflow's DAG parts).
PRELOADED = (
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.python",
    "airflow.sdk.execution_time.task_runner",
    "include.media_store.objects",
    "include.orchestration.report",
    "include.orchestration.submit",
    "include.worker.video_transcode",
)

PRELOADED_FOR_BATCH = (
    "airflow.providers.amazon.aws.hooks.batch_client",
    "include.orchestration.triggers.batch",
    "include.worker.execute",
)
# Of 0 (ours) to 19. Who asks is answered first, and tasks share what is left: a busy encoder would otherwise make the API wait.
NICENESS = 10


def main() -> None:
    """End leftovers, preload, and run the scheduler."""
    group_file = Path(os.environ["AIRFLOW_HOME"]) / "scheduler.pgid"
    ended = processes.end(_leftovers(group_file))
    if ended:
        print(f"ended {ended} processes that a killed scheduler had left", flush=True)
    group_file.write_text(str(os.getpgrp()))
    # Airflow wants its own configuration imported before anything else of it.
    from airflow.__main__ import main as airflow  # noqa: PLC0415

    for module in (*PRELOADED, *(PRELOADED_FOR_BATCH if get_settings().batch_units else ())):
        import_module(module)
    os.register_at_fork(after_in_child=partial(os.setpriority, os.PRIO_PROCESS, 0, NICENESS))
    # Log servers would listen on every interface; on one machine the web server reads the files itself.
    sys.argv[1:] = ["scheduler", "--skip-serve-logs"]
    airflow()


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
