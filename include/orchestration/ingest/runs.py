"""The runs that ingest starts, through the running task's own channel to Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError
from pydantic import ValidationError

from include.errors import InternalError
from include.ingest.runs import Run
from include.orchestration.override import job_for, overridden, override, withdraw
from include.orchestration.submit import TaskRuns
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

__all__ = ["TaskIngestRuns", "run_state"]

_REQUESTS: dict[str, type[TranscodeRequest] | type[SuperResolutionRequest]] = {
    "transcode": TranscodeRequest,
    "super_resolution": SuperResolutionRequest,
}


class TaskIngestRuns:
    """:class:`include.ingest.runs.Runs` from within a task."""

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, *, again: bool = False) -> bool:
        """See :meth:`include.ingest.runs.Runs.start`."""
        runs = TaskRuns(dag_id)
        try:
            if again and dag_id in _REQUESTS:
                # A cleared run keeps its conf, which need not be what is asked for now.
                request, there = _REQUESTS[dag_id].model_validate(conf), runs.get(run_id).conf
                if there == conf:
                    withdraw(request)
                else:
                    override(request, replaces=there)
            return runs.start(run_id, conf, note, again=again)
        except AirflowRuntimeError as error:
            raise InternalError(f"Airflow refused run {run_id} of {dag_id}: {error}") from error

    def read(self, dag_id: str, run_id: str) -> Run:
        """See :meth:`include.ingest.runs.Runs.read`."""
        try:
            run = TaskRuns(dag_id).get(run_id)
        except AirflowRuntimeError as error:
            raise InternalError(f"Airflow did not tell of run {run_id}: {error}") from error
        return Run(run.state, _done_by(dag_id, run.conf), run.ended_at)

    def state(self, dag_id: str, run_id: str) -> str | None:
        """See :meth:`include.ingest.runs.Runs.state`."""
        return run_state(dag_id, run_id)


def _done_by(dag_id: str, conf: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a run with this conf does."""
    if dag_id not in _REQUESTS:
        return conf
    try:
        request = _REQUESTS[dag_id].model_validate(conf)
    except ValidationError:
        return conf
    instead = overridden(job_for(request), request, conf)
    return conf if instead is request else instead.model_dump(mode="json")


def run_state(dag_id: str, run_id: str) -> str | None:
    """Return a run's state, ``None`` where there is no such run; in tasks and in the triggerer."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415  Airflow binds its channel late

    try:
        state: Any = RuntimeTaskInstance.get_dagrun_state(dag_id, run_id)
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == HTTPStatus.NOT_FOUND:
            return None
        raise InternalError(f"Airflow did not tell the state of run {run_id}: {error}") from error
    # Annotated as text; it is an enumeration whose text is its name.
    return str(getattr(state, "value", state))
