"""One video to one output: the workflow that every contract compiles to."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration import params, transcode
from include.orchestration.defaults import dag_arguments, fan_out, single, watched
from include.orchestration.operators.webhook import webhooks
from include.orchestration.operators.work_unit import WorkUnitOperator
from include.orchestration.report import ReportOperator
from include.settings import get_settings
from include.worker.models import TranscodeRequest

DOC = """
### One video to an HLS ladder or an MP4

`plan` probes the source and cuts its timeline at frames. `encode` runs once per chunk, all renditions from one decode, and once
for all audio (index 0). `finish` joins, verifies and publishes: the object that clients look for is written last. `report` always
runs, writes `outcome.json` and fails when the run has failed. `webhooks` tells the callbacks of the requests how the run goes and
how it has ended; it is skipped where there are none.

**To run it again** clear the failed tasks: units that are done are recognised and not encoded again.
**By hand**: each task's log begins with the command that runs its unit outside Airflow.
**Work documents** are in `<MEDIA_WORK_PREFIX>jobs/<job id>/` of the request's bucket.
"""

settings = get_settings()

with DAG(
    "transcode",
    description="One video to an HLS ladder or an MP4",
    doc_md=DOC,
    # A transcoding task of contract 3 has a conf of its own, which names none of these.
    params=params.form(TranscodeRequest, exclude={"client"}, optional={"source_key", "folder", "name"}),
    schedule=None,
    **dag_arguments(settings),
    **watched(settings, "transcode"),
):
    plan = WorkUnitOperator(task_id="plan", make_unit=transcode.plan_unit, **single(settings, "plan"))
    encode = WorkUnitOperator.partial(
        task_id="encode",
        map_index_template="{{ task.unit['label'] }}",
        **fan_out(settings, "video"),
    ).expand(unit=plan.output)
    finish = WorkUnitOperator(task_id="finish", make_unit=transcode.finish_unit, **single(settings, "finish"))
    report = ReportOperator(
        task_id="report",
        work=["plan", "encode", "finish"],
        trigger_rule="all_done",
        retries=3,
        execution_timeout=timedelta(minutes=10),
    )
    plan >> encode >> finish >> report
    webhooks(job_of="include.orchestration.transcode.job_of", work=[plan, encode, finish])
