"""Tells callbacks of one run how it goes and how it has ended, from within Airflow's triggerer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import islice
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from tenacity import AsyncRetrying, retry_if_exception_type, stop_before_delay, wait_exponential_jitter

from include.errors import MediaError, StorageError
from include.orchestration.triggers.last_words import finish
from include.orchestration.webhook_delivery import Courier, Delivery
from include.orchestration.webhook_events import Event, ending, kind_of_run, reached
from include.settings import Settings, get_settings
from include.worker.groups import grouped

if TYPE_CHECKING:
    from include.worker.callback import Callback
    from include.worker.job import Job
    from include.worker.models import Outcome

__all__ = ["DELIVERIES_KEY", "WebhookTrigger"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

DELIVERIES_KEY = "deliveries"
POLL_SECONDS = 2.0
# So long the end is sent again to who does not take it: the run is one of those that may be active until then.
END_SECONDS = 300.0
# Airflow ends on_kill after 30 s.
LAST_WORDS_SECONDS = 12.0
LAST_WORDS_ATTEMPTS = 4
READ_PAUSE = 1.0
# So long a store, or Airflow, may fail before the end is told to nobody.
READ_SECONDS = 600.0
MOST_READ = 50
_ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}


class WebhookTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """Ends its task by itself: skipped where nobody wants to be told, failed where the end could not be delivered.

    A run that a user or a client stops takes its task away before it ends; then the end is told from :meth:`on_kill`.

    :param job_of: dotted name of what returns the job that a run's parameters name.
    :param work: the run's tasks as :func:`~include.orchestration.webhook_events.reached` wants them.
    :param report: the task that comes last, and after which ``outcome.json`` tells how the run has ended.
    """

    def __init__(self, *, job_of: str, work: Sequence[str], report: str) -> None:
        super().__init__()
        self.job_of, self.work, self.report = job_of, list(work), report
        self.courier: Callable[[Settings, tuple[object, ...]], Courier] = Courier

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        arguments = {"job_of": self.job_of, "work": self.work, "report": self.report}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`."""
        job = await asyncio.to_thread(self._job)
        if job is None or not await _patiently(job.read_callbacks):
            yield TaskSkippedEvent()
            return
        await self._follow(job)
        deliveries = await self._tell_end(job, attempts=get_settings().webhook_attempts, seconds=END_SECONDS)
        yield TaskSuccessEvent() if all(delivery.delivered for delivery in deliveries) else TaskFailedEvent()

    async def on_kill(self) -> None:
        """Tell that the run was stopped, unless only this task was marked or cleared."""
        await finish(self._say_last_words())

    async def _say_last_words(self) -> None:
        if await _patiently(self._run_state, LAST_WORDS_SECONDS) not in {"success", "failed"}:
            return
        job = await asyncio.to_thread(self._job)
        if job is None:
            return
        await self._tell_end(job, attempts=LAST_WORDS_ATTEMPTS, seconds=LAST_WORDS_SECONDS, patience=LAST_WORDS_SECONDS)

    # -- telling

    async def _follow(self, job: Job) -> None:
        """Tell progress until the report has ended."""
        settings = get_settings()
        told_at, last = time.monotonic(), None
        while True:
            states = await _patiently(lambda: self._states([self.report]))
            if states.get(self.report) in _ENDED:
                return
            if time.monotonic() - told_at >= settings.webhook_seconds:
                told_at = time.monotonic()
                progress = await self._progress(job)
                if progress is not None and progress != last and await self._tell_progress(job, progress):
                    last = progress
            await asyncio.sleep(min(POLL_SECONDS, settings.webhook_seconds))

    async def _tell_progress(self, job: Job, progress: dict[str, Any]) -> bool:
        try:
            callbacks = await asyncio.to_thread(job.read_callbacks)
        except MediaError as error:
            logger.info("Progress is not told: %s", error)
            return False
        await self._tell(job, callbacks, self._event("progress", progress))
        return True

    async def _tell_end(self, job: Job, *, attempts: int, seconds: float, patience: float = READ_SECONDS) -> list[Delivery]:
        (outcome, stopped), callbacks = await _patiently(lambda: (self._outcome(job), job.read_callbacks()), patience)
        how, data = ending(outcome, stopped=stopped)
        event, last = self._event(how, data), how == "succeeded"
        deliveries = await self._tell(job, callbacks, event, attempts=attempts, seconds=seconds, last=last)
        # Not with the event that ends the task: a task that a user has marked takes none any more.
        await self._push(DELIVERIES_KEY, [delivery.document() for delivery in deliveries])
        return deliveries

    async def _tell(
        self,
        job: Job,
        callbacks: Sequence[Callback],
        event: Event,
        *,
        attempts: int = 1,
        seconds: float | None = None,
        last: bool = False,
    ) -> list[Delivery]:
        """Tell all who want to know; a callback that was told of a success (``last``), or is gone, has served."""
        courier = self.courier(get_settings(), self._attempt())

        async def one(callback: Callback) -> Delivery:
            delivery = await courier.send(event, callback, attempts=attempts, seconds=seconds)
            if (last and delivery.delivered) or delivery.gone:
                try:
                    await asyncio.to_thread(job.delete_callback, callback)
                except MediaError as error:
                    logger.warning("A callback that has served stays: %s", error)
            return delivery

        return list(await asyncio.gather(*(one(callback) for callback in callbacks)))

    def _event(self, what: str, data: Mapping[str, Any]) -> Event:
        ti, conf = self.task_instance, self._conf()
        kind = kind_of_run(ti.dag_id, conf)
        return Event(f"{kind}.{what}", {"run_id": ti.run_id, **data}, datetime.now(timezone.utc).replace(microsecond=0))

    # -- reading

    async def _progress(self, job: Job) -> dict[str, Any] | None:
        try:
            return await asyncio.to_thread(self._reached, job)
        except (MediaError, AirflowRuntimeError) as error:
            logger.info("Progress is not known: %s", error)
            return None

    def _reached(self, job: Job) -> dict[str, Any]:
        plan = job.read_result(self.work[0]) if len(self.work) > 1 else None
        units = grouped(plan.units, get_settings()) if plan else []
        refs = islice(job.store.list(job.bucket, job.progress_prefix), MOST_READ)
        told = dict(_told(job, ref.key) for ref in refs)
        return reached(self.work, units, self._states(None), told)

    def _outcome(self, job: Job) -> tuple[Outcome | None, bool]:
        """Return what this attempt's report wrote, and whether the run was stopped."""
        report = self._states([self.report]).get(self.report)
        if report not in {"success", "failed"}:
            # Who stops a run takes its report away.
            return None, True
        outcome, began = job.read_outcome(), self.task_instance.get_template_context()["dag_run"].start_date
        is_older = outcome is not None and began is not None and outcome.finished_at < began.replace(microsecond=0)
        if outcome is not None and is_older and (outcome.state == "done") != (report == "success"):
            # That of an earlier attempt says nothing of this one. Where the two agree it is the same one: this task alone was
            # cleared, to tell the end again, and Airflow has the run begin anew with that.
            outcome = None
        return outcome, job.is_cancelled(began)

    def _states(self, tasks: list[str] | None) -> dict[str, str | None]:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415

        ti = self.task_instance
        found = RuntimeTaskInstance.get_task_states(dag_id=ti.dag_id, task_ids=tasks, run_ids=[ti.run_id])
        return {task: state and str(state) for task, state in (found.get(ti.run_id) or {}).items()}

    def _run_state(self) -> str:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415

        state = RuntimeTaskInstance.get_dagrun_state(self.task_instance.dag_id, self.task_instance.run_id)
        # Annotated as text; it is an enumeration whose text is its name.
        return str(getattr(state, "value", state))

    def _job(self) -> Job | None:
        found: Job | None = resolve_name(self.job_of)(self._conf())
        return found

    def _conf(self) -> dict[str, Any]:
        context = self.task_instance.get_template_context()
        return dict(context["params"]) | (context["dag_run"].conf or {})

    def _attempt(self) -> tuple[object, ...]:
        ti = self.task_instance
        return ti.dag_id, ti.run_id, ti.try_number

    async def _push(self, key: str, value: Any) -> None:
        from airflow.sdk.bases.xcom import BaseXCom  # noqa: PLC0415

        ti = self.task_instance
        await BaseXCom.aset(key, value, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


async def _patiently(read: Callable[[], Answer], seconds: float = READ_SECONDS) -> Answer:
    """Return what ``read`` returns, asked again for so long where the object store or Airflow fails."""
    again = AsyncRetrying(
        retry=retry_if_exception_type((StorageError, AirflowRuntimeError)),
        stop=stop_before_delay(seconds),
        wait=wait_exponential_jitter(multiplier=READ_PAUSE, max=30, jitter=READ_PAUSE),
        reraise=True,
    )
    return await again(asyncio.to_thread, read)


def _told(job: Job, key: str) -> tuple[str, dict[str, Any]]:
    """Return the unit that tells its progress at ``key``, and what it tells."""
    unit = key.removeprefix(job.progress_key("").removesuffix(".json")).removesuffix(".json")
    try:
        event = json.loads(job.store.get_bytes(job.bucket, key))
    except (MediaError, ValueError):
        event = None
    return unit, event if isinstance(event, dict) else {}
