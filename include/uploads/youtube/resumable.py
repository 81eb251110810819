"""Google's resumable upload protocol: a session takes bytes in order and tells, when asked, how many it has.

https://developers.google.com/youtube/v3/guides/using_resumable_upload_protocol
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

from include.uploads.youtube.errors import SessionExpired, YouTubeRefused, YouTubeUnavailable, answered, refusal
from include.uploads.youtube.oauth import Account, YouTubeAuth

__all__ = ["GRAIN", "Taken", "ask", "send", "start", "youtube_client"]

GRAIN = 256 * 2**10
_RANGE = re.compile(r"bytes=0-(\d+)")
_PATH = "/upload/youtube/v3/videos"
_TIMEOUT = httpx.Timeout(60.0, connect=15.0, write=120.0)


@dataclass(frozen=True)
class Taken:
    """What a session has: the first ``offset`` bytes; ``video_id`` once it has all."""

    offset: int
    video_id: str = ""


def youtube_client(account: Account, url: str) -> httpx.Client:
    """Return a client of YouTube's API at ``url`` in the account's name, to be used by one thread."""
    # 308 is no redirect here.
    return httpx.Client(base_url=url, auth=YouTubeAuth(account), timeout=_TIMEOUT, follow_redirects=False)


def start(client: httpx.Client, resource: dict[str, Any], *, size: int, content_type: str, account: Account) -> str:
    """Begin a session for ``size`` bytes and return its URI, which is a secret."""
    parameters = {"uploadType": "resumable", "part": ",".join(resource)}
    if account.content_owner:
        parameters["onBehalfOfContentOwner"] = account.content_owner
        if account.channel:
            parameters["onBehalfOfContentOwnerChannel"] = account.channel
    headers = {"X-Upload-Content-Length": str(size), "X-Upload-Content-Type": content_type}
    response = _request(client, "POST", _PATH, params=parameters, headers=headers, json=resource)
    if response.status_code != 200:
        raise refusal(response, "start the upload to YouTube")
    session = client.base_url.join(response.headers.get("Location", ""))
    # The session gets our token, too.
    if session.scheme != client.base_url.scheme or not _same_owner(session.host, client.base_url.host):
        raise YouTubeRefused("YouTube named an upload session on a host that is not its own.")
    return str(session)


def ask(client: httpx.Client, session: str, total: int) -> Taken:
    """Return what the session has of ``total`` bytes; ``SessionExpired`` where there is no such session any more."""
    response = _request(client, "PUT", session, headers={"Content-Range": f"bytes */{total}"}, content=b"")
    return _taken(response, total, "ask how far the upload to YouTube is")


def send(client: httpx.Client, session: str, data: bytes, *, first: int, total: int) -> Taken:
    """Send bytes that begin at ``first``: whole grains of 256 KiB, but for the last; return what the session has then.

    It may have taken less than was sent. ``YouTubeUnavailable`` leaves open what it has: ask.
    """
    last = first + len(data) - 1
    if first % GRAIN or (len(data) % GRAIN and last + 1 != total):
        raise ValueError(f"bytes {first} to {last} of {total} are not on YouTube's grid")
    headers = {"Content-Range": f"bytes {first}-{last}/{total}", "Content-Type": "application/octet-stream"}
    response = _request(client, "PUT", session, headers=headers, content=data)
    return _taken(response, total, f"send byte {first} and what follows to YouTube")


def _taken(response: httpx.Response, total: int, action: str) -> Taken:
    if response.status_code in (200, 201):
        video_id = answered(response, lambda video: str(video.get("id") or ""))
        if not video_id:
            raise YouTubeRefused("YouTube took the whole file, but did not tell the id of the video.")
        return Taken(total, video_id)
    if response.status_code == 308:
        match = _RANGE.fullmatch(response.headers.get("Range", ""))
        return Taken(int(match[1]) + 1 if match else 0)
    if response.status_code in (404, 410):
        raise SessionExpired("YouTube's upload session has expired; the upload begins again.")
    raise refusal(response, action)


def _request(client: httpx.Client, method: str, url: str, **arguments: Any) -> httpx.Response:
    try:
        return client.request(method, url, **arguments)
    except httpx.TransportError as error:
        # httpx' own text may hold the session.
        raise YouTubeUnavailable(f"YouTube could not be reached ({type(error).__name__}).") from None


def _same_owner(host: str, own: str) -> bool:
    return host == own or (own.endswith(".googleapis.com") and host.endswith(".googleapis.com"))
