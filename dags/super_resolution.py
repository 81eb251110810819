"""One video upscaled: the workflow of contract 2."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration import params, super_resolution
from include.orchestration.defaults import dag_arguments, fan_out, single, watched
from include.orchestration.operators.webhook import webhooks
from include.orchestration.operators.work_unit import WorkUnitOperator
from include.orchestration.report import ReportOperator
from include.settings import get_settings
from include.worker.models import SuperResolutionRequest

DOC = """
### One video, two or four times as large

`split` probes the source and splits its video at keyframes by stream copy. `upscale` runs once per segment of that split. `merge`
joins the segments, copies audio, subtitles, chapters and metadata from the source once, verifies every frame's time and every
copied packet, and publishes `<folder>/<stem>_x<scale><ext>`. `report` always runs, writes `outcome.json`, fails when the run has
failed and, where `ladder` is set, starts a run of `transcode` on the result. `webhooks` tells the callbacks of the requests how
the run goes and how it has ended; it is skipped where there are none.

**To run it again** clear the failed tasks: segments that are done are recognised and not upscaled again.
**By hand**: each task's log begins with the command that runs its unit outside Airflow.
**Work documents** are in `<MEDIA_WORK_PREFIX>jobs/<job id>/` of the bucket.
"""

settings = get_settings()

with DAG(
    "super_resolution",
    description="One video upscaled two or four times",
    doc_md=DOC,
    params=params.form(SuperResolutionRequest, exclude={"client"}, bucket=settings.bucket),
    schedule=None,
    **dag_arguments(settings),
    **watched(settings, "super_resolution"),
):
    split = WorkUnitOperator(task_id="split", make_unit=super_resolution.split_unit, **single(settings, "split"))
    upscale = WorkUnitOperator.partial(
        task_id="upscale",
        map_index_template="{{ task.unit['label'] }}",
        # One segment keeps all processors of a machine busy. The next one has started and fetched when it may begin.
        **fan_out(settings, "upscale", local_slots=settings.segment_pool_slots, local_most=2 * settings.sr_slots),
        # Airflow's own has another name in each installation.
        **({"queue": settings.sr_queue} if settings.sr_queue else {}),
    ).expand(unit=split.output)
    merge = WorkUnitOperator(task_id="merge", make_unit=super_resolution.merge_unit, **single(settings, "merge"))
    report = ReportOperator(
        task_id="report",
        work=["split", "upscale", "merge"],
        job_of=super_resolution.job_of,
        follow_up=super_resolution.start_ladder,
        trigger_rule="all_done",
        retries=3,
        execution_timeout=timedelta(minutes=10),
    )
    split >> upscale >> merge >> report
    webhooks(job_of="include.orchestration.super_resolution.job_of", work=[split, upscale, merge])
