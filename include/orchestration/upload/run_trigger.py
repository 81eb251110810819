"""Follows the run that transcodes an upload's file; its progress is the destination's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from include.errors import MediaError
from include.orchestration.override import job_for
from include.orchestration.upload.access import open_uploads
from include.uploads.models import UploadReference
from include.worker.models import TranscodeRequest

__all__ = ["TranscodeTrigger", "percent"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 3.0
# One look may come before the run that another process has started; so many in a row mean that somebody has deleted it.
MOST_MISSING = 20
# Each look asks Airflow twice, at some 25 ms, and one process makes those of all triggers.
SHARE_SECONDS = 0.1
SHARES = (2, 90, 8)  # of planning, encoding, and assembling, of the time of a run
MISSING = "missing"
_DONE = {"success", "skipped"}


class TranscodeTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """Ends its task by itself when the run of ``request`` has ended; the destination is told of progress, end and error.

    A run that was deleted, and one that has not ended at ``deadline`` (epoch seconds), has failed.
    """

    active = 0

    def __init__(self, *, request: dict[str, Any], deadline: float, **reference: str) -> None:
        """Take the fields of an :class:`UploadReference` beside its own."""
        super().__init__()
        self.reference = UploadReference(**reference)
        self.request = TranscodeRequest.model_validate(request)
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        arguments = {
            **self.reference.model_dump(),
            "request": self.request.model_dump(mode="json"),
            "deadline": self.deadline,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`."""
        TranscodeTrigger.active += 1
        try:
            done = await self._follow()
        finally:
            TranscodeTrigger.active -= 1
        # A task that a trigger fails gets its other attempts, which would start the failed run anew.
        yield TaskSuccessEvent() if done else TriggerEvent(f"The run {self.request.run_id} has not succeeded.")

    async def _follow(self) -> bool:
        shown, missing = -1.0, 0
        while missing < MOST_MISSING and time.time() < self.deadline:
            try:
                state, tasks = await asyncio.to_thread(self._look)
                missing = missing + 1 if state == MISSING else 0
                if state in {"success", "failed"}:
                    await asyncio.to_thread(self._end, state)
                    return state == "success"
                if not missing and (reached := percent(tasks)) != shown:
                    await asyncio.to_thread(self._show, reached)
                    shown = reached
            except Exception as error:  # a table or an API server that is away will be back, and the run goes on meanwhile
                logger.warning("The run %s was not seen: %s: %s", self.request.run_id, type(error).__name__, error)
            await asyncio.sleep(max(POLL_SECONDS, SHARE_SECONDS * TranscodeTrigger.active))
        await asyncio.to_thread(self._end, MISSING if missing else "late")
        return False

    def _look(self) -> tuple[str, Mapping[str, str | None]]:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415

        run_id = self.request.run_id
        try:
            told: Any = RuntimeTaskInstance.get_dagrun_state("transcode", run_id)
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") != HTTPStatus.NOT_FOUND:
                raise
            return MISSING, {}
        state = str(getattr(told, "value", told))
        if state in {"success", "failed"}:
            return state, {}
        found = RuntimeTaskInstance.get_task_states(dag_id="transcode", run_ids=[run_id])
        return state, found.get(run_id) or {}

    def _show(self, reached: float) -> None:
        self._advance(status="transcoding", progress=reached, details="Transcoding" if reached else None)

    def _end(self, state: str) -> None:
        if state == "success":
            key = self.request.destination_key
            self._advance(status="complete", details=f"s3://{self.request.bucket}/{key}")
            return
        self._advance(status="failed", error=self._error(state))

    def _error(self, state: str) -> str:
        if state == MISSING:
            return "The run of the transcode was deleted."
        if state == "late":
            return "The transcode has not ended in time; it may do so yet."
        try:
            outcome = job_for(self.request).read_outcome()
        except MediaError:
            outcome = None
        error = outcome.error if outcome is not None else None
        return str(error["message"]) if error else "The transcode was ended before it was complete."

    def _advance(self, **state: Any) -> None:
        open_uploads().set_destination(self.reference.atom_id, self.reference.upload_id, "s3Bucket", **state)


def percent(tasks: Mapping[str, str | None]) -> float:
    """Return how far a run of ``transcode`` is, 0 to 99, from the states of its tasks by id (``encode_3`` for a mapped one)."""

    def share(*names: str) -> float:
        states = [state for name, state in tasks.items() if name in names]
        return float(bool(states) and all(str(state) in _DONE for state in states))

    units = [str(state) for name, state in tasks.items() if name.startswith("encode_")]
    encoded = sum(state in _DONE for state in units) / len(units) if units else 0.0
    first, mapped, last = SHARES
    return round(min(99.0, first * share("plan") + mapped * encoded + last * share("finish")), 1)
