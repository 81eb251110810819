"""One dropped object that was refused: why, and another try."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from include.orchestration import params
from include.orchestration.defaults import watched
from include.orchestration.ingest.tasks import ObjectReference
from include.orchestration.retry import MediaRetryPolicy
from include.settings import get_settings

DOC = """
### A dropped object that cannot be taken

The object has a wrong suffix, no content, or wrong parameters (its sidecar `<name>.json`, tags `reelflow:<field>`, metadata
`reelflow-<field>`). The run fails, its task's log and `<key>.error.json` beside the object say why.

**To try again** put it right and clear this run. Writing the object or its sidecar anew has the same effect. If the object may be
taken now, a run of `transcode` or `super_resolution` starts, and this run succeeds.

Runs are started by `ingest_s3` and `ingest_queue`.
"""

settings = get_settings()

with DAG(
    "ingest_object",
    description="Tells why a dropped object was refused, and tries it again",
    doc_md=DOC,
    params=params.form(ObjectReference, exclude={"client"}, bucket=settings.bucket),
    schedule=None,
    tags=["media", "ingest"],
    default_args={"owner": "reelflow", "retries": 3, "retry_delay": timedelta(seconds=5)},
    max_active_runs=4,
    is_paused_upon_creation=False,
    **watched(settings, "ingest_object"),
):

    @task(retry_policy=MediaRetryPolicy(), execution_timeout=timedelta(minutes=10))
    def admit(**context):
        from include.orchestration.ingest.tasks import try_object  # noqa: PLC0415

        return try_object(context)

    admit()
