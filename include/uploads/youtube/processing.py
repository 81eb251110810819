"""What YouTube makes of a video that it has taken, in words.

https://developers.google.com/youtube/v3/docs/videos#processingDetails
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from include.uploads.youtube.errors import YouTubeUnavailable, answered, refusal
from include.uploads.youtube.oauth import Account, YouTubeAuth

__all__ = ["Processing", "async_youtube_client", "look", "processing_of"]

_FAILURES = {
    "codec": "the file uses a codec that YouTube does not know",
    "conversion": "YouTube could not convert the file",
    "emptyFile": "the file is empty",
    "invalidFile": "the file is no video that YouTube can read",
    "tooSmall": "the file is too small",
    "uploadAborted": "the upload was broken off",
}
_REJECTIONS = {
    "claim": "a content owner has claimed it",
    "copyright": "it infringes a copyright",
    "duplicate": "the channel has the same video already",
    "inappropriate": "it breaks YouTube's community guidelines",
    "legal": "of a legal complaint",
    "length": "it is longer than the channel may publish",
    "termsOfUse": "it breaks YouTube's terms of use",
    "trademark": "it infringes a trademark",
    "uploaderAccountClosed": "the channel's account is closed",
    "uploaderAccountSuspended": "the channel's account is suspended",
}
_PROCESSING_FAILURES = {
    "streamingFailed": "YouTube could not make it ready to be streamed",
    "transcodeFailed": "YouTube could not transcode it",
    "uploadFailed": "YouTube could not take it over",
    "other": "YouTube gives no closer reason",
}


@dataclass(frozen=True)
class Processing:
    """How far YouTube is; ``progress`` in percent, ``details`` a sentence for people; ``missing``: YouTube has no such video."""

    state: Literal["processing", "complete", "failed"]
    progress: float = 0.0
    details: str = ""
    missing: bool = False


def async_youtube_client(account: Account, url: str) -> httpx.AsyncClient:
    """Return a client of YouTube's API at ``url`` in the account's name."""
    return httpx.AsyncClient(base_url=url, auth=YouTubeAuth(account), timeout=30.0)


async def look(client: httpx.AsyncClient, video_id: str) -> Processing:
    """Ask YouTube once (one unit of its quota)."""
    try:
        response = await client.get("/youtube/v3/videos", params={"part": "status,processingDetails", "id": video_id})
    except httpx.TransportError as error:
        raise YouTubeUnavailable(f"YouTube could not be reached ({type(error).__name__}).") from None
    if response.status_code != 200:
        raise refusal(response, "ask how YouTube's processing goes")
    return answered(response, lambda told: processing_of(next(iter(told.get("items") or ()), None)))


def processing_of(video: Mapping[str, Any] | None) -> Processing:
    """Return the state that an item of ``videos.list`` tells; ``None`` where the video is not there (any more)."""
    if video is None:
        return Processing("failed", details="YouTube does not have the video any more: it was deleted.", missing=True)
    status = video.get("status") or {}
    details = video.get("processingDetails") or {}
    if failure := _failure(status, details):
        return Processing("failed", details=failure)
    if status.get("uploadStatus") == "processed" or details.get("processingStatus") == "succeeded":
        return Processing("complete", 100.0, "YouTube has processed the video.")
    return _at_work(details.get("processingProgress") or {})


def _failure(status: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return why there will be no video, or an empty string."""
    upload, processing = status.get("uploadStatus"), details.get("processingStatus")
    if upload == "deleted":
        return "The video was deleted on YouTube."
    if upload == "rejected":
        reason = status.get("rejectionReason", "")
        return f"YouTube rejected the video because {_REJECTIONS.get(reason, 'of ' + _plain(reason))}."
    if upload == "failed":
        reason = status.get("failureReason", "")
        return f"YouTube's processing failed: {_FAILURES.get(reason, _plain(reason))}."
    if processing in ("failed", "terminated"):
        reason = details.get("processingFailureReason", "other")
        ended = "failed" if processing == "failed" else "was ended"
        return f"YouTube's processing {ended}: {_PROCESSING_FAILURES.get(reason, _plain(reason))}."
    return ""


def _at_work(told: Mapping[str, Any]) -> Processing:
    total, done = _number(told.get("partsTotal")), _number(told.get("partsProcessed"))
    left = _number(told.get("timeLeftMs"))
    # YouTube's total may grow, so that its share is a rough one; all of it is told by the status, not by the share.
    progress = min(99.0, 100.0 * done / total) if total else 0.0
    words = f"YouTube processes the video: {done} of {total} parts" if total else "YouTube processes the video"
    return Processing("processing", round(progress, 2), f"{words}, {left / 1000:.0f} s left." if left else f"{words}.")


def _number(value: Any) -> int:
    return int(value) if str(value).isdecimal() else 0


def _plain(reason: str) -> str:
    return reason if reason.isidentifier() else "a reason that it does not tell"
