from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.media_api.app import create_app
from include.settings import Settings
from tests.media_api.fakes import FakeAirflow, MemoryStore

KEYS = {"ott": "ott-key-1", "other": "other-key-2"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("media", "secret")


@pytest.fixture
def airflow() -> FakeAirflow:
    return FakeAirflow()


@pytest.fixture
def settings() -> Settings:
    return Settings(_env_file=None, api_keys=KEYS, bucket="media", max_files_per_request=400)  # type: ignore[call-arg]


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


def body(**changes: Any) -> dict[str, Any]:
    return {"bucket": "media", "src": "in/", "dst": "out/", "time": "t1", "type": "m3u8", "testflag": "no"} | changes
