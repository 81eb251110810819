"""What a run is to do instead of its conf.

A task can clear a run that has failed, but not change its conf: the request for the same destination may be another one by now.
It is kept in the job's folder, with the conf that it replaces, so that it says nothing about a run that was made anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import ValidationError

from include.errors import NotFound
from include.settings import get_settings
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

if TYPE_CHECKING:
    from include.worker.job import AnyRequest, Job

Overridable = TypeVar("Overridable", bound=TranscodeRequest | SuperResolutionRequest)

__all__ = ["job_for", "named_job", "overridden", "override", "withdraw"]


def job_for(request: AnyRequest) -> Job:
    """Return the job of ``request`` in the object store of the settings."""
    # Not at the top: DAG files import this room, and boto3 would slow every parse and every start of a task.
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415
    from include.worker.job import Job  # noqa: PLC0415

    settings = get_settings()
    return Job.of(S3ObjectStore(settings), settings, request)


def named_job(model: type[AnyRequest], known: Mapping[str, Any]) -> Job | None:
    """Return the job of the request that ``known`` parameters make, or ``None`` where they make none or name another's bucket."""
    try:
        request = model.model_validate(known)
    except ValidationError:
        return None
    return job_for(request) if get_settings().allows_bucket(request.bucket) else None


def override(request: Overridable, replaces: Mapping[str, Any]) -> None:
    """Have the job's run, whose conf is ``replaces``, do ``request`` when it is cleared."""
    job = job_for(request)
    document = {"replaces": dict(replaces), "request": request.model_dump(mode="json")}
    job.store.put_bytes(job.bucket, job.override_key, json.dumps(document, indent=1).encode())


def withdraw(request: Overridable) -> None:
    """Have the job's run do what its conf says."""
    job = job_for(request)
    job.store.delete(job.bucket, job.override_key)


def overridden(job: Job, request: Overridable, conf: Mapping[str, Any]) -> Overridable:
    """Return what the job's run with this ``conf`` is to do: ``request`` unless there is an override."""
    try:
        document = json.loads(job.store.get_bytes(job.bucket, job.override_key))
        instead = cast("Overridable", type(request).model_validate(document["request"]))
        return instead if document["replaces"] == conf else request
    except (NotFound, ValidationError, ValueError, KeyError, TypeError):
        return request
