"""Waits until every part of a starting stack answers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

import httpx

from include.embedded import programs
from include.embedded.checks import StartError
from include.embedded.stack import ROOT, Stack
from include.settings import Settings

__all__ = ["StackClient", "wait_until_ready"]

COMPONENTS = ("scheduler", "dag_processor", "triggerer")


class StackClient:
    """Airflow's web server as the administrator."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        # No proxy for the loopback, whatever the environment says.
        self.http = httpx.Client(base_url=stack.airflow_url, timeout=30, trust_env=False)

    def log_in(self) -> bool:
        """Get a token; raises :class:`httpx.HTTPError` while there is none to have."""
        credentials = {"username": self._stack.admin_user, "password": self._stack.admin_password}
        answer = self.http.post("/auth/token", json=credentials).raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return True

    def set_pools(self, settings: Settings) -> bool:
        """Create the pools of work units, or give them their slots; raises :class:`httpx.HTTPError` where that fails."""
        return all(self._set_pool(name, *pool) for name, pool in settings.pools.items())

    def _set_pool(self, name: str, slots: int, description: str) -> bool:
        # Ask first: beside writes of running tasks, a write may hold up the server until SQLite gives up.
        found = self.http.get(f"/api/v2/pools/{name}")
        if found.is_success and found.json()["slots"] == slots:
            return True
        pool = {"name": name, "slots": slots, "include_deferred": True, "description": description}
        answer = self.http.post("/api/v2/pools", json=pool)
        if answer.status_code == httpx.codes.CONFLICT:
            answer = self.http.patch(f"/api/v2/pools/{name}", json={"pool": name, "slots": slots, "include_deferred": True})
        return answer.raise_for_status().is_success

    def answers(self, path: str) -> bool:
        """Ask for ``path`` with the first client's key; raises :class:`httpx.HTTPError` where that fails."""
        return self.http.get(path, headers={"x-api-key": self._stack.api_key}).raise_for_status().is_success

    def dags(self) -> set[str]:
        """Return the ids of the DAGs that are known."""
        return {dag["dag_id"] for dag in self.http.get("/api/v2/dags").raise_for_status().json()["dags"]}

    def import_errors(self) -> list[str]:
        """Return what could not be imported: file and the last line of the trace."""
        errors = self.http.get("/api/v2/importErrors").raise_for_status().json()["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def alive_since(self, moment: datetime) -> dict[str, bool]:
        """Tell for each of Airflow's components whether it gave a sign of life after ``moment``."""
        health = self.http.get("/api/v2/monitor/health").raise_for_status().json()
        beats = {name: (health.get(name) or {}).get(f"latest_{name}_heartbeat") for name in COMPONENTS}
        return {name: beat is not None and datetime.fromisoformat(beat) >= moment for name, beat in beats.items()}


def wait_until_ready(
    stack: Stack,
    settings: Settings,
    supervisor: subprocess.Popen[bytes],
    *,
    started: datetime,
    timeout: float,
    say: Callable[[str], None],
) -> None:
    """Return when moto, the web server, scheduler, DAG processor and triggerer answer and a run would start at once.

    Raises :class:`StartError` when supervisord gives up on a program, a DAG cannot be imported or ``timeout`` seconds pass.
    """
    deadline = time.monotonic() + timeout
    with httpx.Client(trust_env=False, timeout=5) as http:
        _wait("moto", lambda: http.get(f"{stack.aws_url}/{stack.bucket}").is_success, supervisor, stack, deadline)
    say("moto answers")
    client = StackClient(stack)
    with client.http:
        _wait("api-server", client.log_in, supervisor, stack, deadline)
        # A scheduler with hundreds of runs to catch up on may keep the database busy for a while.
        _wait("api-server", partial(client.set_pools, settings), supervisor, stack, deadline)
        say("api-server answers")
        for name in COMPONENTS:
            _wait(name.replace("_", "-"), partial(_is_alive, client, name, started), supervisor, stack, deadline)
            say(f"{name.replace('_', '-')} is alive")
        expected = {path.stem for path in (ROOT / "dags").glob("[!_]*.py")}

        def parsed() -> bool:
            if errors := client.import_errors():
                raise StartError("A DAG cannot be imported: " + "; ".join(errors))
            return expected <= client.dags()

        _wait("dag-processor", parsed, supervisor, stack, deadline)
        say(f"{len(expected)} DAGs are parsed")
        # Both are made at their first request, which takes seconds on a busy machine: not while a run waits for it.
        for path in ("/execution/health", "/prod/openapi.json"):
            _wait("api-server", partial(client.answers, path), supervisor, stack, deadline)
        say("the execution API and the contracts answer")


def _is_alive(client: StackClient, name: str, started: datetime) -> bool:
    return client.alive_since(started)[name]


def _wait(name: str, ready: Callable[[], bool], supervisor: subprocess.Popen[bytes], stack: Stack, deadline: float) -> None:
    checked = time.monotonic()
    while True:
        try:
            if ready():
                return
        except (httpx.HTTPError, KeyError):
            pass
        now = time.monotonic()
        if supervisor.poll() is not None:
            raise ProgramFailed("supervisord", f"ended with exit status {supervisor.returncode}")
        if now - checked > 2:
            checked = now
            for program, info in programs.states(stack).items():
                if info["statename"] == "FATAL":
                    raise ProgramFailed(program, "does not start")
        if now > deadline:
            raise ProgramFailed(name, "did not answer in time")
        time.sleep(0.25)


class ProgramFailed(StartError):
    """A program did not come up; its log says why."""

    def __init__(self, program: str, what: str) -> None:
        super().__init__(f"{program} {what}.")
        self.program = program


def utc_now() -> datetime:
    """Return the current time, aware."""
    return datetime.now(timezone.utc)
