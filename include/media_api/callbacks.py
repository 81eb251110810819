"""``callback_url`` of the contracts' requests: checked when it is sent, kept in the job's folder for the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.errors import ParameterError
from include.net.guard import check_literal
from include.net.urls import parse_callback
from include.settings import Settings
from include.worker.callback import Callback
from include.worker.job import Job

__all__ = ["check", "keep"]


def check(callback_url: str | None, client: str, settings: Settings) -> None:
    """Raise :class:`ParameterError` for a callback that could not be delivered: a bad address, or no secret to sign with."""
    if callback_url is None:
        return
    check_literal(parse_callback(callback_url), settings)
    if client not in settings.webhook_secrets:
        raise ParameterError(
            "callback_url: there is no secret to sign callbacks of this client with; leave it out, "
            "or ask the administrator for one (MEDIA_WEBHOOK_SECRETS)."
        )


def keep(job: Job, callback_url: str | None, client: str, about: Mapping[str, Any]) -> None:
    """Keep a checked callback for the job's run, before that is triggered; ``about`` will be in each event's ``data``.

    Blocks on the object store. Without ``callback_url`` nothing happens: an earlier one stays until a success was told.
    """
    if callback_url is not None:
        job.write_callback(Callback(url=callback_url, client=client, about=dict(about)))
