"""A new task: what is asked for is checked, gets the id that its content has, and a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Literal

from anyio.to_thread import run_sync

from include.errors import ParameterError
from include.ffmpeg_ops.compatibility import check_targets
from include.ffmpeg_ops.encodings import TaskProfile
from include.ffmpeg_ops.live.check import check_live
from include.media_api import callbacks, profiles
from include.media_api.gateway import Run
from include.media_api.services import Services
from include.media_api.starts import Start
from include.media_api.task_errors import Refusal
from include.media_api.task_models import NewTask
from include.media_api.task_status import LIVE_DAG, LIVE_UNIT, dag_of, job_of, settled
from include.media_store.tables import Tables
from include.net.guard import check_literal
from include.net.urls import MediaUrl, parse_source, parse_target
from include.settings import Settings
from include.worker.job import Job
from include.worker.task_request import TaskReference, TaskRequest
from include.worker.watched_folders import check_not_watched

__all__ = ["WantedTask", "check", "start"]

GENERATIONS_AT_ONCE = 20

_State = Literal["new", "starting", "started"]


@dataclass(frozen=True)
class WantedTask:
    """A request for a task, with every address read and every name looked up."""

    client: str
    source: MediaUrl
    targets: tuple[MediaUrl, ...]
    profile: TaskProfile
    callback_url: str | None
    etag: str | None = None
    """Version of the source; ``None`` where it is not known."""

    @property
    def is_live(self) -> bool:
        """Whether it lasts as long as a stream does, and is another task each time."""
        return any(url.kind == "live" for url in (self.source, *self.targets))

    def task_id(self, generation: int) -> str:
        """Return the id that this content has, of an attempt."""
        identity = [
            self.client, self.source.text, self.etag, [target.text for target in self.targets],
            self.profile.model_dump(mode="json"), generation,
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(identity).encode()).digest()
        # 18 digits, the first of them no zero.
        return str(10**17 + int.from_bytes(digest[:16], "big") % (9 * 10**17))

    def request(self, bucket: str, task_id: str) -> TaskRequest:
        """Return the document of the task that has this id."""
        reference = TaskReference(
            bucket=bucket,
            client=self.client,
            task_id=task_id,
            source=self.source.redacted,
            targets=tuple(target.redacted for target in self.targets),
            profile_name=self.profile.profile_name,
        )
        return TaskRequest(
            reference=reference,
            source_url=self.source.text,
            targets=tuple(target.text for target in self.targets),
            profile=self.profile,
            callback_url=self.callback_url,
            created_at=datetime.now(timezone.utc).replace(microsecond=0),
        )


def check(body: NewTask, client: str, services: Services, tables: Tables) -> WantedTask:
    """Read a request; raises what is wrong with it, field by field. Blocks on the table of profiles and on the source's store."""
    settings = services.settings
    source = parse_source(body.source.source_url)
    if len(body.targets) > settings.max_targets:
        raise ParameterError(f"targets: has {len(body.targets)} of them, more than {settings.max_targets} (MEDIA_MAX_TARGETS).")
    targets = tuple(parse_target(target.target_url) for target in body.targets)
    for number, url in enumerate((source, *targets)):
        field = f"targets.{number - 1}.target_url" if number else "source.source_url"
        _check_place(field, url, settings, is_target=number > 0)
        if _place(url) in map(_place, (source, *targets)[:number]):
            raise Refusal(400, "ParameterError", f"{url.redacted} is named twice; each address once is enough.")
    callbacks.check(body.callback_url, client, settings)
    profile = profiles.find_profile(tables, client, body.profile_name or settings.task_profile)
    profiles.check(profile, settings)
    wanted = WantedTask(client, source, targets, profile, body.callback_url)
    try:
        if wanted.is_live:
            check_live(profile, source.scheme, [(target.scheme, f"{target.bucket}/{target.key}") for target in targets], settings)
        else:
            check_targets(profile, [f"{target.bucket}/{target.key}" for target in targets])
    except ParameterError as error:
        raise Refusal(400, error.code, error.message) from error
    if source.kind != "s3":
        return wanted
    found = services.store.head(source.bucket, source.key)
    # One that is not there is a task that fails, and tells so.
    return replace(wanted, etag=found.etag if found else "absent")


