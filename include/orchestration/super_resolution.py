"""The first and the last unit of a super-resolution run, made from its parameters, and the transcode that may follow it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.context import Context

from include.orchestration.override import job_for, named_job, overridden
from include.orchestration.params import read
from include.orchestration.submit import TaskRuns, submit
from include.orchestration.transcode import open_job
from include.worker.models import SuperResolutionRequest, TranscodeRequest

if TYPE_CHECKING:
    from include.worker.job import Job

__all__ = ["is_current", "job_of", "merge_unit", "request_of", "split_unit", "start_ladder"]

logger = logging.getLogger(__name__)


def split_unit(context: Context) -> str:
    """Write the unit that splits the source and return its URI; raises :class:`ParameterError` for wrong parameters."""
    from include.worker import job as jobs  # noqa: PLC0415  brings boto3

    job = open_job(read(SuperResolutionRequest, context))
    request = request_of(context)
    job.write_request(request)
    unit = jobs.split_unit(request)
    job.write_unit(unit)
    return job.unit_uri(unit.id)


def request_of(context: Context) -> SuperResolutionRequest:
    """Return what a run is to do: what its parameters say, unless it was restarted for another request."""
    request, run = read(SuperResolutionRequest, context), context["dag_run"]
    return overridden(job_for(request), request, run.conf or {}) if run.run_id == request.run_id else request


def merge_unit(context: Context) -> str:
    """Return the URI of the unit that merges and publishes; the split has written it."""
    # An override is for the same destination, so for the same job.
    return job_for(read(SuperResolutionRequest, context)).unit_uri("merge")


def job_of(parameters: Mapping[str, Any]) -> Job | None:
    """Return the job that ``parameters`` name, even where others of them are wrong; ``None`` where they name none."""
    known = {name: parameters[name] for name in ("bucket", "key", "scale", "output_folder") if parameters.get(name)}
    return named_job(SuperResolutionRequest, known)


def start_ladder(context: Context) -> None:
    """Start the transcode of the result where the request wants one; a run of it that there is already is joined."""
    ladder = request_of(context).ladder_request
    if ladder is not None:
        submit([ladder], TaskRuns(), is_done=is_current)


def is_current(request: TranscodeRequest) -> bool:
    """Tell whether the transcode's output is there and was made of its source as it is now."""
    job = job_for(request)
    source, made = job.store.head(request.bucket, request.source_key), job.read_result("finish")
    # Not what was planned last: a plan for a new source leaves the output of the old one there until it is finished.
    if source is None or made is None or made.status != "done" or made.metrics.get("source_etag") != source.etag:
        return False
    return job.outputs_exist(made.outputs)
