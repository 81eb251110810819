"""Puts the Batch backend of a task together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.sdk.definitions.context import Context

from include.orchestration.backends.batch import BatchBackend
from include.settings import get_settings

if TYPE_CHECKING:
    from include.worker.models import WorkUnit

__all__ = ["batch_backend", "load_units"]


def load_units(uris: Sequence[str]) -> list[WorkUnit]:
    """Return the unit documents at ``uris``."""
    # Not at the top: DAG files import this module, and boto3 would slow every parse and every start of a task.
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415
    from include.worker.execute import load_unit  # noqa: PLC0415
    from include.worker.work import in_parallel  # noqa: PLC0415

    store = S3ObjectStore()
    return list(in_parallel(lambda uri: load_unit(store, uri), uris, lambda: None))


def batch_backend(units: Sequence[WorkUnit], context: Context) -> BatchBackend:
    """Return the Batch backend of a task, on the connection ``aws_default`` and the task's state store."""
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415
    from include.orchestration.batch.memory import Memory  # noqa: PLC0415
    from include.orchestration.batch.service import HookBatchService  # noqa: PLC0415
    from include.orchestration.batch.submission import Work  # noqa: PLC0415
    from include.worker.job import Job  # noqa: PLC0415

    ti, settings, work = context["ti"], get_settings(), Work(tuple(units))
    first = units[0]
    tags = {
        "reelflow:job": first.job_id,
        "reelflow:unit": work.id,
        "reelflow:dag": ti.dag_id,
        "reelflow:run": ti.run_id,
        "reelflow:label": first.label,
    }
    return BatchBackend(
        service=HookBatchService(),
        memory=Memory(context["task_state_store"]),
        work=work,
        job=Job(S3ObjectStore(settings), settings, first.bucket, first.job_id),
        settings=settings,
        attempt=ti.try_number,
        tries=ti.max_tries,
        tags=tags,
        environ=os.environ,
    )
