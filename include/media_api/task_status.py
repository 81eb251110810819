"""What has become of tasks: runs and progress from Airflow, ends and reasons from the work documents."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from math import isfinite
from typing import Any

from anyio.to_thread import run_sync
from pydantic import ValidationError

from include.errors import Cancelled, InternalError, NotFound
from include.ffmpeg_ops.parallel import in_parallel
from include.media_api.gateway import AirflowGateway, Run, TaskState
from include.media_api.progress import percent
from include.media_api.services import Services
from include.media_api.task_errors import Refusal, TaskError, task_error
from include.media_api.task_models import Source, TargetStatus, TaskStatus, TaskStatusName
from include.net.urls import parse_source, parse_target
from include.worker.groups import weights_of
from include.worker.job import Job
from include.worker.models import Outcome
from include.worker.task_request import TaskReference, TaskRequest

__all__ = [
    "LIVE_DAG",
    "LIVE_UNIT",
    "KnownTask",
    "dag_of",
    "end_run",
    "job_of",
    "load",
    "load_all",
    "settled",
    "statuses",
    "was_stopped",
]

log = logging.getLogger(__name__)

FILES_DAG = "transcode"
LIVE_DAG = "live"
LIVE_UNIT = "live"
REPORT = "report"
_READS_AT_ONCE = 16
_NEVER_BEGUN = {"skipped", "removed", "None"}


@dataclass(frozen=True)
class KnownTask:
    """A task and its run, where there still is one."""

    request: TaskRequest
    run: Run | None
    is_starting: bool = False
    """Whether there is none yet."""

    @property
    def run_id(self) -> str:
        """Id of its run."""
        return self.request.reference.run_id

    @property
    def is_live(self) -> bool:
        """Whether it is done by the DAG of live streams."""
        return dag_of(self.request) == LIVE_DAG


@dataclass(frozen=True)
class _Facts:
    """What the documents of a task tell."""

    outcome: Outcome | None = None
    is_cancelled: bool = False
    live: Mapping[str, Any] = field(default_factory=dict)  # what its unit has told last: seconds, targets
    weights: tuple[float, ...] = ()  # of its units


def dag_of(request: TaskRequest) -> str:
    """Return the DAG that does a task: another one where the source, or any target, is a live stream."""
    urls = [parse_source(request.source_url), *(parse_target(target) for target in request.targets)]
    return LIVE_DAG if any(url.kind == "live" for url in urls) else FILES_DAG


def job_of(services: Services, request: TaskRequest) -> Job:
    """Return the job of a task."""
    return Job.of(services.store, services.settings, request.reference)


async def load(services: Services, client: str, task_id: str) -> KnownTask:
    """Return a client's task; a :class:`Refusal` where it has none of this id."""
    request = await run_sync(_read, services, client, task_id)
    if request is None:
        raise Refusal(404, "NoSuchTask", "You have no task of this id.")
    dag_id, run_id = dag_of(request), request.reference.run_id
    # Asked before Airflow is: what is no start any more by then is a run.
    is_starting = services.starts.is_at_work(run_id)
    run = (await services.gateway.runs(dag_id, [run_id])).get(run_id)
    if run is None and not is_starting:
        # It was deleted, unless another server is at it.
        is_starting = await services.starts.is_kept(run_id)
        run = (await services.gateway.runs(dag_id, [run_id])).get(run_id)
    return KnownTask(request, run, is_starting and run is None)


async def load_all(services: Services, client: str, runs: Sequence[Run]) -> list[KnownTask]:
    """Return the tasks of a client's runs.

    Left out are runs without a task, which somebody has made by hand, and those whose task cannot be read.
    """
    ids = [str(run.conf.get("task_id")) for run in runs]
    requests = await run_sync(partial(in_parallel, partial(_read_if_readable, services, client), ids, at_once=_READS_AT_ONCE))
    found = zip(requests, runs, strict=True)
    return [KnownTask(request, run) for request, run in found if request and request.reference.run_id == run.run_id]


