"""Has an upload's file transcoded, and follows that."""

from __future__ import annotations

import logging
import time
from typing import Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.orchestration.submit import TaskRuns, submit
from include.orchestration.super_resolution import is_current
from include.orchestration.upload.access import TaskUpload, failing
from include.settings import get_settings

__all__ = ["TranscodeOperator"]

logger = logging.getLogger(__name__)

# The run may wait for others' for long, but not for ever.
DEADLINE_SECONDS = 3 * 24 * 3600.0


class TranscodeOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Starts the run of ``transcode`` that makes an HLS ladder of the file, or joins the one there is, and waits for its end.

    Skips itself where the upload does not go to ``s3Bucket``.
    """

    ui_color: ClassVar[str] = "#d7ecf5"

    def execute(self, context: Context) -> Any:
        """Submit, and wait; :class:`~include.orchestration.upload.run_trigger.TranscodeTrigger` ends the task."""
        from include.orchestration.upload.run_trigger import TranscodeTrigger  # noqa: PLC0415
        from include.uploads.transcode import transcode_request  # noqa: PLC0415

        task = TaskUpload(context)
        with failing(task, context):
            upload = task.read()
            if "s3Bucket" not in upload.destinations:
                raise AirflowSkipException("The upload does not go to s3Bucket.")
            request = transcode_request(upload, get_settings().bucket)
            submit([request], TaskRuns(), is_done=is_current)
        task.uploads.set_destination(upload.atom_id, upload.id, "s3Bucket", status="transcoding", details="Waiting to start")
        logger.info("Following run %s of the DAG transcode", request.run_id)
        trigger = TranscodeTrigger(
            **task.reference.model_dump(),
            request=request.model_dump(mode="json"),
            deadline=time.time() + DEADLINE_SECONDS,
        )
        self.defer(trigger=trigger, method_name="fail")

    def fail(self, context: Context, event: str) -> NoReturn:
        """End for good: the run has had its attempts."""
        raise AirflowFailException(event)
