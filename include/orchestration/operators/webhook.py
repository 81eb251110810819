"""Tells callbacks of a run how it goes; takes no worker to do so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.param import ParamsDict
from airflow.triggers.base import StartTriggerArgs

__all__ = ["WebhookOperator", "webhooks"]

# A run that is not over by then never will be.
LONGEST_RUN = timedelta(days=14)


class WebhookOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Starts, waits and ends in the triggerer (see :class:`~include.orchestration.triggers.webhook.WebhookTrigger`).

    It begins with the run, whatever comes before it in the DAG: it comes after the run's work only so that clearing that clears
    it, too. The XCom ``deliveries`` tells what became of the event that ends the run; each attempt is in the log.
    """

    ui_color: ClassVar[str] = "#f5ead7"
    start_from_trigger = True

    def __init__(self, *, job_of: str, work: Sequence[str], report: str = "report", **kwargs: Any) -> None:
        # Attempts are the delivery's own (MEDIA_WEBHOOK_ATTEMPTS).
        super().__init__(trigger_rule="always", retries=0, execution_timeout=LONGEST_RUN, **kwargs)
        # The DAG's own are enough. Airflow 3.3 would check a serialised task's without the run's conf in its triggerer, and the
        # triggerer ends where one is required.
        self.params = ParamsDict()
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="include.orchestration.triggers.webhook.WebhookTrigger",
            trigger_kwargs={"job_of": job_of, "work": list(work), "report": report},
            next_method="execute",
        )

    def execute(self, context: Context) -> NoReturn:
        """Never called: the trigger ends the task."""
        raise RuntimeError("webhooks are told from the triggerer")


def webhooks(*, job_of: str, work: Sequence[BaseOperator], report: str = "report") -> BaseOperator:
    """Add what tells a run's callbacks to the DAG that is being defined.

    :param job_of: dotted name of what returns the job that a run's parameters name.
    :param work: the tasks that do the work, in order: first, mapped, last; or just one, which is live.
    """
    telling = WebhookOperator(task_id="webhooks", job_of=job_of, work=[task.task_id for task in work], report=report)
    # The state of a run is that of its last tasks, and a callback that nobody answers is no failure of the work.
    told = EmptyOperator(task_id="told", trigger_rule="all_done")
    work[-1] >> telling >> told
    return telling
