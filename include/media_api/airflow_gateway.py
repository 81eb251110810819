"""The gateway inside Airflow's own API server: the public REST API, called in process."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from urllib.parse import quote

import httpx

from include.errors import InternalError, ParameterError
from include.media_api.coalesced import Coalesced
from include.media_api.gateway import Run, RunPage, TaskState
from include.media_api.own_loop import OwnLoopTransport

__all__ = ["InProcessGateway", "airflow_app", "mint_token"]

log = logging.getLogger(__name__)

_PAGE = 100  # Airflow's own cap on rows of a list
_AT_ONCE = 8
_ATTEMPTS = 4
_AT_WORK = {"running", "deferred", "restarting"}


class InProcessGateway:
    """An :class:`~include.media_api.gateway.AirflowGateway` over Airflow's public REST API.

    ``transport`` leads to that API and ``token`` makes the bearer token of one call; by default the API server's own app in
    this process, and a token of its auth manager for ``user``. A call that takes longer than ``seconds`` is given up.
    """

    def __init__(
        self,
        user: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        token: Callable[[str], str] | None = None,
        seconds: float = 60,
    ) -> None:
        self._user = user
        self._token = token or mint_token
        self._transport = transport
        self._seconds = seconds
        self._client: httpx.AsyncClient | None = None
        self._joined_runs = Coalesced(self._all_runs)
        self._joined_tasks = Coalesced(self._all_tasks)
        self._readers = asyncio.Semaphore(_AT_ONCE)
        # SQLite has one writer; the others would poll for their turn, each in a thread of the server.
        self._writer = asyncio.Semaphore(1)

    async def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str | None = None) -> bool:
        """Create a run; ``False`` where there is one of that id already."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf), "note": note and note[:1000]}
        answer = await self._call("POST", f"/dags/{_quoted(dag_id)}/dagRuns", {200, 409}, json=body)
        return answer.status_code == 200

    async def runs(self, dag_id: str, run_ids: Collection[str]) -> dict[str, Run]:
        """Return those of the runs that exist, by id."""
        return await self._joined_runs(dag_id, run_ids)

    async def tasks(self, dag_id: str, run_ids: Collection[str]) -> dict[str, tuple[TaskState, ...]]:
        """Return the task instances of the runs, by run id, with the progress of those at work."""
        return await self._joined_tasks(dag_id, run_ids)

    async def _all_runs(self, dag_id: str, run_ids: Collection[str]) -> dict[str, Run]:
        pages = await asyncio.gather(*(self._runs_of(dag_id, page) for page in _pages(run_ids)))
        return {run.run_id: run for page in pages for run in page}

    async def _all_tasks(self, dag_id: str, run_ids: Collection[str]) -> dict[str, tuple[TaskState, ...]]:
        pages = await asyncio.gather(*(self._tasks_of(dag_id, page) for page in _pages(run_ids)))
        rows = [row for page in pages for row in page]
        progress = await asyncio.gather(*(self._progress(row) for row in rows))
        tasks: dict[str, tuple[TaskState, ...]] = {}
        for row, done in zip(rows, progress, strict=True):
            task = TaskState(row["task_id"], row["map_index"], row["state"], _fraction(done), done)
            tasks[row["dag_run_id"]] = (*tasks.get(row["dag_run_id"], ()), task)
        return tasks

    async def page(self, prefix: str, *, states: Collection[str] = (), limit: int = _PAGE, cursor: str | None = None) -> RunPage:
        """Return runs of any DAG whose ids begin with ``prefix``, newest first; see the protocol."""
        query: dict[str, Any] = {"run_id_prefix_pattern": prefix, "limit": limit, "order_by": "-id", "cursor": cursor or ""}
        if states:
            query["state"] = sorted(states)
        answer = await self._call("GET", "/dags/~/dagRuns", {200, 400}, params=query)
        if answer.status_code == 400:
            raise ParameterError("cursor: is none that this API has given out; begin without one.")
        document = answer.json()
        return RunPage(tuple(_run(row) for row in document["dag_runs"]), document.get("next_cursor"))

    async def stop(self, dag_id: str, run_id: str) -> None:
        """Fail a run and end its tasks, whatever they do; it is no error where there is none."""
        await self._call("PATCH", _run_path(dag_id, run_id), {200, 404}, json={"state": "failed"})

    async def clear(self, dag_id: str, run_id: str) -> None:
        """Start a finished run again, with the conf it has."""
        await self._call("POST", f"{_run_path(dag_id, run_id)}/clear", {200}, json={"dry_run": False})

    async def restart_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Start one task of a run again, if it has begun, and none that follow it."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False, "reset_dag_runs": False}
        await self._call("POST", f"/dags/{_quoted(dag_id)}/clearTaskInstances", {200, 404}, json=body)

    async def delete(self, dag_id: str, run_id: str) -> None:
        """Remove a finished run; it is no error where there is none."""
        await self._call("DELETE", _run_path(dag_id, run_id), {204, 404})

    async def _runs_of(self, dag_id: str, run_ids: list[str]) -> list[Run]:
        query = {"run_id_prefix_pattern": _any_of(run_ids), "limit": _PAGE}
        answer = await self._call("GET", f"/dags/{_quoted(dag_id)}/dagRuns", {200}, params=query)
        return [_run(row) for row in answer.json()["dag_runs"] if row["dag_run_id"] in run_ids]

    async def _tasks_of(self, dag_id: str, run_ids: list[str]) -> list[dict[str, Any]]:
        # Not the batch list: that one is a POST, which writes to the audit log each time.
        path = f"/dags/{_quoted(dag_id)}/dagRuns/~/taskInstances"
        query: dict[str, str | int] = {"run_id_prefix_pattern": _any_of(run_ids), "limit": _PAGE, "order_by": "id"}
        rows: list[dict[str, Any]] = []
        while True:
            answer = await self._call("GET", path, {200}, params=query | {"offset": len(rows)})
            page = answer.json()["task_instances"]
            rows += page
            if len(page) < _PAGE:
                return [row for row in rows if row["dag_run_id"] in run_ids]

    async def _progress(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if row["state"] not in _AT_WORK:
            return {}
        path = f"{_run_path(row['dag_id'], row['dag_run_id'])}/taskInstances/{_quoted(row['task_id'])}"
        # A task that waits for a job elsewhere is in the triggerer's hands, which can write XComs and no task state.
        place = "xcomEntries" if row["state"] == "deferred" else "state-store"
        answer = await self._call("GET", f"{path}/{place}/progress", {200, 404}, params={"map_index": row["map_index"]})
        return _event(answer.json().get("value")) if answer.status_code == 200 else {}

    async def _call(self, method: str, path: str, expected: set[int], **arguments: Any) -> httpx.Response:
        if self._client is None:
            transport = self._transport or OwnLoopTransport(airflow_app)
            self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v2", trust_env=False)
        async with self._readers if method == "GET" else self._writer:
            for attempt in range(1, _ATTEMPTS + 1):
                headers = {"Authorization": f"Bearer {self._token(self._user)}"}
                try:
                    # A call within the process knows no timeouts of httpx.
                    async with asyncio.timeout(self._seconds):
                        answer = await self._client.request(method, path, headers=headers, **arguments)
                except (httpx.TransportError, TimeoutError) as error:
                    raise InternalError("Airflow does not answer; please try again.") from error
                # All calls here can be repeated: a run id is created once. SQLite answers 500 when it is locked.
                if answer.status_code < 500 or attempt == _ATTEMPTS:
                    break
                await asyncio.sleep(0.1 * 2**attempt)
        if answer.status_code not in expected:
            # The answer may tell of Airflow's insides, so it goes to the log and not to the client.
            log.error("Airflow answered %s to %s %s: %.2000s", answer.status_code, method, path, answer.text)
            raise InternalError("Airflow refused a call of this API; the administrator finds the reason in the log.")
        return answer


@cache
def airflow_app() -> Any:
    """Return the app of the API server that runs in this process."""
    from airflow.api_fastapi.main import app  # noqa: PLC0415  (the app imports our plugin: only once it is up)

    return app


def mint_token(user: str) -> str:
    """Return a short-lived token of Airflow's auth manager for ``user``.

    Knows the simple auth manager and Flask AppBuilder's; another one needs its own line here. What the user may do is up to
    the auth manager, which checks every call.
    """
    from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415

    manager = get_auth_manager()
    found = _finder(manager)(user)
    if found is None:
        raise InternalError(f"MEDIA_AIRFLOW_USER names {user!r}, but Airflow has no such user.")
    return str(manager.generate_jwt(found, expiration_time_in_seconds=60))


def _finder(manager: Any) -> Callable[[str], Any]:
    """Return what finds a user of this auth manager by name."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager  # noqa: PLC0415

    if isinstance(manager, SimpleAuthManager):
        return lambda name: next((known for known in manager.get_users() if known.username == name), None)
    # By name: the provider is installed only where it is used.
    if any(base.__module__ == "airflow.providers.fab.auth_manager.fab_auth_manager" for base in type(manager).__mro__):
        # Found once in half a minute: a client's status page makes several calls. Airflow itself refuses who is deactivated.
        return lambda name: _fab_user(name, int(time.monotonic() // 30))
    raise InternalError(f"MEDIA_AIRFLOW_USER cannot be used with the auth manager {type(manager).__name__}.")


@lru_cache(maxsize=4)
def _fab_user(name: str, _period: int) -> Any:
    from airflow import settings  # noqa: PLC0415
    from airflow.providers.fab.auth_manager.models import User  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415
    from sqlalchemy.orm import Session  # noqa: PLC0415

    # A session of its own: Airflow's is that of the thread, and this is the thread of all other requests.
    with Session(settings.engine) as session:
        return session.scalar(select(User).where(User.username == name))


def _pages(run_ids: Collection[str]) -> list[list[str]]:
    wanted = sorted(set(run_ids))
    return [wanted[start : start + _PAGE] for start in range(0, len(wanted), _PAGE)]


def _any_of(run_ids: list[str]) -> str:
    # The lists have no filter by ids, but prefixes may be joined by |, and an id is a prefix of itself.
    return "|".join(run_ids)


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}"


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _run(row: Mapping[str, Any]) -> Run:
    return Run(
        run_id=row["dag_run_id"],
        state=row["state"],
        conf=row["conf"] or {},
        start_date=_time(row["start_date"]),
        end_date=_time(row["end_date"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _event(value: Any) -> Mapping[str, Any]:
    """Return what a unit told of its progress, which may be JSON or JSON in a string."""
    try:
        document = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _fraction(event: Mapping[str, Any]) -> float:
    try:
        return min(1.0, max(0.0, float(event.get("fraction", 0))))
    except (ValueError, TypeError):
        return 0.0
