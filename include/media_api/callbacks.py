"""``callback_url`` of the contracts' requests: checked when it is sent, kept in the job's folder for the run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from include.errors import ParameterError
from include.media_api.gateway import AirflowGateway
from include.net.guard import check_literal
from include.net.urls import parse_callback
from include.settings import Settings
from include.worker.callback import Callback
from include.worker.job import Job

__all__ = ["check", "heed", "keep"]

# The task of every DAG that tells callbacks.
WEBHOOKS = "webhooks"


def check(callback_url: str | None, client: str, settings: Settings) -> None:
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


def keep(job: Job, callback_url: str | None, client: str, about: Mapping[str, Any]) -> None:
    """Keep a checked callback for the job's run, before that is triggered; ``about`` will be in each event's ``data``.

    Blocks on the object store. Without ``callback_url`` nothing happens: an earlier one stays until a success was told.
    """
    if callback_url is not None:
        job.write_callback(Callback(url=callback_url, client=client, about=dict(about)))


async def heed(gateway: AirflowGateway, dag_id: str, run_ids: Collection[str]) -> None:
    """Have those of the runs that are at work read their callbacks again: they may have begun without any."""
    for run in (await gateway.runs(dag_id, run_ids)).values():
        if not run.is_finished:
            await gateway.restart_task(dag_id, run.run_id, WEBHOOKS)
