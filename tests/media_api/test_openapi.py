"""Every route of every contract, asked what its own description allows and what it does not: no 5xx, nothing undescribed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from include.ffmpeg_ops.glance import Glance
from include.media_api import super_resolution
from include.media_api.app import create_app
from include.media_api.task_app import create_task_app
from include.settings import Settings
from tests.media_api.conftest import KEYS
from tests.media_api.fakes import FakeAirflow, MemoryStore, MemoryTables
from tests.media_api.signed import SIGNING_KEYS, TASKS, headers

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
LONG = bool(os.environ.get("REELFLOW_TEST_LONG"))
quickly = settings(
    max_examples=500 if LONG else 25, deadline=None, derandomize=not LONG, database=None, suppress_health_check=list(HealthCheck)
)


class With:
    """An app whose every request has the headers that ``make`` returns, as a client would send them."""

    def __init__(self, app: FastAPI, make: Callable[[], Mapping[str, str]]) -> None:
        self._app = app
        self._make = make

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            ours = {name.lower().encode(): value.encode() for name, value in self._make().items()}
            others = [(name, value) for name, value in scope["headers"] if name not in ours and name != b"apisignature"]
            scope = {**scope, "headers": [*others, *ours.items()]}
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def _known() -> Iterator[tuple[Settings, MemoryStore, FakeAirflow]]:
    """A server that knows some videos."""
    store = MemoryStore("media")
    store.add("in/a.mp4", "in/b/c.mp4", "clips/holiday.mp4", "in/talk.mp4")
    known = Settings(  # type: ignore[call-arg]
        _env_file=None,
        api_keys=KEYS,
        signing_keys=SIGNING_KEYS,  # type: ignore[arg-type]
        webhook_secrets={"demo": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ott": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(super_resolution, "glance", lambda *arguments: Glance(640, 360, 8, Fraction(125)))
        yield known, store, FakeAirflow()


@pytest.fixture(scope="module")
def prod_schema(_known: tuple[Settings, MemoryStore, FakeAirflow]) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", With(create_app(*_known), lambda: {"x-api-key": KEYS["ott"]}))


@pytest.fixture(scope="module")
def tasks_schema(_known: tuple[Settings, MemoryStore, FakeAirflow]) -> Any:
    app = create_task_app(*_known, MemoryTables())
    return schemathesis.openapi.from_asgi(f"{TASKS}/openapi.json", With(app, headers))


@pytest.fixture(scope="module")
def prod_session(prod_schema: Any) -> Iterator[Any]:
    with asgi.get_client(prod_schema.app) as session:
        yield session


@pytest.fixture(scope="module")
def tasks_session(tasks_schema: Any) -> Iterator[Any]:
    with asgi.get_client(tasks_schema.app) as session:
        yield session


@schemathesis.pytest.from_fixture("prod_schema").parametrize()
@quickly
def test_contracts_1_and_2_answer_as_they_are_described(case: Case, prod_session: Any) -> None:
    case.call_and_validate(checks=CHECKS, session=prod_session)


@schemathesis.pytest.from_fixture("tasks_schema").parametrize()
@quickly
def test_contract_3_answers_as_it_is_described(case: Case, tasks_session: Any) -> None:
    case.call_and_validate(checks=CHECKS, session=tasks_session)
