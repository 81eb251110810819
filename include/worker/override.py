"""What a run is to do instead of its conf.

A run that has failed can be cleared, and one at work can be given more to do, but neither gets another conf by that. The request
is kept in the job's folder, with the conf that it replaces, so that it says nothing about a run that was made with another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import ValidationError

from include.errors import NotFound
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

if TYPE_CHECKING:
    from include.worker.job import Job

Overridable = TypeVar("Overridable", bound=TranscodeRequest | SuperResolutionRequest)

__all__ = ["Overridable", "overridden", "override", "withdraw"]


def override(job: Job, request: Overridable, replaces: Mapping[str, Any]) -> None:
    """Have the job's run, whose conf is ``replaces``, do ``request``, as far as it has not begun yet."""
    document = {"replaces": dict(replaces), "request": request.model_dump(mode="json")}
    job.store.put_bytes(job.bucket, job.override_key, json.dumps(document, indent=1).encode())


def withdraw(job: Job) -> None:
    """Have the job's run do what its conf says."""
    job.store.delete(job.bucket, job.override_key)


def overridden(job: Job, request: Overridable, conf: Mapping[str, Any]) -> Overridable:
    """Return what the job's run with this ``conf`` is to do: ``request`` unless there is an override."""
    try:
        document = json.loads(job.store.get_bytes(job.bucket, job.override_key))
        instead = cast("Overridable", type(request).model_validate(document["request"]))
        return instead if document["replaces"] == conf else request
    except (NotFound, ValidationError, ValueError, KeyError, TypeError):
        return request
