"""Access to a channel: short-lived tokens for a refresh token (RFC 6749 section 6)."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from include.errors import MediaError
from include.uploads.youtube.errors import YouTubeAuthFailed, YouTubeUnavailable, answered

__all__ = ["Account", "YouTubeAuth"]

# A token is renewed this long before its end: a chunk is sent meanwhile.
_SPARE_SECONDS = 120.0


class Account(BaseModel):
    """Who uploads: an OAuth client and the refresh token that a channel's owner has granted it.

    An Airflow connection holds it: login and password are the client's id and secret, the extra has ``refresh_token`` and,
    where wanted, ``channels`` (refresh tokens of further channels, by the channel's id), ``content_owner`` and ``token_url``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    refresh_token: SecretStr
    token_url: str = Field("https://oauth2.googleapis.com/token", pattern=r"^https://|^http://(127\.0\.0\.1|localhost)[:/]")
    content_owner: str = Field("", description="content owner on whose behalf partners upload to any of their channels")
    channel: str = Field("", description="channel of the content owner, where an upload names one")

    @classmethod
    def of_connection(cls, login: str | None, password: str | None, extra: Mapping[str, Any], channel: str = "") -> Account:
        """Return the account of a connection; ``YouTubeAuthFailed`` where it lacks something or does not know the channel."""
        token = extra.get("refresh_token")
        if channel and not extra.get("content_owner"):
            token = (extra.get("channels") or {}).get(channel)
            if not token:
                raise YouTubeAuthFailed(
                    f"No credentials for channel {channel}: the Airflow connection of YouTube has neither content_owner nor "
                    "a refresh token of it below channels in its extra."
                )
        wanted = {"login (client id)": login, "password (client secret)": password, "refresh_token in its extra": token}
        if missing := [name for name, value in wanted.items() if not value]:
            raise YouTubeAuthFailed(f"The Airflow connection of YouTube lacks {' and '.join(missing)}.")
        known = {name: extra[name] for name in ("token_url", "content_owner") if extra.get(name)}
        try:
            return cls(client_id=login, client_secret=password, refresh_token=token, channel=channel, **known)
        except ValueError:
            raise YouTubeAuthFailed("The extra of YouTube's Airflow connection has a value of the wrong form.") from None


class YouTubeAuth(httpx.Auth):
    """Adds an access token to each request, and renews it before it ends and when YouTube does not take it (401)."""

    requires_response_body = True

    def __init__(self, account: Account) -> None:
        self._account = account
        self._token = ""
        self._expires = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See :meth:`httpx.Auth.auth_flow`; ``YouTubeAuthFailed`` where no token can be had."""
        if time.monotonic() > self._expires:
            self._keep((yield self._refresh()))
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == 401:
            self._keep((yield self._refresh()))
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _refresh(self) -> httpx.Request:
        account = self._account
        form = {
            "grant_type": "refresh_token",
            "client_id": account.client_id,
            "client_secret": account.client_secret.get_secret_value(),
            "refresh_token": account.refresh_token.get_secret_value(),
        }
        return httpx.Request("POST", account.token_url, data=form)

    def _keep(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            raise _token_error(response)
        self._token, seconds = answered(response, lambda told: (str(told["access_token"]), float(told.get("expires_in", 3600))))
        self._expires = time.monotonic() + max(seconds - _SPARE_SECONDS, seconds / 2)


def _token_error(response: httpx.Response) -> MediaError:
    if response.status_code == 429 or response.status_code >= 500:
        return YouTubeUnavailable(f"Google's token server answers {response.status_code}.")
    try:
        reason = str(response.json().get("error", ""))
    except (ValueError, AttributeError):
        reason = ""
    words = {
        "invalid_grant": "the refresh token was withdrawn or has expired; authorise the channel again",
        "invalid_client": "client id and secret are not right",
        "unauthorized_client": "this client may not use this refresh token",
    }.get(reason, "see the Airflow connection of YouTube")
    return YouTubeAuthFailed(f"Google's token server answers {response.status_code}: {words}.")
