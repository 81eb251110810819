"""One live stream to several targets: the workflow of contract 3 for what is no file on both sides."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration import live as tasks
from include.orchestration import params
from include.orchestration.defaults import dag_arguments, single, watched
from include.orchestration.operators.webhook import webhooks
from include.orchestration.operators.work_unit import WorkUnitOperator
from include.orchestration.report import ReportOperator
from include.settings import get_settings
from include.worker.task_request import TaskReference

DOC = """
### A live stream to its targets

`live` reads the source, encodes it once and sends it to every target, for as long as the source lasts, at most
`MEDIA_LIVE_SECONDS`. A source or a target that breaks off is sought for `MEDIA_LIVE_RECONNECT_SECONDS`; a target that is
lost holds up no other, and makes the task fail at its end. Targets in S3 are recordings: HLS segments appear while the stream is
live. `report` always runs, writes `outcome.json` and fails when the run has failed.
`webhooks` tells the callback of the request how it goes.

**Runs are started by the API** of contract 3: it keeps the addresses, with their secrets, in the job's folder.
**To stop it** use the API's `DELETE`, which lets recordings be finished. Marking the run as failed stops it, too, but leaves it
only seconds: HLS recordings are closed, others stay as segments in the job's folder.
**An attempt that was killed** is followed by another one, which goes on with recordings and deadline.
**Progress** (seconds, bit rate, state of each target) is in the task's state store.
"""

settings = get_settings()

with DAG(
    "live",
    description="One live stream to several targets",
    doc_md=DOC,
    params=params.form(TaskReference, exclude={"targets"}, bucket=settings.bucket),
    schedule=None,
    **dag_arguments(settings),
    **watched(settings, "live"),
):
    live = WorkUnitOperator(
        task_id="live",
        make_unit=tasks.live_unit,
        retry_policy=tasks.LiveRetryPolicy(),
        execution_timeout=tasks.deadline(settings),
        **({"pool": "media_live"} | single(settings, "live")),
    )
    report = ReportOperator(
        task_id="report",
        work=["live"],
        job_of=tasks.job_of,
        trigger_rule="all_done",
        retries=3,
        execution_timeout=timedelta(minutes=10),
    )
    live >> report
    webhooks(job_of="include.orchestration.live.job_of", work=[live])
