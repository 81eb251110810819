"""The resumable protocol against a server that is as strict as YouTube."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import httpx
import pytest

from include.uploads.youtube.errors import (
    SessionExpired,
    YouTubeAuthFailed,
    YouTubeQuotaExceeded,
    YouTubeRefused,
    YouTubeUnavailable,
)
from include.uploads.youtube.metadata import video_resource
from include.uploads.youtube.oauth import Account, YouTubeAuth
from include.uploads.youtube.resumable import GRAIN, Taken, ask, send, start, youtube_client
from tests.youtube_server import CLIENT, YouTube

DATA = random.Random(4).randbytes(3 * GRAIN + 1000)
SIZE = len(DATA)


def begin(client: httpx.Client, account: Account, **metadata: Any) -> str:
    resource = video_resource(metadata.pop("title", "A film"), **metadata)
    return start(client, resource, size=SIZE, content_type="video/mp4", account=account)


def fault(youtube: YouTube, where: str, **fault: Any) -> None:
    youtube.control(faults=[{"where": where, **fault}])


def test_what_was_sent_is_the_video(client: httpx.Client, account: Account, youtube: YouTube) -> None:
    session = begin(client, account, description="Long ago", tags=["one", "two words"], privacy="unlisted")
    assert ask(client, session, SIZE) == Taken(0)
    assert send(client, session, DATA[:GRAIN], first=0, total=SIZE) == Taken(GRAIN)
    assert ask(client, session, SIZE) == Taken(GRAIN)
    taken = send(client, session, DATA[GRAIN:], first=GRAIN, total=SIZE)
    assert taken.offset == SIZE
    video = next(video for video in youtube.state()["videos"] if video["video_id"] == taken.video_id)
    assert video["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert video["resource"]["snippet"] == {"title": "A film", "description": "Long ago", "tags": ["one", "two words"]}
    assert video["resource"]["status"]["privacyStatus"] == "unlisted"
    # Asking after the end, as after a crash, tells the same video.
    assert ask(client, session, SIZE) == taken


def test_a_short_range_tells_what_was_taken(client: httpx.Client, account: Account, youtube: YouTube) -> None:
    session = begin(client, account)
    fault(youtube, "put", kind="short", keep=GRAIN)
    assert send(client, session, DATA[: 2 * GRAIN], first=0, total=SIZE) == Taken(GRAIN)


@pytest.mark.parametrize("kind", ["reset", "lost"])
def test_a_broken_connection_leaves_open_what_was_taken(
    client: httpx.Client, account: Account, youtube: YouTube, kind: str
) -> None:
    session = begin(client, account)
    fault(youtube, "put", kind=kind, keep=GRAIN)
    with pytest.raises(YouTubeUnavailable) as caught:
        send(client, session, DATA, first=0, total=SIZE)
    assert session not in str(caught.value)
    assert ask(client, session, SIZE).offset == (GRAIN if kind == "reset" else SIZE)


def test_a_token_that_is_not_taken_any_more_is_renewed(client: httpx.Client, account: Account, youtube: YouTube) -> None:
    session = begin(client, account)
    youtube.control(forget_tokens=True)
    assert send(client, session, DATA, first=0, total=SIZE).offset == SIZE


def test_a_token_is_renewed_before_it_ends(account: Account, youtube: YouTube) -> None:
    youtube.control(token_seconds=0)
    before = youtube.state()["tokens"]
    with youtube_client(account, youtube.url) as client:
        session = begin(client, account)
        ask(client, session, SIZE)
    assert youtube.state()["tokens"] - before == 2


def test_an_expired_session_is_told_from_other_refusals(client: httpx.Client, account: Account, youtube: YouTube) -> None:
    session = begin(client, account)
    fault(youtube, "put", kind="expire")
    with pytest.raises(SessionExpired):
        ask(client, session, SIZE)


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (403, "quotaExceeded", YouTubeQuotaExceeded),
        (429, "quotaExceeded", YouTubeQuotaExceeded),
        (400, "uploadLimitExceeded", YouTubeQuotaExceeded),
        (403, "forbidden", YouTubeAuthFailed),
        (401, "youtubeSignupRequired", YouTubeAuthFailed),
        (400, "invalidTitle", YouTubeRefused),
        (403, "rateLimitExceeded", YouTubeUnavailable),
        (429, "rateLimitExceeded", YouTubeUnavailable),
        (409, "conflict", YouTubeUnavailable),
        (500, "backendError", YouTubeUnavailable),
        (503, "backendError", YouTubeUnavailable),
    ],
)
def test_refusals_are_told_apart(
    client: httpx.Client, account: Account, youtube: YouTube, status: int, reason: str, error: type[Exception]
) -> None:
    # A 401 is answered by a renewed token first.
    fault(youtube, "start", status=status, reason=reason, times=2)
    with pytest.raises(error, match=reason) as caught:
        begin(client, account)
    assert type(caught.value) is error
    assert caught.value.retryable == (error is YouTubeUnavailable)  # type: ignore[attr-defined]


def test_what_youtube_wants_to_wait_is_kept(client: httpx.Client, account: Account, youtube: YouTube) -> None:
    fault(youtube, "start", status=503, headers={"Retry-After": "7"})
    with pytest.raises(YouTubeUnavailable) as caught:
        begin(client, account)
    assert caught.value.after == 7


def test_a_withdrawn_refresh_token_is_final_and_named(youtube: YouTube) -> None:
    extra = {"refresh_token": "another", "token_url": f"{youtube.url}/token"}
    account = Account.of_connection(CLIENT["client_id"], CLIENT["client_secret"], extra)
    with youtube_client(account, youtube.url) as client, pytest.raises(YouTubeAuthFailed, match="withdrawn") as caught:
        begin(client, account)
    assert not caught.value.retryable
    assert "another" not in str(caught.value)


def test_a_token_server_that_fails_may_be_asked_again(account: Account, youtube: YouTube) -> None:
    fault(youtube, "token", status=503, reason="backend_error")
    with youtube_client(account, youtube.url) as client:
        with pytest.raises(YouTubeUnavailable):
            begin(client, account)
        begin(client, account)


def test_bytes_off_the_grid_are_not_sent(client: httpx.Client) -> None:
    with pytest.raises(ValueError, match="grid"):
        send(client, "http://127.0.0.1:1/", DATA[:1000], first=0, total=SIZE)


def test_a_session_on_another_host_gets_no_token(account: Account) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "secret", "expires_in": 3600})
        return httpx.Response(200, headers={"Location": "https://evil.example/upload"})

    client = httpx.Client(base_url="https://www.googleapis.com", transport=httpx.MockTransport(answer))
    with client, pytest.raises(YouTubeRefused, match="not its own"):
        begin(client, account)


def test_a_content_owner_names_the_channel(youtube: YouTube) -> None:
    extra = {"refresh_token": CLIENT["refresh_token"], "token_url": f"{youtube.url}/token", "content_owner": "owner"}
    account = Account.of_connection(CLIENT["client_id"], CLIENT["client_secret"], extra, channel="UC123")
    with youtube_client(account, youtube.url) as client:
        session = begin(client, account)
    assert next(one for one in youtube.state()["sessions"] if one["id"] in session)["channel"] == "UC123"


@pytest.mark.parametrize("body", ["<html>", "[]", '"text"'])
def test_an_end_of_another_form_leaves_open_what_was_taken(body: str) -> None:
    with (
        httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, text=body))) as client,
        pytest.raises(YouTubeUnavailable, match="unreadable"),
    ):
        ask(client, "https://youtube.example/session", SIZE)


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"access_token": "x", "expires_in": "soon"}'])
def test_a_token_of_another_form_may_be_asked_for_again(body: str) -> None:
    account = Account.of_connection("id", "secret", {"refresh_token": "x"})
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=body))
    with (
        httpx.Client(auth=YouTubeAuth(account), transport=transport) as client,
        pytest.raises(YouTubeUnavailable, match="unreadable"),
    ):
        client.get("https://youtube.example/")
