"""Waits for dropped objects; takes no worker to do so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.sdk.definitions.context import Context
from airflow.triggers.base import StartTriggerArgs

from include.settings import Settings

__all__ = ["DroppedObjectsSensor"]

# Its trigger ends it earlier.
LONGEST = timedelta(days=2)


class DroppedObjectsSensor(S3KeySensor):  # type: ignore[misc]  # Airflow is untyped here
    """An :class:`S3KeySensor` that begins, waits and ends in the triggerer, and tells which keys it has found.

    The provider's own is fulfilled by any key that matches, today as yesterday, and does not say by which. This one's trigger
    (:class:`~include.orchestration.ingest.watch_trigger.DroppedTrigger`) lists the folders itself and ends the task once there
    are objects that are complete and that nobody has claimed; the XCom ``sight`` names them.
    """

    ui_color: ClassVar[str] = "#e0efe0"
    start_from_trigger = True

    def __init__(self, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(
            bucket_name=settings.bucket,
            bucket_key=[f"{prefix}*" for prefix in settings.ingest_prefixes],
            wildcard_match=True,
            deferrable=True,
            execution_timeout=LONGEST,
            **kwargs,
        )
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="include.orchestration.ingest.watch_trigger.DroppedTrigger",
            trigger_kwargs={},
            next_method="execute",
        )

    def execute(self, context: Context) -> NoReturn:
        """Never called: the trigger ends the task."""
        raise RuntimeError("dropped objects are looked for from the triggerer")
