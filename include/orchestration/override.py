"""The jobs of requests, and what their runs are to do instead of their confs, from within a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from include.settings import get_settings
from include.worker import override as documents
from include.worker.override import Overridable, overridden

if TYPE_CHECKING:
    from include.worker.job import AnyRequest, Job

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
    documents.override(job_for(request), request, replaces)


def withdraw(request: Overridable) -> None:
    """Have the job's run do what its conf says."""
    documents.withdraw(job_for(request))
