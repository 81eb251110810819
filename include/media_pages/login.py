"""Who looks at the pages, and what Airflow lets them do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from cachetools import TTLCache
from starlette.requests import HTTPConnection, Request

__all__ = ["DAGS", "AirflowLogin", "Login", "Person", "Right"]

Right = Literal["read", "start", "change"]
"""Of a DAG's runs: see them, start one, stop and retry one."""

DAGS = ("transcode", "super_resolution", "live", "upload", "video_transcode", "ingest_object")
_METHODS: Mapping[Right, Any] = {"read": "GET", "start": "POST", "change": "PUT"}
_RIGHTS_SECONDS = 5.0
_TOKEN_SECONDS = 600  # what waits for SQLite's one writer may wait for a minute, several times


@dataclass(frozen=True)
class Person:
    """A user of Airflow who is logged in."""

    name: str
    rights: frozenset[tuple[str, Right]]
    token: str

    def may(self, right: Right, dag_id: str) -> bool:
        """Tell whether they have a right to the runs of a DAG."""
        return (dag_id, right) in self.rights

    def dags(self, right: Right = "read") -> frozenset[str]:
        """Return the DAGs to whose runs they have a right."""
        return frozenset(dag_id for dag_id, has in self.rights if has == right)


class Login(Protocol):
    """Asks who is logged in; tests pass a fake."""

    async def person(self, connection: HTTPConnection) -> Person | None:
        """Return who sends a request; ``None`` where that is nobody."""
        ...

    def address(self, back: str) -> str:
        """Return the address of the page to log in at, which leads back to a path of this server afterwards."""
        ...


class AirflowLogin:
    """The login of Airflow's own pages: its cookie (or token), its auth manager's word on every DAG."""

    def __init__(self) -> None:
        # What a user may do is asked again after some seconds, not at each of the many requests of a page.
        self._rights: TTLCache[str, frozenset[tuple[str, Right]]] = TTLCache(1000, ttl=_RIGHTS_SECONDS, timer=time.monotonic)
        self._threads = CapacityLimiter(2)

    async def person(self, connection: HTTPConnection) -> Person | None:
        """See :meth:`Login.person`."""
        from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415
        from airflow.api_fastapi.core_api.security import bearer_scheme, get_user  # noqa: PLC0415
        from fastapi import HTTPException  # noqa: PLC0415

        request = Request(connection.scope)
        try:
            user = await get_user(request, None, await bearer_scheme(request))
        except HTTPException:
            return None
        manager = get_auth_manager()
        # The key holds what the token says of a user, such as the role: another token, other rights.
        key = repr(sorted(manager.serialize_user(user).items(), key=str))
        rights = self._rights.get(key)
        if rights is None:
            rights = await run_sync(_rights_of, manager, user, limiter=self._threads)
            self._rights[key] = rights
        return Person(str(user.get_name()), rights, str(manager.generate_jwt(user, expiration_time_in_seconds=_TOKEN_SECONDS)))

    def address(self, back: str) -> str:
        """See :meth:`Login.address`."""
        from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415

        return f"{get_auth_manager().get_url_login()}?{urlencode({'next': back})}"


def _rights_of(manager: Any, user: Any) -> frozenset[tuple[str, Right]]:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails  # noqa: PLC0415
    from airflow.models.dag import DagModel  # noqa: PLC0415

    teams = DagModel.get_dag_id_to_team_name_mapping(list(DAGS))
    return frozenset(
        (dag_id, right)
        for dag_id in DAGS
        for right, method in _METHODS.items()
        if all(
            manager.is_authorized_dag(
                method=method, access_entity=entity, details=DagDetails(id=dag_id, team_name=teams.get(dag_id)), user=user
            )
            # To clear tasks is to change them, and the run.
            for entity in (DagAccessEntity.RUN, *([DagAccessEntity.TASK_INSTANCE] if right != "start" else []))
        )
    )
