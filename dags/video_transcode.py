"""A folder of videos (contract 1): one `transcode` run each."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from include.orchestration import params
from include.orchestration.defaults import watched
from include.orchestration.retry import MediaRetryPolicy
from include.settings import get_settings
from include.worker.video_transcode import VideoTranscodeRequest

DOC = """
### Submit a folder of videos

Lists `src`, leaves out what exists already, and starts one run of `transcode` for each other video. Run ids follow from the
outputs, so a second submission joins the runs that are at work and starts those again that have failed. With `testflag` other
than `no` it only lists. The parameters are those of `POST /prod/videoTranscode`.
"""

with DAG(
    "video_transcode",
    description="One transcode run per video of a folder",
    doc_md=DOC,
    schedule=None,
    params=params.form(VideoTranscodeRequest, exclude={"callback_url"}),
    tags=["media"],
    default_args={"owner": "reelflow", "retries": 3, "retry_delay": timedelta(seconds=5)},
    max_active_runs=4,
    is_paused_upon_creation=False,
    **watched(get_settings(), "video_transcode"),
):

    @task(retry_policy=MediaRetryPolicy(), execution_timeout=timedelta(minutes=30))
    def submit(**context):
        from include.orchestration.submit import submit_folder  # noqa: PLC0415

        return submit_folder(context)

    submit()
