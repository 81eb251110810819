"""Joins the parts of an upload into its file."""

from __future__ import annotations

import logging
import time
from typing import ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from include.errors import Cancelled
from include.orchestration.metrics import record_upload
from include.orchestration.upload.access import TaskUpload, failing, open_store
from include.settings import get_settings

__all__ = ["JoinOperator"]

logger = logging.getLogger(__name__)

TELL_SECONDS = 2.0
WORDS = {"joining": "Joining the parts", "checking": "Checking the file"}


class JoinOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """See :class:`include.uploads.join.Joiner`; the bytes stay inside S3 unless a SHA-256 is to be checked."""

    ui_color: ClassVar[str] = "#e5f2dc"

    def execute(self, context: Context) -> dict[str, object]:
        """Return the file's key, size and ETag."""
        from include.media_store.multipart import S3Copies  # noqa: PLC0415  brings boto3
        from include.uploads.join import Joiner  # noqa: PLC0415

        task = TaskUpload(context)
        with failing(task, context):
            upload = task.read()
            joiner = Joiner(task.uploads, open_store(), S3Copies(), get_settings().bucket, _Teller(task))
            full = joiner.join(upload)
        if not upload.joined.done:
            record_upload("joined", size=full.size, parts=upload.part_count)
        logger.info("%s has %d bytes", full.uri, full.size)
        return {"key": full.key, "size": full.size, "etag": full.etag}


class _Teller:
    """Shows how far the joining is, and ends it where the upload is wanted no more."""

    def __init__(self, task: TaskUpload) -> None:
        self._task = task
        self._told_at = float("-inf")

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told_at < TELL_SECONDS:
            return
        self._told_at = now
        text = f"{WORDS[phase]}: {100 * done // max(1, total)} %"
        logger.info("%s", text)
        reference = self._task.reference
        upload = self._task.uploads.read(reference.atom_id, reference.upload_id)
        if upload.outcome.state == "aborted":
            raise Cancelled("The upload was aborted.")
        if "s3Bucket" in upload.destinations:
            self._task.uploads.set_destination(upload.atom_id, upload.id, "s3Bucket", status="waiting", details=text)
