"""Who wants to be told what becomes of a job: one document per client in the job's folder."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import Field

from include.worker.requests import Document

__all__ = ["Callback"]


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
