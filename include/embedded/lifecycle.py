"""Starts, stops and shows a stack."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import filelock
import httpx

from include.embedded import processes, programs
from include.embedded.checks import StartError, check_machine, check_port
from include.embedded.environment import environment, search_path
from include.embedded.health import ProgramFailed, utc_now, wait_until_ready
from include.embedded.stack import ROOT, Stack, connect, default_state_dir, load, prepare, write_private
from include.settings import Settings

__all__ = ["down", "status", "up"]

START_TIMEOUT = 180.0


def up(state_dir: Path | None = None, *, airflow_port: int | None = None, moto_port: int | None = None) -> int:
    """Start the stack, wait until all of it answers and leave it running; return an exit status.

    Ports come from ``AIRFLOW_PORT`` (8080) and ``MOTO_PORT`` (5000), the folder from ``REELFLOW_STATE`` (``var``). When the
    start fails or is interrupted everything is stopped again and the end of the log that matters is shown.
    """
    folder = (state_dir or default_state_dir()).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / "lock", timeout=0), _interruptible():
            return _up(folder, airflow_port, moto_port)
    except filelock.Timeout:
        print(f"reelflow: another start or stop is at work in {folder}.", file=sys.stderr)
        return 1


def _up(folder: Path, airflow_port: int | None, moto_port: int | None) -> int:
    if running := connect(folder):
        print("reelflow is already running.")
        _show(running)
        return 0
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"  {time.monotonic() - began:5.1f} s  {text}", flush=True)

    os.environ["PATH"] = search_path()
    try:
        settings = Settings(_env_file=ROOT / ".env")
        stack = prepare(
            folder,
            airflow_port=airflow_port or _port("AIRFLOW_PORT", 8080),
            moto_port=moto_port or _port("MOTO_PORT", 5000),
            settings=settings,
        )
        print(f"==> starting reelflow; state and logs are in {folder}", flush=True)
        say(f"ffmpeg {check_machine(settings)}")
        processes.end(processes.members(stack.id, session=processes.session_of(folder)))
        _end_containers(stack)
        check_port(stack.airflow_port, "AIRFLOW_PORT")
        check_port(stack.moto_port, "MOTO_PORT")
    except (StartError, ValueError) as error:
        print(f"reelflow: {error}", file=sys.stderr)
        return 1
    try:
        _start(stack, settings, say)
    except BaseException as error:
        _stop(stack)
        _explain(stack, error)
        if isinstance(error, (StartError, KeyboardInterrupt, httpx.HTTPError)):
            return 1
        raise
    print(f"==> up after {time.monotonic() - began:.1f} s")
    _show(stack)
    return 0


def _start(stack: Stack, settings: Settings, say: Callable[[str], None]) -> None:
    for path in (stack.airflow_home, stack.logs):
        path.mkdir(parents=True, exist_ok=True)
    stack.save()
    write_private(stack.airflow_home / "passwords.json", json.dumps({stack.admin_user: stack.admin_password}) + "\n")
    variables = environment(stack, settings)
    _write_environment(stack, variables)
    _migrate(stack, variables, say)
    started = utc_now()
    supervisor = programs.start_supervisor(stack, variables)
    wait_until_ready(stack, settings, supervisor, started=started, timeout=START_TIMEOUT, say=say)


def _migrate(stack: Stack, variables: dict[str, str], say: Callable[[str], None]) -> None:
    """Create or migrate Airflow's database, unless this version of Airflow has done so before."""
    done = stack.airflow_home / "migrated"
    database = stack.airflow_home / "airflow.db"
    if database.exists() and done.exists() and done.read_text() == version("apache-airflow-core"):
        return
    with (stack.logs / "migrate.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=variables, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        if child.wait() != 0:
            raise ProgramFailed("migrate", f"ended with exit status {child.returncode}")
    # Readers and the one writer do not wait for each other then; the mode stays with the file.
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    done.write_text(version("apache-airflow-core"))
    say("the database is ready")


def _write_environment(stack: Stack, variables: dict[str, str]) -> None:
    """Write ``env``, for a shell that wants to speak to the stack: ``set -a; . var/env``."""
    prefixes = ("AIRFLOW_", "AWS_", "MEDIA_", "PYTHONPATH")
    lines = [f"{name}='{value}'" for name, value in sorted(variables.items()) if name.startswith(prefixes) and "'" not in value]
    write_private(stack.state_dir / "env", "\n".join(lines) + "\n")


def down(state_dir: Path | None = None) -> int:
    """Stop the stack and every process it has started; return an exit status."""
    folder = (state_dir or default_state_dir()).absolute()
    stack = load(folder)
    if stack is None:
        print(f"reelflow: nothing was ever started in {folder}.")
        return 0
    try:
        with filelock.FileLock(folder / "lock", timeout=0):
            ended = _stop(stack)
    except filelock.Timeout:
        print(f"reelflow: another start or stop is at work in {folder}.", file=sys.stderr)
        return 1
    print("reelflow is stopped." if ended else "reelflow was not running.")
    return 0


def _stop(stack: Stack) -> bool:
    session = processes.session_of(stack.state_dir)
    supervisor = processes.supervisor_of(stack.state_dir, stack.id)
    if supervisor:
        processes.end([supervisor], grace=20)
    ended = 0
    # Twice: a process may have started another one while the first sweep looked.
    for _ in range(2):
        ended += processes.end(processes.members(stack.id, session=session))
    ended += _end_containers(stack)
    for leftover in (stack.socket, stack.state_dir / "supervisord.pid"):
        leftover.unlink(missing_ok=True)
    return bool(supervisor or ended)


def _end_containers(stack: Stack) -> int:
    """End what moto's Batch has started, where the stack was started with units for it."""
    written = stack.state_dir / "env"
    if not written.exists() or "\nMEDIA_BATCH_UNITS='" not in written.read_text():
        return 0
    from include.embedded.batch import end_containers  # noqa: PLC0415  brings the client of Docker

    return end_containers(stack.aws_url)


def status(state_dir: Path | None = None) -> int:
    """Print what runs; return 0 if the stack does, else 3."""
    stack = connect(state_dir)
    if stack is None:
        print("reelflow is not running.")
        return 3
    for name, info in programs.states(stack).items():
        print(f"  {name:<14} {info['statename']:<9} {info['description']}")
    _show(stack)
    return 0


def _show(stack: Stack) -> None:
    print(f"""  Airflow   {stack.airflow_url}   user {stack.admin_user}, password {stack.admin_password}
  S3        {stack.aws_url}   bucket {stack.bucket}, credentials test/test, kept in memory until `make down`""")
    if stack.generated_api_keys:
        print(f"  API key   {stack.api_key}   (client demo; set MEDIA_API_KEYS for your own)")
    if stack.generated_signing_keys:
        client, public, private = stack.signing_key
        print(f"  tasks     public key {public}, private key {private}   (client {client}; set MEDIA_SIGNING_KEYS for your own)")
    print(f"  logs      {stack.logs}")


def _explain(stack: Stack, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        print("reelflow: interrupted; everything is stopped again.", file=sys.stderr)
        return
    print(f"reelflow: the start failed: {error} Everything is stopped again.", file=sys.stderr)
    if isinstance(error, ProgramFailed):
        log = stack.logs / ("supervisord.out" if error.program == "supervisord" else f"{error.program}.log")
        if log.exists():
            lines = log.read_text(errors="replace").splitlines()[-25:]
            print(f"--- the end of {log}", *lines, "---", sep="\n", file=sys.stderr)


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not (value.isdigit() and 0 < int(value) < 65536):
        raise StartError(f"{variable} wants a port number, not {value!r}.")
    return int(value)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, so that a killed start cleans up, too."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    except ValueError:  # not the main thread: the caller deals with signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
