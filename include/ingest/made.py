"""The one place that decides whether an output was made of a dropped object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from include.errors import InternalError, NotFound
from include.worker.job import Job
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

if TYPE_CHECKING:
    from include.ingest.models import Claim
    from include.ingest.place import Ingest

__all__ = ["is_made", "request_of"]


def request_of(claim: Claim) -> TranscodeRequest | SuperResolutionRequest:
    """Return what the claim's run is to do; the claim must not be that of a refusal.

    Raises ``InternalError`` for what this version of Reelflow would not ask for.
    """
    model = TranscodeRequest if claim.dag_id == "transcode" else SuperResolutionRequest
    try:
        return model.model_validate(claim.conf)
    except ValidationError as error:
        raise InternalError(
            f"The claim of {claim.key} is of another version of Reelflow; delete it to have the object looked at anew: "
            f"ingest/open/{claim.id}.json below MEDIA_WORK_PREFIX."
        ) from error


def is_made(ingest: Ingest, claim: Claim) -> bool:
    """Tell whether the claim's output is there and was made of this version of the object."""
    if claim.job_id is None:
        return False
    request = request_of(claim)
    if ingest.store.head(request.bucket, request.destination_key) is None:
        return False
    if claim.version in request.folder:
        # Nothing else is made there, and what clients look for is written last. Work documents may have expired.
        return True
    job = Job(ingest.store, ingest.settings, claim.bucket, claim.job_id)
    last = "finish" if claim.dag_id == "transcode" else "merge"
    try:
        source = job.read_unit(last).source
    except (NotFound, InternalError) as error:
        if type(error) not in (NotFound, InternalError):
            raise
        return False
    result = job.read_result(last)
    return (
        source is not None
        and (source.bucket, source.key, source.etag) == (claim.bucket, claim.key, claim.etag)
        and result is not None
        and result.status == "done"
        # A plan of this object may have been written after another one's output.
        and result.metrics.get("source_etag", claim.etag) == claim.etag
        and job.outputs_exist(result.outputs)
    )