async def start(services: Services, wanted: WantedTask) -> str:
    """Start the task, or join the one of this content that waits, runs or is done; return its id."""
    first = 0
    chosen: TaskRequest | None = None
    state: _State = "new"
    while chosen is None:
        ids = [wanted.task_id(generation) for generation in range(first, first + GENERATIONS_AT_ONCE)]
        requests = [wanted.request(services.settings.bucket, task_id) for task_id in ids]
        chosen, state = await _first_usable(services, wanted, requests)
        first += GENERATIONS_AT_ONCE
    await run_sync(_keep if state == "new" else _keep_callback, services, chosen)
    reference, has_callback = chosen.reference, wanted.callback_url is not None
    if state != "started":
        # Also where it is at work: who asks once more is promised as much.
        await services.starts.begin(
            Start(
                dag_id=dag_of(chosen),
                run_id=reference.run_id,
                conf=reference.model_dump(mode="json"),
                note=f"{wanted.client}: {reference.source} to {', '.join(reference.targets)} ({reference.profile_name})",
                has_callback=has_callback,
            )
        )
    if state != "new" and has_callback:
        await callbacks.heed(services.gateway, dag_of(chosen), [reference.run_id])
    return reference.task_id


async def _first_usable(
    services: Services, wanted: WantedTask, requests: Sequence[TaskRequest]
) -> tuple[TaskRequest | None, _State]:
    """Return the first of the attempts that has no run yet, or one worth joining, and which of them it is."""
    # Asked before Airflow is: what is at work no more by then has a run.
    starting = {request.reference.run_id for request in requests if services.starts.is_at_work(request.reference.run_id)}
    runs = await services.gateway.runs(dag_of(requests[0]), [request.reference.run_id for request in requests])
    for request in requests:
        run = runs.get(request.reference.run_id)
        if run is None:
            return request, "starting" if request.reference.run_id in starting else "new"
        if await run_sync(_is_worth_joining, services, wanted, request, run):
            return request, "started"
    return None, "new"


def _is_worth_joining(services: Services, wanted: WantedTask, request: TaskRequest, run: Run) -> bool:
    # Most of those that are over are so at a glance: a stream may have been sent a thousand times.
    if run.state == "failed" or (run.is_finished and wanted.is_live):
        return False
    job = job_of(services, request)
    if job.is_cancelled(run.start_date):
        return False
    outcome = settled(job, run)
    if outcome is None and not run.is_finished:
        return True
    if wanted.is_live or (outcome.state != "done" if outcome else run.state != "success"):
        return False
    return _are_delivered(services, wanted, job)


def _are_delivered(services: Services, wanted: WantedTask, job: Job) -> bool:
    """Tell whether every target is still what the task has written; its further files, such as segments, are not looked at."""
    result = job.read_result("finish")
    made = {(output.ref.bucket, output.ref.key): output.ref for output in result.outputs} if result else {}
    heads = [(services.store.head(url.bucket, url.key), made.get((url.bucket, url.key))) for url in wanted.targets]
    return all(head is not None and head == ref for head, ref in heads)


def _keep(services: Services, request: TaskRequest) -> None:
    """Write what the run reads, and what it tells, before there is a run."""
    job = job_of(services, request)
    # Of one that is written for the first time nothing is left over. A stream may have left more than the task itself.
    if dag_of(request) == LIVE_DAG or not job.create_task(request):
        # Of a run of this id that was deleted since; a stream that was sent then is another one, with its own end and recordings.
        gone = [job.cancelled_key]
        if dag_of(request) == LIVE_DAG:
            gone += [job.result_key(LIVE_UNIT), job.outcome_key, job.live_key]
            services.store.delete_prefix(job.bucket, job.live_prefix)
        for key in gone:
            services.store.delete(job.bucket, key)
        job.write_task(request)
    services.tasks.keep(request.reference.run_id, request)
    _keep_callback(services, request)


def _keep_callback(services: Services, request: TaskRequest) -> None:
    reference = request.reference
    about = {
        "task_id": reference.task_id,
        "source": reference.source,
        "targets": list(reference.targets),
        "profile_name": reference.profile_name,
    }
    callbacks.keep(job_of(services, request), request.callback_url, reference.client, about)


def _place(url: MediaUrl) -> MediaUrl:
    """Return what an address leads to, however it is spelled and whoever speaks first there."""
    return replace(url, text="", listens=False)


def _check_place(field: str, url: MediaUrl, settings: Settings, *, is_target: bool) -> None:
    """Raise :class:`ParameterError` for a bucket, a key or an address that no request may name."""
    try:
        check_literal(url, settings)
    except ParameterError as error:
        raise ParameterError(f"{field}: {error.message}") from error
    if url.kind != "s3":
        return
    if not settings.allows_bucket(url.bucket):
        raise ParameterError(f"{field}: {url.bucket!r} is no bucket that requests may name.")
    if url.key.startswith(settings.work_prefix):
        raise ParameterError(f"{field}: {settings.work_prefix!r} is kept for work in progress.")
    if is_target:
        check_not_watched(settings, field, url.bucket, url.key)
