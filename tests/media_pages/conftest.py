from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.media_api.services import Services
from include.media_api.upload_service import UploadService
from include.media_pages.app import create_pages_app
from include.settings import Settings
from include.uploads.registry import Uploads
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.media_pages.fakes import COOKIE, FakeLogin, person
from tests.uploads.memory import MemoryTable

S3 = "http://s3.example:9000"


class FakeAccess:
    """What of :class:`include.media_store.credentials.UploadAccess` needs no AWS."""

    region = "us-east-1"
    endpoint = S3


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("media")


@pytest.fixture
def airflow() -> FakeAirflow:
    return FakeAirflow()


@pytest.fixture
def settings() -> Settings:
    return Settings(_env_file=None, bucket="media", upload_endpoint_url=S3)  # type: ignore[call-arg]


@pytest.fixture
def uploads(settings: Settings, store: MemoryStore, airflow: FakeAirflow) -> UploadService:
    return UploadService(settings, Uploads(MemoryTable()), store, None, FakeAccess(), airflow)  # type: ignore[arg-type]


@pytest.fixture
def login() -> FakeLogin:
    return FakeLogin(person(), person("vera", "read"), person("nora", dags=()))


@pytest.fixture
def app(
    settings: Settings,
    store: MemoryStore,
    airflow: FakeAirflow,
    uploads: UploadService,
    login: FakeLogin,
    monkeypatch: pytest.MonkeyPatch,
) -> FastAPI:
    # However slow the machine is, what is shared is; another `limit` is another list.
    monkeypatch.setattr("include.media_pages.jobs.SHARED_SECONDS", 3600.0)
    return create_pages_app(Services(settings, store, airflow), uploads, login)


@pytest.fixture
def client_of(app: FastAPI) -> Callable[[str | None], TestClient]:
    """Return clients of the app mounted as Airflow mounts it, each logged in as somebody, or nobody."""
    root = FastAPI()

    async def lazy(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    root.mount("/media", lazy)

    def client(user: str | None = "ada") -> TestClient:
        cookies = {COOKIE: user} if user else None
        return TestClient(
            root, base_url="http://reelflow.example", cookies=cookies, headers={"x-reelflow": "1"}, follow_redirects=False
        )

    return client


@pytest.fixture
def ada(client_of: Callable[[str | None], TestClient]) -> TestClient:
    """A client of somebody who may do everything."""
    return client_of("ada")


@pytest.fixture
def vera(client_of: Callable[[str | None], TestClient]) -> TestClient:
    """A client of somebody who may only look."""
    return client_of("vera")


@pytest.fixture
def anonymous(client_of: Callable[[str | None], TestClient]) -> TestClient:
    """A client of nobody."""
    return client_of(None)
