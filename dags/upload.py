"""One upload from its first part to its destinations: the workflow of contract 4."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration import params
from include.orchestration.defaults import dag_arguments, watched
from include.orchestration.upload.await_parts import AwaitPartsOperator
from include.orchestration.upload.begin import BeginOperator
from include.orchestration.upload.finish import CleanOperator, ReportOperator
from include.orchestration.upload.join import JoinOperator
from include.orchestration.upload.transcode import TranscodeOperator
from include.orchestration.youtube.processing import ProcessingOperator
from include.orchestration.youtube.relay import RelayOperator
from include.settings import get_settings
from include.uploads.models import UploadReference

DOC = """
### One upload, from its first part to its destinations

`begin` forgets the failure of an earlier attempt. `await_parts` waits in the triggerer until all parts have landed. `join` copies
them into one file inside S3 and checks it.
`transcode` has an HLS ladder made of it by the DAG of that name. Beside them `relay` sends the parts to YouTube in their order,
each as soon as it and all before it have landed, and `processing` follows what YouTube makes of them; both skip themselves where
the upload does not go there, as `transcode` does. `clean` removes the parts. `report` always runs, and fails where a destination
has failed.

**To run it again** clear the whole run: parts, copies and what YouTube has received are recognised and not sent again.
**State** is in the DynamoDB table `MEDIA_UPLOADS_TABLE`; clients read it at `/api2/atom/<atom>/uploads/<upload>`.
"""

settings = get_settings()
# More attempts than a unit has: nothing that is done is done again, and a client would have to send everything once more.
arguments = dag_arguments(settings)
arguments["default_args"] |= {"retries": 8}
# Nearly all of a run is waiting in the triggerer, which costs nothing.
arguments |= {"max_active_runs": 1000, "max_active_tasks": 1000}

with DAG(
    "upload",
    description="One upload joined, transcoded and relayed to YouTube",
    doc_md=DOC,
    params=params.form(UploadReference),
    schedule=None,
    **arguments,
    **watched(settings, "upload"),
):
    begin = BeginOperator(task_id="begin")
    await_parts = AwaitPartsOperator(task_id="await_parts")
    join = JoinOperator(task_id="join")
    transcode = TranscodeOperator(task_id="transcode")
    relay = RelayOperator(task_id="relay")
    processing = ProcessingOperator(task_id="processing")
    clean = CleanOperator(task_id="clean", trigger_rule="all_done")
    report = ReportOperator(task_id="report", trigger_rule="all_done", execution_timeout=timedelta(minutes=10))
    begin >> [await_parts, relay]
    await_parts >> join >> transcode >> report
    relay >> processing >> report
    [join, relay] >> clean >> report
