"""YouTube's words about a video, and ours."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from include.uploads.youtube.errors import YouTubeQuotaExceeded, YouTubeUnavailable
from include.uploads.youtube.metadata import video_resource
from include.uploads.youtube.oauth import Account
from include.uploads.youtube.processing import Processing, async_youtube_client, look, processing_of
from include.uploads.youtube.resumable import send, start, youtube_client
from tests.youtube_server import YouTube


def video(status: dict[str, Any], details: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"status": status, "processingDetails": details or {}}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (video({"uploadStatus": "rejected", "rejectionReason": "copyright"}), "because it infringes a copyright"),
        (video({"uploadStatus": "rejected", "rejectionReason": "newReason"}), "because of newReason"),
        (video({"uploadStatus": "failed", "failureReason": "codec"}), "uses a codec that YouTube does not know"),
        (video({"uploadStatus": "failed"}), "a reason that it does not tell"),
        (video({"uploadStatus": "deleted"}), "was deleted"),
        (video({"uploadStatus": "uploaded"}, {"processingStatus": "failed", "processingFailureReason": "transcodeFailed"}),
         "failed: YouTube could not transcode it"),
        (video({"uploadStatus": "uploaded"}, {"processingStatus": "terminated"}), "was ended"),
        (None, "does not have the video any more"),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_words(told: dict[str, Any] | None, words: str) -> None:
    found = processing_of(told)
    assert found.state == "failed"
    assert words in found.details


def test_progress_is_the_share_of_parts() -> None:
    told = {"processingStatus": "processing"}
    told["processingProgress"] = {"partsTotal": "8", "partsProcessed": "2", "timeLeftMs": "61000"}  # type: ignore[assignment]
    found = processing_of(video({"uploadStatus": "uploaded"}, told))
    assert found == Processing("processing", 25.0, "YouTube processes the video: 2 of 8 parts, 61 s left.")


def test_a_video_that_was_just_taken_has_no_progress_yet() -> None:
    assert processing_of(video({"uploadStatus": "uploaded"})).state == "processing"


def test_a_video_is_followed_to_its_end(account: Account, youtube: YouTube) -> None:
    with youtube_client(account, youtube.url) as client:
        session = start(client, video_resource("A film"), size=4, content_type="video/mp4", account=account)
        video_id = send(client, session, b"film", first=0, total=4).video_id

    async def follow() -> list[str]:
        async with async_youtube_client(account, youtube.url) as client:
            return [(await look(client, video_id)).state for _ in range(3)]

    assert asyncio.run(follow()) == ["processing", "processing", "complete"]


def test_a_quota_is_named_when_asking_too(account: Account, youtube: YouTube) -> None:
    youtube.control(faults=[{"where": "list", "status": 403, "reason": "quotaExceeded"}])

    async def ask() -> None:
        async with async_youtube_client(account, youtube.url) as client:
            await look(client, "any")

    with pytest.raises(YouTubeQuotaExceeded, match="daily quota"):
        asyncio.run(ask())


@pytest.mark.parametrize("body", ["<html>", "[]", '{"items": 7}', '{"items": [{"status": "odd"}]}'])
def test_an_answer_of_another_form_is_asked_for_again(body: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=body))

    async def ask() -> None:
        async with httpx.AsyncClient(base_url="https://youtube.example", transport=transport) as client:
            await look(client, "any")

    with pytest.raises(YouTubeUnavailable, match="unreadable"):
        asyncio.run(ask())
