"""Starts `transcode` runs from within a task, through the task's own channel to Airflow: no credentials, no web request."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

from include.errors import InternalError
from include.orchestration.override import override, withdraw
from include.orchestration.params import read
from include.settings import get_settings
from include.worker.models import TranscodeRequest

__all__ = ["Run", "Runs", "TaskRuns", "submit", "submit_folder"]

logger = logging.getLogger(__name__)

DAG_ID = "transcode"
IN_FLIGHT = ("queued", "running")


@dataclass(frozen=True)
class Run:
    """A DAG run that exists."""

    state: str
    conf: Mapping[str, Any]
    ended_at: datetime | None = None


class Runs(Protocol):
    """Starts and reads runs of one DAG."""

    def start(self, run_id: str, conf: Mapping[str, Any], note: str, *, again: bool = False) -> bool:
        """Create a run; where it exists, clear it if ``again`` (it keeps its conf), else return ``False``."""
        ...

    def get(self, run_id: str) -> Run:
        """Return an existing run."""
        ...


class TaskRuns:
    """:class:`Runs` through the supervisor of the running task."""

    def __init__(self, dag_id: str = DAG_ID) -> None:
        self._dag_id = dag_id

    def start(self, run_id: str, conf: Mapping[str, Any], note: str, *, again: bool = False) -> bool:
        """See :meth:`Runs.start`."""
        from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun  # noqa: PLC0415

        message = TriggerDagRun(dag_id=self._dag_id, run_id=run_id, conf=dict(conf), note=note[:1000], reset_dag_run=again)
        answer = _send(message)
        if isinstance(answer, ErrorResponse):
            if answer.error == ErrorType.DAGRUN_ALREADY_EXISTS:
                return False
            raise AirflowRuntimeError(answer)
        return True

    def get(self, run_id: str) -> Run:
        """See :meth:`Runs.get`."""
        from airflow.sdk.execution_time.comms import DagRunResult, GetDagRun  # noqa: PLC0415

        answer = _send(GetDagRun(dag_id=self._dag_id, run_id=run_id))
        if not isinstance(answer, DagRunResult):
            raise InternalError(f"Airflow did not tell the state of run {run_id}.")
        return Run(str(getattr(answer.state, "value", answer.state)), answer.conf or {}, answer.end_date)


def submit(requests: Iterable[TranscodeRequest], runs: Runs, *, is_done: Callable[[TranscodeRequest], bool]) -> Counter[str]:
    """See that every request has a run at work; return how many were ``started``, ``restarted``, ``running`` and ``done``.

    A run that has finished is started again where its output is not there (``is_done``). Requests that Airflow refuses are
    counted as ``refused`` and logged, the others go on; then :class:`InternalError` is raised, so that the task is tried again.
    """
    counts: Counter[str] = Counter()
    for request in requests:
        try:
            counts[_submit(request, runs, is_done)] += 1
        except AirflowRuntimeError as error:
            logger.error("Airflow refused run %s for %s: %s", request.run_id, request.source_key, error)  # noqa: TRY400
            counts["refused"] += 1
    logger.info("Submitted: %s", dict(counts))
    if counts["refused"]:
        raise InternalError(f"Airflow refused {counts['refused']} of {counts.total()} runs; the log of this task names them.")
    return counts


def submit_folder(context: Context) -> dict[str, int]:
    """Resolve contract 1's request, which is the run's conf, and submit what is to be transcoded."""
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415  keeps boto3 out of DAG parsing
    from include.worker.video_transcode import VideoTranscodeRequest, resolve  # noqa: PLC0415

    settings = get_settings()
    store = S3ObjectStore(settings)
    request = read(VideoTranscodeRequest, context)
    client = (context["dag_run"].conf or {}).get("client")
    elements = resolve(store, settings, request, client)
    for element in elements:
        logger.info("%-10s %s %s", element.status, element.src, element.error or "")
    pending = [element.request for element in elements if element.status == "transcode" and element.request]
    if request.is_test:
        logger.info("This is a test (testflag is not `no`): %d files would be transcoded, nothing is submitted.", len(pending))
        return {"tested": len(pending)}
    return dict(submit(pending, TaskRuns(), is_done=lambda one: store.head(one.bucket, one.destination_key) is not None))


def _submit(request: TranscodeRequest, runs: Runs, is_done: Callable[[TranscodeRequest], bool]) -> str:
    conf = request.model_dump(mode="json")
    note = f"{request.content_provider or request.client or ''} {request.source_key} to {request.destination_key}".strip()
    if runs.start(request.run_id, conf, note):
        return "started"
    run = runs.get(request.run_id)
    if run.state in IN_FLIGHT:
        return "running"
    if is_done(request):
        return "done"
    # A cleared run keeps its conf, which need not be what is asked for now.
    if run.conf != conf:
        override(request, replaces=run.conf)
    else:
        withdraw(request)
    runs.start(request.run_id, conf, note, again=True)
    return "restarted"


def _send(message: Any) -> Any:
    # Bound late: Airflow sets it when the task starts.
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS  # noqa: PLC0415

    return SUPERVISOR_COMMS.send(message)
