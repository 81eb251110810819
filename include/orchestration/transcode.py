"""The first and the last unit of a transcode run, made from the run's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.context import Context

from include.errors import NotFound
from include.orchestration.override import job_for, named_job, overridden
from include.orchestration.params import read
from include.settings import get_settings
from include.worker.models import TranscodeRequest
from include.worker.task_request import TaskReference

if TYPE_CHECKING:
    from include.worker.job import AnyRequest, Job

__all__ = ["finish_unit", "job_of", "open_job", "plan_unit", "request_of"]


def plan_unit(context: Context) -> str:
    """Write the unit that plans the run and return its URI; raises :class:`ParameterError` for wrong parameters."""
    from include.worker import job as jobs  # noqa: PLC0415  brings boto3

    request, run = request_of(context), context["dag_run"]
    job = open_job(request)
    if isinstance(request, TranscodeRequest):
        if run.run_id == request.run_id:
            request = overridden(job, request, run.conf or {})
        job.write_request(request)
    unit = jobs.plan_unit(request)
    job.write_unit(unit)
    return job.unit_uri(unit.id)


def request_of(context: Context) -> TranscodeRequest | TaskReference:
    """Return what a run is to do: a transcode as its parameters have it, or the task of contract 3 that its conf names."""
    conf = context["dag_run"].conf or {}
    if "task_id" not in conf:
        return read(TranscodeRequest, context)
    # The form's defaults are a transcode's.
    return read(TaskReference, {"params": {}, "dag_run": context["dag_run"]})


def open_job(request: AnyRequest) -> Job:
    """Return the job of ``request``; raises :class:`NotFound` where its bucket is none that requests may name."""
    if not get_settings().allows_bucket(request.bucket):
        raise NotFound(f"bucket: {request.bucket!r} is not one that requests may name (MEDIA_BUCKET, MEDIA_BUCKETS).")
    job = job_for(request)
    if not job.store.bucket_exists(request.bucket):
        raise NotFound(f"bucket: there is no bucket {request.bucket!r}.")
    return job


def finish_unit(context: Context) -> str:
    """Return the URI of the unit that assembles and publishes; the plan has written it."""
    # An override is for the same destination, so for the same job.
    return job_for(request_of(context)).unit_uri("finish")


def job_of(parameters: Mapping[str, Any]) -> Job | None:
    """Return the job that ``parameters`` name, even where others of them are wrong; ``None`` where they name none."""
    if parameters.get("task_id"):
        return named_job(TaskReference, {name: parameters.get(name) for name in ("bucket", "client", "task_id")})
    known = {name: parameters[name] for name in ("bucket", "folder", "name", "container") if parameters.get(name)}
    return named_job(TranscodeRequest, {"source_key": "unknown"} | known)
