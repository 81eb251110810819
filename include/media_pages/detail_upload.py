"""The details of an upload: its parts and destinations."""

from __future__ import annotations

import logging
from typing import Any

from include.errors import NotFound, StorageError, error_from_document
from include.media_api.gateway import Run
from include.media_pages.models import Destination, Part, Problem
from include.uploads.models import Upload
from include.uploads.registry import Uploads

__all__ = ["read_upload", "upload_fields", "upload_problem"]

logger = logging.getLogger(__name__)


def read_upload(uploads: Uploads, run: Run) -> Upload | None:
    """Return the upload that a run's conf names; ``None`` where it cannot be read: its steps are shown all the same."""
    atom_id, upload_id = run.conf.get("atom_id"), run.conf.get("upload_id")
    if not (isinstance(atom_id, str) and isinstance(upload_id, str) and atom_id and upload_id):
        return None
    try:
        return uploads.read(atom_id, upload_id, consistent=False)
    except NotFound:
        return None
    except StorageError as error:
        logger.warning("The upload of run %s is shown without its parts: %s", run.run_id, error)
        return None


def upload_fields(upload: Upload) -> dict[str, Any]:
    """Return the fields of ``JobDetail`` that an upload tells."""
    at = [upload.at[kind] for kind in upload.destinations]
    return {
        "destinations": tuple(
            Destination(name=one.type, status=one.status, progress=one.progress, details=one.details, error=one.error)
            for one in at
        ),
        "parts": tuple(Part(index=part.n, bytes=part.size, complete=part.complete, error=part.error) for part in upload.parts),
    }


def upload_problem(upload: Upload) -> Problem | None:
    """Return why an upload has failed."""
    problem = upload.outcome.problem
    if problem is None:
        return None
    return Problem(code=problem.code, message=problem.message, retryable=error_from_document(problem.model_dump()).retryable)
