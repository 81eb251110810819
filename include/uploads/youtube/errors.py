"""What YouTube answers instead of doing it, told apart: what is final, what another attempt may mend.

    MediaError
    ├── YouTubeRefused              YouTubeRefused          no    invalid metadata, closed channel, anything else it will not do
    │   ├── YouTubeQuotaExceeded    YouTubeQuotaExceeded    no    the project's daily quota, or the channel's upload limit
    │   ├── YouTubeAuthFailed       YouTubeAuthFailed       no    credentials are wrong, withdrawn or not enough
    │   └── SessionExpired          YouTubeSessionExpired   no    the session is gone: a new one begins at the first byte
    └── InternalError
        └── YouTubeUnavailable      YouTubeUnavailable      yes   5xx, rate limits, a second writer, no connection

The reasons are those of https://developers.google.com/youtube/v3/docs/errors.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from include.errors import InternalError, MediaError

__all__ = [
    "SessionExpired",
    "YouTubeAuthFailed",
    "YouTubeQuotaExceeded",
    "YouTubeRefused",
    "YouTubeUnavailable",
    "answered",
    "refusal",
]

Answer = TypeVar("Answer")

_QUOTA = {"quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg", "uploadLimitExceeded"}
# These are a 403, too, but only ask for patience.
_PATIENCE = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}
_AUTH = {
    "authError",
    "authorizationRequired",
    "insufficientPermissions",
    "accessNotConfigured",
    "forbidden",
    "youtubeSignupRequired",
    "accountSuspended",
    "accountDisabled",
    "accountDelegationForbidden",
    "channelClosed",
    "channelSuspended",
}
_IN_WORDS = {
    "quotaExceeded": "the project's daily quota is used up; it begins anew at midnight Pacific time",
    "dailyLimitExceeded": "the project's daily quota is used up; it begins anew at midnight Pacific time",
    "uploadLimitExceeded": "the channel has reached its limit of uploads; try again tomorrow",
    "youtubeSignupRequired": "the Google account has no YouTube channel",
    "insufficientPermissions": "the refresh token lacks the scope youtube.upload (and youtube.readonly)",
    "accessNotConfigured": "the YouTube Data API is not enabled in the Google project",
    "forbiddenPrivacySetting": "the channel may not use this privacy status",
    "invalidTitle": "the title is empty, too long or holds < or >",
    "invalidDescription": "the description is too long or holds < or >",
    "invalidTags": "the tags are too long or hold < or >",
    "invalidCategoryId": "the category does not exist",
}


class YouTubeRefused(MediaError):
    """YouTube will not do this, now or later."""

    code = "YouTubeRefused"
    http_status = 502


class YouTubeQuotaExceeded(YouTubeRefused):
    """A quota is used up."""

    code = "YouTubeQuotaExceeded"


class YouTubeAuthFailed(YouTubeRefused):
    """The credentials of the connection are wrong, withdrawn or not enough."""

    code = "YouTubeAuthFailed"


class SessionExpired(YouTubeRefused):
    """The resumable session is gone, and with it what it had taken."""

    code = "YouTubeSessionExpired"


class YouTubeUnavailable(InternalError):
    """YouTube did not answer, or asks to come again; ``after`` is how many seconds it wants to be left alone."""

    code = "YouTubeUnavailable"
    http_status = 503

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


def answered(response: httpx.Response, read: Callable[[Any], Answer]) -> Answer:
    """Return what ``read`` makes of a response's document; ``YouTubeUnavailable`` where that has another form than it expects."""
    try:
        return read(response.json())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        # A proxy's page, as a rule; what it says may hold anything.
        raise YouTubeUnavailable(f"{response.url.host} answers {response.status_code} with something unreadable.") from None


def refusal(response: httpx.Response, action: str) -> MediaError:
    """Return the error that an answer without success means; ``action`` is what was wanted ("start the upload")."""
    status, reason = response.status_code, _reason(response)
    why = f"Cannot {action}: YouTube answers {status}{f' {reason}' if reason else ''}"
    if words := _IN_WORDS.get(reason):
        why += f", {words}"
    # Before the status: with 429 both are told, a used-up quota and what is only too fast.
    if reason in _QUOTA:
        return YouTubeQuotaExceeded(f"{why}.")
    # 409 is another writer, whose request YouTube still reads: that of a process that was killed, for a moment.
    if status in {408, 409, 425, 429} or status >= 500 or reason in _PATIENCE:
        return YouTubeUnavailable(f"{why}.", _retry_after(response))
    if status == 401 or reason in _AUTH:
        return YouTubeAuthFailed(f"{why}. Check the Airflow connection of YouTube.")
    return YouTubeRefused(f"{why}.")


def _reason(response: httpx.Response) -> str:
    """Return the first reason of Google's error document, or an empty string."""
    try:
        error = response.json()["error"]
        details = error.get("errors") or [{}]
        reason = details[0].get("reason") or error.get("status") or ""
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return ""
    return reason if isinstance(reason, str) and reason.isidentifier() else ""


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
