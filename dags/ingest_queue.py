"""Runs that objects in S3 start, told of by a queue."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetWatcher, Param, task

from include.orchestration.defaults import watched
from include.orchestration.ingest.queue_trigger import QueueTrigger
from include.orchestration.retry import MediaRetryPolicy
from include.settings import get_settings

DOC = """
### Objects that are dropped in S3, told of by a queue

S3 sends an event about each new object to the queue that `MEDIA_INGEST_QUEUE_URL` names; without that setting nothing starts
this DAG by itself. A watcher sees that messages wait and that there is room for runs (`MEDIA_INGEST_ACTIVE`), and its event
starts a run of this DAG, one at a time. `dispatch` takes as many messages as there is room, claims their objects, starts one run
each, and only then deletes the message. Messages that are left wait in the queue for the next run.

**A failed run** names messages that went to the dead-letter queue, and why: what is no event of S3's at once, what could not be
dealt with after as many times as the queue's redrive policy says.
**To try dead letters again** start a run with the parameter `redrive`: it puts them back into the queue first.
"""

settings = get_settings()
queue = Asset(
    "media_ingest_queue",
    watchers=[
        AssetWatcher(
            name="messages",
            trigger=QueueTrigger(queue_url=settings.ingest_queue_url, poll_seconds=settings.ingest_queue_poll_seconds),
        )
    ],
)

with DAG(
    "ingest_queue",
    description="Starts a run for each object that S3 has told the queue of",
    doc_md=DOC,
    schedule=queue if settings.ingest_queue_url else None,
    params={
        "redrive": Param(False, type="boolean", title="Redrive", description="First put back what lies in the dead-letter queue.")
    },
    tags=["media", "ingest"],
    default_args={"owner": "reelflow", "retries": 5, "retry_delay": timedelta(seconds=5)},
    # Events that come while a run is at work become one run after it.
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    **watched(settings, "ingest_queue", dispatches=True),
):

    @task(retry_policy=MediaRetryPolicy(), execution_timeout=timedelta(minutes=30))
    def dispatch(**context):
        from include.orchestration.ingest.queue import dispatch_queue  # noqa: PLC0415

        return dispatch_queue(context)

    dispatch()