async def statuses(services: Services, tasks: Sequence[KnownTask]) -> list[TaskStatus]:
    """Return the tasks as they are now, in the same order."""
    states = await _task_states(services, [known for known in tasks if known.run and known.run.state == "running"])
    # After the tasks: where units are at work, their plan is there. The other way round progress might fall.
    look = partial(_look, services, states)
    facts = await run_sync(partial(in_parallel, look, tasks, at_once=_READS_AT_ONCE))
    # Of runs that are over Airflow is asked only where they ended without a word.
    wordless = [known for known, fact in zip(tasks, facts, strict=True) if fact.outcome is None and _has_failed(known.run)]
    if wordless:
        states |= await _task_states(services, wordless)
    return [_status(known, fact, states.get(known.run_id, ())) for known, fact in zip(tasks, facts, strict=True)]


def settled(job: Job, run: Run) -> Outcome | None:
    """Return what became of this attempt of a run; ``None`` while that is open, though an earlier one may have ended.

    It is told before the run ends, which may go on for a while to tell others.
    """
    if run.start_date is None:
        return None
    outcome = job.read_outcome()
    is_of_now = outcome and outcome.run_id == run.run_id and outcome.finished_at >= run.start_date.replace(microsecond=0)
    return outcome if is_of_now else None


async def end_run(gateway: AirflowGateway, dag_id: str, run: Run) -> None:
    """Stop the run of a task that is noted to be cancelled.

    A live unit that has begun, in an earlier attempt perhaps, looks for the note, closes its recordings and ends; Airflow would
    give it seconds. One that waits for its slot, which may take hours, has nothing to close.
    """
    if dag_id != LIVE_DAG or not await _has_begun(gateway, run):
        await gateway.stop(dag_id, run.run_id)


async def _has_begun(gateway: AirflowGateway, run: Run) -> bool:
    tasks = (await gateway.tasks(LIVE_DAG, [run.run_id])).get(run.run_id, ())
    begun = next((task.start_date for task in tasks if task.task_id == LIVE_UNIT), None)
    # A run that was cleared has the task's beginning of the time before.
    return begun is not None and run.start_date is not None and begun >= run.start_date


def _read(services: Services, client: str, task_id: str) -> TaskRequest | None:
    try:
        reference = TaskReference(bucket=services.settings.bucket, client=client, task_id=task_id)
    except ValidationError:
        return None
    try:
        return services.tasks.get(reference.run_id, Job.of(services.store, services.settings, reference).read_task)
    except NotFound:
        return None


def _read_if_readable(services: Services, client: str, task_id: str) -> TaskRequest | None:
    try:
        return _read(services, client, task_id)
    except InternalError as error:
        # StorageError is an InternalError, too, but says nothing about the document.
        if type(error) is not InternalError:
            raise
        log.warning("A list goes without the task %s of %s: %s", task_id, client, error)
        return None


async def _task_states(services: Services, tasks: Sequence[KnownTask]) -> dict[str, tuple[TaskState, ...]]:
    """Return the task instances of the tasks' runs, by run id."""
    states: dict[str, tuple[TaskState, ...]] = {}
    for dag_id in sorted({dag_of(known.request) for known in tasks}):
        run_ids = [known.run_id for known in tasks if dag_of(known.request) == dag_id]
        states |= await services.gateway.tasks(dag_id, run_ids)
    return states


def _look(services: Services, states: Mapping[str, Sequence[TaskState]], known: KnownTask) -> _Facts:
    """Read what the documents of a task tell, and of those only what can be there: clients look each second."""
    facts = _Facts()
    if known.is_starting:
        return facts
    job, run, states_of_run = job_of(services, known.request), known.run, states.get(known.run_id, ())
    # A run of files is failed with the note that it was stopped; before that, and before its report, nothing is settled.
    if run is None or run.is_finished or known.is_live or _has_reported(states_of_run):
        outcome = settled(job, run) if run else job.read_outcome()
        facts = _Facts(outcome=outcome, is_cancelled=job.is_cancelled(run.start_date if run else None))
    if known.is_live:
        is_over = facts.outcome is not None or run is None or run.is_finished
        result = job.read_result(LIVE_UNIT) if is_over else None
        return replace(facts, live=result.metrics) if result else facts
    if facts.outcome is None and run is not None and run.state in {"running", "failed"}:
        return replace(facts, weights=_weights(services, run, job))
    return facts


