"""The destination ``youtube`` of the upload that a run is of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.errors import StorageError
from include.orchestration.upload.access import open_uploads
from include.uploads.models import UploadReference

if TYPE_CHECKING:
    from include.uploads.models import Upload
    from include.uploads.registry import Uploads

__all__ = ["YouTubeDestination"]

logger = logging.getLogger(__name__)


class YouTubeDestination:
    """What a task reads and tells of it."""

    def __init__(self, context: Context, uploads: Uploads | None = None) -> None:
        self.reference = UploadReference.model_validate(context["dag_run"].conf)
        self._uploads = uploads or open_uploads()

    def upload(self) -> Upload:
        """Return the upload as it is now; skips the task where it does not go to YouTube, and fails it where that has failed.

        Airflow may try a task again that has said it has failed for good: one whose end its supervisor could not report.
        """
        upload = self._uploads.read(self.reference.atom_id, self.reference.upload_id)
        if "youtube" not in upload.destinations:
            raise AirflowSkipException("This upload does not go to YouTube.")
        if upload.at["youtube"].status == "failed":
            raise AirflowFailException(
                upload.at["youtube"].error or "The way to YouTube has failed before; clear the whole run to try it again."
            )
        return upload

    def complete(self, details: str) -> None:
        """Tell that it is complete."""
        self._uploads.set_destination(
            self.reference.atom_id, self.reference.upload_id, "youtube", status="complete", progress=100.0, details=details
        )  # fmt: skip

    def fail(self, error: str) -> None:
        """Tell why it has failed."""
        try:
            self._uploads.set_destination(
                self.reference.atom_id, self.reference.upload_id, "youtube", status="failed", error=error
            )  # fmt: skip
        except StorageError as lost:  # the task fails with its own error, and the report tells it again
            logger.warning("%s", lost.message)
