"""Runs that objects in S3 start, found by looking."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, task

from include.orchestration.defaults import watched
from include.orchestration.ingest.sensor import DroppedObjectsSensor
from include.orchestration.retry import MediaRetryPolicy
from include.settings import get_settings

DOC = """
### Objects that are dropped in S3

A run of this DAG is always there. `watch`, a deferrable `S3KeySensor`, lists the folders of `MEDIA_INGEST_TRANSCODE_PREFIXES` and
`MEDIA_INGEST_SR_PREFIXES` every `MEDIA_INGEST_POLL_SECONDS` from within the triggerer: no worker waits, and while nothing is
dropped nothing is written. Once there are objects that are complete and that nobody has claimed, `dispatch` claims them and
starts one run each of `transcode` or `super_resolution`; then the next run begins to watch. At most `MEDIA_INGEST_ACTIVE` such
runs are at work, the other objects wait where they are. Claims of runs that were deleted or killed are settled here, too.

**An object that cannot be taken** has a failed run of `ingest_object` that says why, and `<key>.error.json` beside it.
**To stop it** pause this DAG. What is dropped meanwhile is found afterwards.
**With a queue** (`MEDIA_INGEST_QUEUE_URL`, the DAG `ingest_queue`) it looks once a minute, for events that were lost.
"""

settings = get_settings()

with DAG(
    "ingest_s3",
    description="Starts a run for each object that is dropped in a watched folder",
    doc_md=DOC,
    schedule="@continuous" if settings.ingest_prefixes else None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    tags=["media", "ingest"],
    default_args={
        "owner": "reelflow",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "retry_policy": MediaRetryPolicy(),
    },
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    **watched(settings, "ingest_s3", dispatches=True),
):

    @task(execution_timeout=timedelta(minutes=30))
    def dispatch(**context):
        from include.orchestration.ingest.tasks import dispatch_sight  # noqa: PLC0415

        return dispatch_sight(context)

    DroppedObjectsSensor(task_id="watch", settings=settings) >> dispatch()
