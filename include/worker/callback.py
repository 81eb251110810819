"""Who wants to be told what becomes of a job: one document per client in the job's folder."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import Field

from include.errors import ParameterError
from include.net.guard import check_literal
from include.net.urls import parse_callback
from include.settings import Settings
from include.worker.requests import Document

__all__ = ["Callback", "check_callback"]


class Callback(Document):
    """An address that a client has named; with what it knows the work by.

    The address may hold a token, so it is only in the object store: neither in a run's conf nor in a log. The secret that the
    events are signed with is in the settings.
    """

    url: str = Field(max_length=2048)
    client: str = Field(max_length=200)
    about: dict[str, Any] = Field(default_factory=dict, description="is in every event's `data`: ids and names of the request")

    @property
    def name(self) -> str:
        """Name of the document: the same client's next callback for a job takes the place of this one."""
        return hashlib.sha256(self.client.encode()).hexdigest()[:16]


def check_callback(callback_url: str | None, client: str, settings: Settings) -> None:
    """Raise :class:`ParameterError` for a callback that could not be delivered: a bad address, or no secret to sign with."""
    if callback_url is None:
        return
    url = parse_callback(callback_url)
    try:
        check_literal(url, settings)
    except ParameterError as error:
        raise ParameterError(f"callback_url: {error.message}") from None
    if client not in settings.webhook_secrets:
        raise ParameterError(
            "callback_url: there is no secret to sign callbacks of this client with; leave it out, "
            "or ask the administrator for one (MEDIA_WEBHOOK_SECRETS)."
        )
