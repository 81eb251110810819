"""Waits for the parts of an upload, in Airflow's triggerer."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from include.orchestration.upload.access import TaskUpload

__all__ = ["AwaitPartsOperator"]


class AwaitPartsOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Succeeds when all parts have landed; fails when none comes for ``MEDIA_UPLOAD_PART_TIMEOUT_SECONDS``.

    It holds a worker only to begin: :class:`~include.orchestration.upload.parts_trigger.PartsTrigger` looks, notes what has
    landed and ends the task.
    """

    ui_color: ClassVar[str] = "#e5f2dc"

    def execute(self, context: Context) -> Any:
        """Wait."""
        from include.orchestration.upload.parts_trigger import PartsTrigger  # noqa: PLC0415

        self.defer(trigger=PartsTrigger(**TaskUpload(context).reference.model_dump()), method_name="unreachable")

    def unreachable(self, context: Context, event: Any = None) -> None:
        """Never called: the trigger ends the task."""
        raise RuntimeError("the trigger ends this task")
