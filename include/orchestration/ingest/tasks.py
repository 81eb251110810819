"""The tasks of the DAGs ``ingest_s3`` and ``ingest_object``."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import Field

from include.errors import MediaError
from include.orchestration.ingest.runs import TaskIngestRuns
from include.orchestration.ingest.watch_trigger import SIGHT_KEY
from include.orchestration.metrics import record_ingest
from include.orchestration.params import read
from include.worker.requests import Document

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

__all__ = ["ObjectReference", "dispatch_sight", "try_object"]

logger = logging.getLogger(__name__)


class ObjectReference(Document):
    """One version of a dropped object: the conf of the DAG ``ingest_object``."""

    bucket: str = Field(description="Bucket of the object.", min_length=3, max_length=63)
    key: str = Field(description="Its key.", min_length=1, max_length=1024)
    etag: str = Field(description="Its version.", min_length=1, max_length=100)
    claim_id: str = Field(description="Id of its claim; set by ingest.", min_length=1, max_length=32)
    client: str | None = Field(None, max_length=200, description="Set by ingest.")


def dispatch_sight(context: Context) -> dict[str, int]:
    """Settle what killed runs have left and start a run for each object that the sensor has found; return how many of each."""
    from include.ingest.dispatch import dispatch  # noqa: PLC0415  these bring boto3
    from include.ingest.models import Dropped  # noqa: PLC0415
    from include.ingest.place import open_ingest  # noqa: PLC0415
    from include.ingest.reconcile import reconcile  # noqa: PLC0415

    sight: dict[str, Any] = context["ti"].xcom_pull(task_ids="watch", key=SIGHT_KEY) or {}
    ingest, runs = open_ingest(), TaskIngestRuns()
    counts: Counter[str] = Counter()
    failure: MediaError | None = None
    if sight.get("overdue"):
        try:
            counts.update({f"overdue {what}": count for what, count in reconcile(ingest, runs).items()})
        except MediaError as error:  # what was dropped now need not wait for claims that cannot be dealt with
            failure = error
    dropped = [Dropped(bucket, key, etag) for bucket, key, etag in sight.get("dropped", ())]
    # The sensor has counted the room, a moment ago.
    fates = Counter(str(one.fate) for one in dispatch(ingest, dropped, runs, room=len(dropped)))
    record_ingest(fates, sight.get("backlog"))
    counts.update(fates)
    logger.info("Dispatched: %s", dict(counts))
    if failure is not None:
        raise failure
    return dict(counts)


def try_object(context: Context) -> str:
    """Look at a refused object and start its run if it may have one by now; raises why it is refused."""
    from include.ingest.dispatch import try_again  # noqa: PLC0415
    from include.ingest.place import open_ingest  # noqa: PLC0415

    reference = read(ObjectReference, context)
    return try_again(open_ingest(), reference.bucket, reference.key, reference.etag, TaskIngestRuns())
