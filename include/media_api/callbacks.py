"""``callback_url`` of the contracts' requests: checked when it is sent, kept in the job's folder for the run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from include.media_api.gateway import AirflowGateway
from include.worker.callback import Callback
from include.worker.callback import check_callback as check
from include.worker.job import Job

__all__ = ["check", "heed", "keep"]

# The task of every DAG that tells callbacks.
WEBHOOKS = "webhooks"


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
