"""``python -m include.worker``: run a work unit, or show one."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, TextIO

from include.errors import MediaError
from include.media_store.objects import S3ObjectStore
from include.settings import get_settings
from include.worker.execute import execute, load_unit
from include.worker.job import Job
from include.worker.models import UnitResult
from include.worker.watch import end_with_standard_input
from include.worker.workbench import now

__all__ = ["EXIT_CANCELLED", "EXIT_DONE", "EXIT_FAILED", "EXIT_RETRY", "exit_code", "main"]

EXIT_DONE, EXIT_FAILED, EXIT_RETRY, EXIT_CANCELLED = 0, 10, 11, 12

_HELP = """
Standard output of `run` is one JSON object a line:
  {"event": "progress", "phase": "encode", "done": 120, "total": 900, "unit": "frames", "fps": 41.2}
  {"event": "result", "result": {...}}     the last line
Log lines go to standard error. SIGTERM and SIGINT cancel: what was begun is undone or left to be continued.

Exit codes: 0 done, or found done; 10 failed for good; 11 failed, may be retried; 12 cancelled.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do what it says, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m include.worker", description=__doc__, epilog=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="run the work unit at an s3:// URI")
    run.add_argument("uri", metavar="URI", help="s3://bucket/.../units/unit-video-00007.json")
    run.add_argument("--watch-stdin", action="store_true", help="end, with all children, when standard input closes")
    show = commands.add_parser("show", help="print a work unit and its result")
    show.add_argument("uri", metavar="URI")
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return EXIT_DONE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # What the SDK has to say at INFO (where it found credentials) is of no use in a unit's log.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    return _run(options.uri, options.watch_stdin) if options.command == "run" else _show(options.uri)


def exit_code(result: UnitResult) -> int:
    """Return the exit code that tells of a result."""
    if result.status == "done":
        return EXIT_DONE
    error = result.error or {}
    if error.get("code") == "Cancelled":
        return EXIT_CANCELLED
    return EXIT_RETRY if error.get("retryable") else EXIT_FAILED


def _run(uri: str, watch_stdin: bool) -> int:
    cancelled = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: cancelled.set())
    if watch_stdin:
        end_with_standard_input()
    events = _take_standard_output()
    lock = threading.Lock()

    def emit(event: dict[str, Any]) -> None:
        with lock:
            events.write(json.dumps(event) + "\n")
            events.flush()

    try:
        result = execute(uri, store=S3ObjectStore(), settings=get_settings(), emit=emit, cancelled=cancelled)
    except MediaError as error:
        logging.getLogger(__name__).warning("%s", error)
        result = UnitResult(
            unit_id="unknown", status="failed", fingerprint="", error=error.to_document(), started_at=now(), finished_at=now()
        )
    emit({"event": "result", "result": result.model_dump(mode="json")})
    return exit_code(result)


def _take_standard_output() -> TextIO:
    """Keep standard output for events alone: whatever else would be printed there goes to standard error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _show(uri: str) -> int:
    store = S3ObjectStore()
    try:
        unit = load_unit(store, uri)
        job = Job(store, get_settings(), unit.bucket, unit.job_id)
        result = job.read_result(unit.id)
        print(f"unit {unit.id} of job {job.job_id}: {unit.label}")
        print(unit.model_dump_json(indent=2))
        if result is None:
            print("no result yet")
            return EXIT_DONE
        # The first and the last unit's fingerprints hold more than their documents, so they cannot be compared here.
        good = unit.task.kind in {"plan", "finish", "split", "merge"} or result.fingerprint == unit.fingerprint
        there = job.outputs_exist(result.outputs)
        print(f"result: {result.status}{'' if good else ', of another version'}{'' if there else ', outputs are gone'}")
        print(result.model_dump_json(indent=2))
    except MediaError as error:
        print(error, file=sys.stderr)
        return EXIT_RETRY if error.retryable else EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
