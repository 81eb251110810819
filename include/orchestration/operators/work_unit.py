"""Runs one work unit as one Airflow task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, AirflowTaskTimeout

from include.errors import Cancelled, InternalError, MediaError, TimedOut
from include.media_store.models import object_uri, parse_uri
from include.orchestration.backends.base import Document, WorkBackend
from include.orchestration.backends.local import LocalBackend

__all__ = ["ERROR_KEY", "METRICS_KEY", "WorkUnitOperator"]

logger = logging.getLogger(__name__)

ERROR_KEY = "error"
METRICS_KEY = "metrics"
# Storing costs the API server some 25 ms: often at first, later when there is something new to see.
STORE_SECONDS = (2.0, 10.0)
STORE_SHARE = 0.05
LOG_SECONDS = 10.0


class WorkUnitOperator(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Runs a work unit on a backend, shows its progress and raises its error.

    :param unit: a planned unit: ``{"bucket", "key", "label", …}``.
    :param make_unit: instead of ``unit``: gets the context, writes the unit's document and returns its URI.

    While it runs, the task state store holds ``progress``: ``{"done", "total", "unit", "fps"?, "phase"?}``. Returns, for a unit
    that plans, the list of planned units, one mapped task each. The XComs ``metrics`` and ``error`` serve the report.
    Attempts, retry policy and deadline are the DAG's ``default_args``: defaults made here would not reach mapped tasks, since
    ``partial`` fills in Airflow's own first.
    """

    template_fields: Sequence[str] = ("unit",)
    ui_color: ClassVar[str] = "#d7ecf5"

    def __init__(
        self, *, unit: Mapping[str, Any] | None = None, make_unit: Callable[[Context], str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.unit = unit
        self.make_unit = make_unit
        self._backend: WorkBackend | None = None

    def make_backend(self) -> WorkBackend:
        """Return the backend that runs the unit."""
        return LocalBackend()

    def execute(self, context: Context) -> list[dict[str, Any]] | None:
        """Run the unit; see the class."""
        ti = context["ti"]
        try:
            self._refuse_in_vain(ti)
            uri = self._uri(context)
            result = self._run(uri, context)
        except MediaError as error:
            self._tell(ti, error, final=not error.retryable or ti.try_number > ti.max_tries)
            raise
        except AirflowFailException:
            raise
        except Exception as error:
            unexpected = InternalError(f"{self.task_id} failed unexpectedly ({type(error).__name__}); its log tells more.")
            self._tell(ti, unexpected, final=ti.try_number > ti.max_tries)
            raise
        metrics = {name: value for name, value in result.get("metrics", {}).items() if isinstance(value, (int, float, str))}
        ti.xcom_push(METRICS_KEY, metrics | {"reused": bool(result.get("reused"))})
        units = [{**unit, "bucket": parse_uri(uri)[0]} for unit in result.get("units") or ()]
        return units or None

    def on_kill(self) -> None:
        """End the unit when the task is stopped from outside."""
        if self._backend is not None:
            self._backend.cancel()

    def _uri(self, context: Context) -> str:
        if self.make_unit is not None:
            return self.make_unit(context)
        if self.unit is None:
            raise ValueError("one of unit and make_unit must be given")
        return object_uri(self.unit["bucket"], self.unit["key"])

    @staticmethod
    def _tell(ti: Any, error: MediaError, *, final: bool) -> None:
        """Keep the error for the report and for the other units of the run."""
        ti.xcom_push(ERROR_KEY, error.to_document() | {"map_index": ti.map_index, "final": final, "at": time.time()})

    def _run(self, uri: str, context: Context) -> Document:
        logger.info("Running %s (by hand: python -m include.worker run %s)", uri, uri)
        follower = _Follower(context)
        self._backend = self.make_backend()
        try:
            result = self._backend.run(uri, on_progress=follower, on_log=_log_line)
        except AirflowTaskTimeout:
            limit = self.execution_timeout.total_seconds() if self.execution_timeout else 0
            raise TimedOut(f"The unit ran for {limit:g} s, its deadline (MEDIA_UNIT_TIMEOUT_SECONDS), and was ended.") from None
        finally:
            self._backend = None
        if result.get("reused"):
            logger.info("reused: this unit was finished before; its outputs exist and are still right")
        logger.info("Done: %s", result.get("metrics"))
        return result

    def _refuse_in_vain(self, ti: Any) -> None:
        """Do not start a mapped unit when another one of this run has failed for good: the run cannot succeed."""
        if ti.map_index < 0:
            return
        # A list of one task id: for a bare id Airflow answers a single value where there is just one.
        errors = ti.xcom_pull(task_ids=[self.task_id], key=ERROR_KEY) or ()
        errors = [error for error in errors if error and error["final"] and error["code"] != Cancelled.code]
        if not errors:
            return
        # XComs outlive the clearing of a task, states do not.
        states = ti.get_task_states(dag_id=self.dag_id, task_ids=[self.task_id], run_ids=[ti.run_id]).get(ti.run_id, {})
        for error in errors:
            if error["map_index"] != ti.map_index and states.get(f"{self.task_id}_{error['map_index']}") == "failed":
                reason = f"Not started: unit {error['map_index']} has failed for good ({error['code']}: {error['message']})"
                self._tell(ti, Cancelled(reason), final=True)
                raise AirflowFailException(reason)


class _Follower:
    """Writes progress to the task state store and, less often, to the log."""

    def __init__(self, context: Context) -> None:
        self._store = context["task_state_store"]
        self._began = time.monotonic()
        self._stored = self._logged = float("-inf")

    def __call__(self, event: Document) -> None:
        now = time.monotonic()
        shortest, longest = STORE_SECONDS
        if now - self._stored >= min(max(shortest, STORE_SHARE * (now - self._began)), longest):
            self._stored = now
            try:
                self._store.set("progress", {name: value for name, value in event.items() if name != "event"})
            except AirflowRuntimeError as error:
                # The web server may be restarting; the next event is as good.
                logger.warning("Progress was not stored: %s", error)
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            rate = f", {event['fps']} frames/s" if event.get("fps") else ""
            logger.info("%s: %s of %s %s%s", event.get("phase", "work"), event["done"], event["total"], event["unit"], rate)


def _log_line(text: str) -> None:
    logger.info("%s", text)
