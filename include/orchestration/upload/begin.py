"""The first task of an upload's run, before any other looks at the upload."""

from __future__ import annotations

from typing import ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from include.orchestration.upload.access import TaskUpload

__all__ = ["BeginOperator"]


class BeginOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Opens an upload again whose run has failed and was cleared: the tasks that follow would else end at its old failure."""

    ui_color: ClassVar[str] = "#eeeeee"

    def execute(self, context: Context) -> str:
        """Forget the failures of an earlier run of the tasks; return the state of the upload."""
        task = TaskUpload(context)
        return task.uploads.reopen(task.reference).state
