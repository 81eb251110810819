"""The gateway inside Airflow's own API server: the public REST API, called in process, and for lists its database."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from urllib.parse import quote

import httpx
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from include.errors import AccessDenied, InternalError, ParameterError
from include.media_api.airflow_reads import AirflowReads
from include.media_api.coalesced import Coalesced
from include.media_api.gateway import Run, RunPage, RunQuery, TaskState, named_token
from include.media_api.own_loop import OwnLoopTransport

__all__ = ["InProcessGateway", "airflow_app", "mint_token"]

log = logging.getLogger(__name__)

_PAGE = 100  # Airflow's own cap on rows of a list
_AT_ONCE = 8
_ATTEMPTS = 4
_READS_AT_ONCE = 4
_NO_CURSOR = "cursor: is none that this API has given out; begin without one."
_BASE64URL = re.compile(r"[\w-]+", re.ASCII)
# MessagePack's list of one positive integer, the id of a run: an integer of PostgreSQL.
_CURSOR = re.compile(rb"\x91(?:[\x01-\x7f]|\xcc.|\xcd..|\xce[\x00-\x7f]...)", re.DOTALL)


class InProcessGateway:
    """An :class:`~include.media_api.gateway.AirflowGateway` over Airflow's public REST API, and ``reads`` for lists.

    ``transport`` leads to that API and ``token`` makes the bearer token of one call; by default the API server's own app in
    this process, and a token of its auth manager for ``user``. A call that takes longer than ``seconds`` is given up.
    """

    def __init__(
        self,
        user: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        token: Callable[[str], str] | None = None,
        reads: AirflowReads | None = None,
        seconds: float = 60,
    ) -> None:
        self._user = user
        self._token = token or mint_token
        self._seconds = seconds
        transport = transport or OwnLoopTransport(airflow_app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v2", trust_env=False)
        self._reads = reads or AirflowReads()
        self._joined_runs = Coalesced(self._read_runs)
        self._joined_tasks = Coalesced(self._read_tasks)
        self._threads = CapacityLimiter(_READS_AT_ONCE)
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

    async def find(self, query: RunQuery, *, limit: int = _PAGE, cursor: str | None = None) -> RunPage:
        """Return the runs of ``query``, newest first; see the protocol."""
        return await run_sync(self._reads.find, query, limit, cursor, limiter=self._threads)

    async def _read_runs(self, dag_id: str, run_ids: Collection[str]) -> dict[str, Run]:
        return await run_sync(self._reads.runs, dag_id, run_ids, limiter=self._threads)

    async def _read_tasks(self, dag_id: str, run_ids: Collection[str]) -> dict[str, tuple[TaskState, ...]]:
        return await run_sync(self._reads.tasks, dag_id, run_ids, limiter=self._threads)

    async def page(self, prefix: str, *, states: Collection[str] = (), limit: int = _PAGE, cursor: str | None = None) -> RunPage:
        """Return runs of any DAG whose ids begin with ``prefix``, newest first; see the protocol."""
        if cursor and not _is_cursor(cursor):
            raise ParameterError(_NO_CURSOR)
        query: dict[str, Any] = {"run_id_prefix_pattern": prefix, "limit": limit, "order_by": "-id", "cursor": cursor or ""}
        if states:
            query["state"] = sorted(states)
        answer = await self._call("GET", "/dags/~/dagRuns", {200, 400}, params=query)
        if answer.status_code == 400:
            raise ParameterError(_NO_CURSOR)
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

    async def clear_tasks(self, dag_id: str, run_id: str, tasks: Collection[tuple[str, int]]) -> None:
        """Start tasks of a run again, by id and map index, and all that follow them."""
        wanted = [task_id if map_index < 0 else (task_id, map_index) for task_id, map_index in tasks]
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": wanted, "only_failed": False, "include_downstream": True}
        await self._call("POST", f"/dags/{_quoted(dag_id)}/clearTaskInstances", {200}, json=body)

    async def delete(self, dag_id: str, run_id: str) -> None:
        """Remove a finished run; it is no error where there is none."""
        await self._call("DELETE", _run_path(dag_id, run_id), {204, 404})

    async def _call(self, method: str, path: str, expected: set[int], **arguments: Any) -> httpx.Response:
        named = named_token()
        async with self._readers if method == "GET" else self._writer:
            for attempt in range(1, _ATTEMPTS + 1):
                headers = {"Authorization": f"Bearer {named or self._token(self._user)}"}
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
        if answer.status_code == 403 and named:
            raise AccessDenied("Airflow does not let you do that.")
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


def _is_cursor(text: str) -> bool:
    """Tell whether Airflow may have given it out: it takes any list, and hands what is in it to its database."""
    if not _BASE64URL.fullmatch(text):
        return False
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return False
    return _CURSOR.fullmatch(data) is not None


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
        dag_id=row["dag_id"],
        created_at=_time(row["run_after"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
