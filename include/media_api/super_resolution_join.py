"""A request for what a run of super-resolution is at work on: joined where the run makes what is wanted, or can be made to."""

from __future__ import annotations

from anyio.to_thread import run_sync
from pydantic import ValidationError

from include.errors import Conflict
from include.media_api.gateway import Run
from include.media_api.services import Services
from include.media_api.super_resolution_status import SUPER_RESOLUTION_DAG, SuperResolutionSubmission
from include.worker.job import Job
from include.worker.models import SuperResolutionRequest
from include.worker.override import overridden, override

__all__ = ["join"]

# The task of the DAG that starts the ladder.
REPORT = "report"


async def join(services: Services, submission: SuperResolutionSubmission, run: Run) -> None:
    """See that a run at work makes all that is wanted; raises :class:`Conflict` where it does not and cannot any more.

    How it is made (``env``, ``segment_time``) is left to the request that was first.
    """
    wanted, job = submission.request, Job.of(services.store, services.settings, submission.request)
    try:
        begun = SuperResolutionRequest.model_validate({"bucket": wanted.bucket} | dict(run.conf))
    except ValidationError as error:
        # Started in Airflow, by hand.
        raise _made_for_another("key", "with wrong fields") from error
    at_work = await run_sync(overridden, job, begun, run.conf)
    model = at_work.chosen_model(services.settings.sr_model)
    if model != submission.model:
        raise _made_for_another("model", f"model {model}")
    if wanted.task == "debug" and at_work.task != "debug":
        raise _made_for_another("task", f"task {at_work.task}")
    if wanted.ladder in {None, at_work.ladder}:
        return
    if at_work.ladder is not None:
        raise _made_for_another("ladder", f"ladder {at_work.ladder}")
    await run_sync(override, job, at_work.model_copy(update={"ladder": wanted.ladder}), run.conf)
    # After it is written: a report that begins from now on reads it.
    tasks = (await services.gateway.tasks(SUPER_RESOLUTION_DAG, [run.run_id])).get(run.run_id, ())
    if any(task.task_id == REPORT and task.start_date is not None for task in tasks):
        raise _made_for_another("ladder", "without a ladder, and about to end")


def _made_for_another(field: str, made: str) -> Conflict:
    return Conflict(f"{field}: it is being made for another request ({made}); post this again when that is done")