def _has_reported(states: Sequence[TaskState]) -> bool:
    return any(state.task_id == REPORT and state.start_date is not None for state in states)


def _weights(services: Services, run: Run, job: Job) -> tuple[float, ...]:
    def read() -> tuple[float, ...] | None:
        plan = job.read_result("plan")
        # A plan that has failed has none, and may be tried again.
        return weights_of(plan.units, services.settings) if plan and plan.units else None

    return services.weights.get((run.run_id, run.start_date), read) or ()


def _status(known: KnownTask, facts: _Facts, tasks: Sequence[TaskState]) -> TaskStatus:
    request, run = known.request, known.run
    state, error = (TaskStatusName.PENDING, None) if known.is_starting else _state(run, facts, tasks)
    told = facts.live or next((task.event for task in tasks if task.task_id == LIVE_UNIT), {})
    if known.is_live:
        progress = _whole(told.get("seconds", told.get("done"))) or 0
    else:
        progress = 100 if state is TaskStatusName.SUCCESS else percent(tasks, facts.weights)
    targets = told.get("targets") if known.is_live else None
    ended = facts.outcome.finished_at if facts.outcome else run.end_date if run else None
    return TaskStatus(
        task_id=request.reference.task_id,
        source=Source(source_url=request.source_url),
        profile_name=request.profile.profile_name,
        targets=_targets(request.targets, targets if isinstance(targets, list) else []),
        task_status=state,
        progress=progress,
        create_time=request.created_at,
        start_time=_second(run.start_date if run else None),
        # A live task that was stopped ends a little later.
        end_time=_second(ended) if state.is_over else None,
        error=error,
    )


def _state(run: Run | None, facts: _Facts, tasks: Sequence[TaskState]) -> tuple[TaskStatusName, TaskError | None]:
    # From the moment on that it was stopped, also where it takes a while to end, or has just been done.
    if facts.is_cancelled:
        return TaskStatusName.CANCELLED, None
    outcome = facts.outcome
    if outcome is None and run is not None and run.state in _OF_RUNS:
        return _OF_RUNS[run.state], None
    if outcome is not None and outcome.state == "done":
        return TaskStatusName.SUCCESS, None
    error = outcome.error if outcome else None
    if (error or {}).get("code") == Cancelled.code or (run is not None and outcome is None and was_stopped(tasks)):
        return TaskStatusName.CANCELLED, None
    return TaskStatusName.FAILED, task_error(error)


_OF_RUNS = {"queued": TaskStatusName.PENDING, "running": TaskStatusName.RUNNING, "success": TaskStatusName.SUCCESS}


def was_stopped(tasks: Sequence[TaskState]) -> bool:
    """Tell whether somebody has failed the run in Airflow: else its report would have run, whatever went wrong before."""
    return any(task.task_id == REPORT and str(task.state) in _NEVER_BEGUN for task in tasks)


def _has_failed(run: Run | None) -> bool:
    return run is not None and run.state == "failed"


def _targets(urls: Sequence[str], told: Sequence[Any]) -> tuple[TargetStatus, ...]:
    found = [entry if isinstance(entry, dict) else {} for entry in told]
    found += [{}] * (len(urls) - len(found))
    return tuple(
        TargetStatus(
            target_url=url,
            state=str(entry["state"]) if entry.get("state") else None,
            **{name: _whole(entry.get(name)) for name in ("frames", "dropped", "bit_rate", "reconnects")},
        )
        for url, entry in zip(urls, found, strict=False)
    )


def _whole(value: object) -> int | None:
    return max(0, int(value)) if isinstance(value, (int, float)) and isfinite(value) else None


def _second(time: datetime | None) -> datetime | None:
    return time.astimezone(timezone.utc).replace(microsecond=0) if time else None
