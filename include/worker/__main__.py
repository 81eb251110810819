"""``python -m include.worker``: run a work unit, or show one."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

from include.errors import MediaError
from include.media_store.objects import S3ObjectStore
from include.settings import get_settings
from include.worker.container import ProgressObject, array_index, batch_job_id, unit_of_array
from include.worker.execute import execute, load_unit
from include.worker.job import Job
from include.worker.models import UnitResult
from include.worker.stop import stop_on_signals
from include.worker.watch import end_with_standard_input
from include.worker.workbench import now

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["EXIT_CANCELLED", "EXIT_DONE", "EXIT_FAILED", "EXIT_RETRY", "exit_code", "main"]

EXIT_DONE, EXIT_FAILED, EXIT_RETRY, EXIT_CANCELLED = 0, 10, 11, 12
# From here on only checks and uploads are left (see worker.progress).
NEARLY_DONE = 0.94

_HELP = """
Standard output of `run` is one JSON object a line:
  {"event": "progress", "phase": "encode", "done": 120, "total": 900, "unit": "frames", "fps": 41.2}
  {"event": "result", "result": {...}}     the last line
Log lines go to standard error. SIGTERM and SIGINT cancel: what was begun is undone or left to be continued. In a job of AWS
Batch a unit that is nearly done is finished. There, and where a callback is to be told, progress is also written to
<job>/progress/progress-<unit>.json.

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
    array = commands.add_parser("run-array", help="run one unit of an array job of AWS Batch")
    array.add_argument("uri", metavar="URI", help="s3://bucket/.../arrays/....json, a manifest of unit URIs")
    array.add_argument("--index", type=int, help="which of them (default: AWS_BATCH_JOB_ARRAY_INDEX)")
    show = commands.add_parser("show", help="print a work unit and its result")
    show.add_argument("uri", metavar="URI")
    commands.add_parser("cost", help="tell what a minute of video costs", add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if options.command == "cost":
        # Imported here: units have no use for tables of prices.
        return import_module("include.worker.cost").main(rest)  # type: ignore[no-any-return]
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command is None:
        parser.print_help()
        return EXIT_DONE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # What the SDK has to say at INFO (where it found credentials) is of no use in a unit's log.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    # These name whole addresses, with the passwords and signatures that are in them.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if options.command == "run":
        return _run(lambda store: options.uri, options.watch_stdin)
    if options.command == "run-array":
        return _run(lambda store: unit_of_array(store, options.uri, array_index() if options.index is None else options.index))
    return _show(options.uri)


def exit_code(result: UnitResult) -> int:
    """Return the exit code that tells of a result."""
    if result.status == "done":
        return EXIT_DONE
    error = result.error or {}
    if error.get("code") == "Cancelled":
        return EXIT_CANCELLED
    return EXIT_RETRY if error.get("retryable") else EXIT_FAILED


def _run(find: Callable[[ObjectStore], str], watch_stdin: bool = False) -> int:
    cancelled = threading.Event()
    told: dict[str, Any] = {}
    # A person who stops a worker wants it to stop; a machine that goes away leaves some seconds.
    job_id = batch_job_id()
    stop_on_signals(
        cancelled, nearly_done=lambda: job_id is not None and told.get("fraction", 0) >= NEARLY_DONE, status=EXIT_CANCELLED
    )
    if watch_stdin:
        # A recording is closed, wherever its stream is cut off.
        end_with_standard_input(gently=lambda: told.get("phase") == "live")
    events = _take_standard_output()
    lock = threading.Lock()

    def emit(event: dict[str, Any]) -> None:
        with lock:
            told.update(event)
            # Nobody listens any more where the parent is gone; that is not for this process to fail of.
            with suppress(BrokenPipeError):
                events.write(json.dumps(event) + "\n")
                events.flush()

    try:
        store, settings = S3ObjectStore(), get_settings()
        unit = load_unit(store, find(store))
        job = Job(store, settings, unit.bucket, unit.job_id)
        with ExitStack() as stack:
            tell: Callable[[dict[str, Any]], None] = emit
            if job_id is not None or job.read_callbacks():
                shown = stack.enter_context(ProgressObject(store, job.bucket, job.progress_key(unit.id), job=job_id or ""))
                tell = partial(_both, emit, shown)
            result = execute(unit, store=store, settings=settings, emit=tell, cancelled=cancelled)
    except MediaError as error:
        logging.getLogger(__name__).warning("%s", error)
        result = UnitResult(
            unit_id="unknown", status="failed", fingerprint="", error=error.to_document(), started_at=now(), finished_at=now()
        )
    emit({"event": "result", "result": result.model_dump(mode="json")})
    return exit_code(result)


def _both(first: Callable[[dict[str, Any]], None], second: Callable[[dict[str, Any]], None], event: dict[str, Any]) -> None:
    first(event)
    second(event)


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
        good = unit.is_of(result)
        there = job.outputs_exist(result.outputs)
        print(f"result: {result.status}{'' if good else ', of another version'}{'' if there else ', outputs are gone'}")
        print(result.model_dump_json(indent=2))
    except MediaError as error:
        print(error, file=sys.stderr)
        return EXIT_RETRY if error.retryable else EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
