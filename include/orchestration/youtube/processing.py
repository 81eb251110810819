"""Waits for YouTube to process a video, without a worker's slot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from include.orchestration.youtube.destination import YouTubeDestination
from include.orchestration.youtube.triggers import ProcessingTrigger
from include.settings import get_settings

__all__ = ["ProcessingOperator"]

DEADLINE_SECONDS = 24 * 3600.0


class ProcessingOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Follows what YouTube makes of the video that the task ``relay`` has sent, and tells its end in the upload's destination.

    Skipped where YouTube is none of the upload's destinations; fails with YouTube's reason, in words.
    """

    def __init__(self, *, relay: str = "relay", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.relay = relay

    def make_destination(self, context: Context) -> YouTubeDestination:
        """Return what is read and told."""
        return YouTubeDestination(context)

    def execute(self, context: Context) -> None:
        """Defer at once."""
        upload = self.make_destination(context).upload()
        trigger = ProcessingTrigger(
            **upload.reference.model_dump(),
            video_id=context["ti"].xcom_pull(task_ids=self.relay),
            channel=upload.channel or "",
            deadline=time.time() + DEADLINE_SECONDS,
            poll_seconds=get_settings().upload_poll_seconds,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"video_id": trigger.video_id})

    def resume(self, context: Context, event: Mapping[str, Any], video_id: str) -> None:
        """Tell what became of the video."""
        destination = self.make_destination(context)
        if event["state"] == "complete":
            destination.complete(f"https://youtu.be/{video_id}")
            return
        destination.fail(event["details"])
        raise AirflowFailException(event["details"])
