"""A YouTube for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from include.uploads.youtube.oauth import Account
from include.uploads.youtube.resumable import youtube_client
from tests.youtube_server import CLIENT, PROCESSED, YouTube, youtube_server


@pytest.fixture(scope="session")
def running_youtube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YouTube]:
    with youtube_server(tmp_path_factory.mktemp("youtube")) as server:
        yield server


@pytest.fixture
def youtube(running_youtube: YouTube) -> YouTube:
    """The server, which does nothing wrong."""
    running_youtube.control(faults=[], processing=PROCESSED, token_seconds=3599)
    return running_youtube


@pytest.fixture
def account(youtube: YouTube) -> Account:
    extra = {"refresh_token": CLIENT["refresh_token"], "token_url": f"{youtube.url}/token"}
    return Account.of_connection(CLIENT["client_id"], CLIENT["client_secret"], extra)


@pytest.fixture
def client(account: Account, youtube: YouTube) -> Iterator[httpx.Client]:
    with youtube_client(account, youtube.url) as client:
        yield client
