from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.media_api.app import create_app
from include.media_api.task_app import create_task_app
from include.settings import Settings
from tests.media_api.fakes import FakeAirflow, MemoryStore, MemoryTables
from tests.media_api.signed import SIGNING_KEYS, Caller

KEYS = {"ott": "ott-key-1", "other": "other-key-2"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("media", "secret")


@pytest.fixture
def airflow() -> FakeAirflow:
    return FakeAirflow()


@pytest.fixture
def settings() -> Settings:
    return Settings(  # type: ignore[call-arg]
        _env_file=None,
        api_keys=KEYS,
        bucket="media",
        max_files_per_request=400,
        signing_keys=SIGNING_KEYS,  # type: ignore[arg-type]
        webhook_secrets={"demo": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    )


@pytest.fixture
def app(settings: Settings, store: MemoryStore, airflow: FakeAirflow) -> FastAPI:
    return create_app(settings, store, airflow)


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    """A client without a key, of the app mounted as Airflow mounts it."""
    root = FastAPI()

    async def lazy(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    root.mount("/prod", lazy)
    with TestClient(root, base_url="http://reelflow.example") as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    anonymous.headers["x-api-key"] = KEYS["ott"]
    return anonymous


@pytest.fixture
def tables() -> MemoryTables:
    return MemoryTables()


@pytest.fixture
def task_app(settings: Settings, store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables) -> FastAPI:
    return create_task_app(settings, store, airflow, tables)


@pytest.fixture
def unsigned(task_app: FastAPI) -> Iterator[TestClient]:
    """A client without a key of contract 3."""
    with TestClient(task_app, base_url="http://reelflow.example") as client:
        yield client


@pytest.fixture
def demo(unsigned: TestClient) -> Caller:
    return Caller(unsigned)


@pytest.fixture
def other(unsigned: TestClient) -> Caller:
    return Caller(unsigned, "other")


def body(**changes: Any) -> dict[str, Any]:
    return {"bucket": "media", "src": "in/", "dst": "out/", "time": "t1", "type": "m3u8", "testflag": "no"} | changes
