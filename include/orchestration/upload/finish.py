"""The last tasks of an upload's run: remove what is no longer needed, say what became of it."""

from __future__ import annotations

import logging
from typing import ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.errors import InternalError
from include.orchestration.metrics import record_upload
from include.orchestration.upload.access import TaskUpload, open_store
from include.uploads.models import Problem, Upload

__all__ = ["CleanOperator", "ReportOperator"]

logger = logging.getLogger(__name__)


class CleanOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Removes the parts once they are joined and the relay to YouTube reads them no more."""

    ui_color: ClassVar[str] = "#eeeeee"

    def execute(self, context: Context) -> int:
        """Return how many objects were removed; skips itself where the parts were not joined: a lifecycle rule removes those."""
        task = TaskUpload(context)
        upload = task.uploads.read(task.reference.atom_id, task.reference.upload_id)
        if not upload.joined.done:
            raise AirflowSkipException("The parts were not joined, so they stay.")
        return open_store().delete_prefix(upload.bucket, upload.reference.parts_prefix)


class ReportOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Runs last, whatever has happened; fails where the upload has not arrived at all its destinations."""

    ui_color: ClassVar[str] = "#eeeeee"

    def execute(self, context: Context) -> dict[str, str]:
        """Return the status of each destination; raises :class:`AirflowFailException` with the reason of a failure."""
        task = TaskUpload(context)
        upload = task.uploads.read(task.reference.atom_id, task.reference.upload_id)
        if upload.outcome.state == "aborted":
            raise AirflowFailException("The upload was aborted.")
        problem = problem_of(upload)
        if problem is None:
            if upload.outcome.state != "complete":
                task.uploads.complete(task.reference)
                record_upload("done")
            return {kind: upload.at[kind].status for kind in upload.destinations}
        for kind in upload.destinations:
            if not upload.at[kind].is_over:
                task.uploads.set_destination(upload.atom_id, upload.id, kind, status="failed", error=problem.message)
        task.uploads.fail(task.reference, problem)
        record_upload("failed")
        raise AirflowFailException(f"{problem.code}: {problem.message}")


def problem_of(upload: Upload) -> Problem | None:
    """Return why an upload whose other tasks have ended has failed, or ``None`` where it has not."""
    if upload.outcome.problem is not None:
        return upload.outcome.problem
    for kind in upload.destinations:
        at = upload.at[kind]
        if at.status == "failed":
            return Problem(code="Failed", message=at.error or f"{kind} failed without a reason.")
    if all(upload.at[kind].status == "complete" for kind in upload.destinations):
        return None
    message = "A task was killed, or failed by a user. Its log in Airflow may tell more."
    return Problem(code=InternalError.code, message=message)
