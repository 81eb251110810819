"""Waits for the parts of an upload, in Airflow's triggerer."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from include.orchestration.upload.access import TaskUpload

__all__ = ["AwaitPartsOperator"]


class AwaitPartsOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Succeeds when all parts have landed; fails when none comes for ``MEDIA_UPLOAD_PART_TIMEOUT_SECONDS``.

    It holds a worker only to begin, and to fail: :class:`~include.orchestration.upload.parts_trigger.PartsTrigger` looks, notes
    what has landed and ends the task.
    """

    ui_color: ClassVar[str] = "#e5f2dc"

    def execute(self, context: Context) -> Any:
        """Wait; raises :class:`AirflowFailException` where the upload has failed already."""
        from include.orchestration.upload.parts_trigger import PartsTrigger  # noqa: PLC0415

        task = TaskUpload(context)
        task.read()
        self.defer(trigger=PartsTrigger(**task.reference.model_dump()), method_name="fail")

    def fail(self, context: Context, event: str) -> NoReturn:
        """End for good with what the trigger says: another attempt would wait for the same in vain."""
        raise AirflowFailException(event)
