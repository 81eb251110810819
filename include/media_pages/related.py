"""Other jobs that belong to a job: what it has started, or what has started it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from anyio.to_thread import run_sync
from pydantic import ValidationError

from include.errors import NotFound
from include.media_api.gateway import Run
from include.media_api.services import Services
from include.media_api.submission import FOLDER_DAG, Submission, load
from include.media_api.upload_service import TRANSCODE_DAG, UPLOAD_DAG
from include.media_pages.models import Related
from include.uploads.models import Upload
from include.uploads.transcode import transcode_request
from include.worker.job import Job
from include.worker.override import overridden
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

__all__ = ["related_to"]

MOST = 100
_OF_UPLOAD = re.compile(r"uploads/[A-Za-z0-9_-]{1,64}/([0-9a-z]{1,32})/full")


async def related_to(services: Services, run: Run, upload: Upload | None) -> tuple[Related, ...]:
    """Return the jobs that belong to a run's and still are in Airflow; ``upload`` is that of a run of the DAG ``upload``."""
    conf = run.conf
    if run.dag_id == FOLDER_DAG:
        return await _transcodes(services, await run_sync(_of_folder, services, run))
    if run.dag_id == "super_resolution":
        return await _transcodes(services, await run_sync(_ladder, services, run))
    if upload is not None and "s3Bucket" in upload.destinations:
        return await _transcodes(services, [transcode_request(upload, services.settings.bucket)])
    source = _OF_UPLOAD.fullmatch(str(conf.get("source_key", ""))) if run.dag_id == TRANSCODE_DAG else None
    if source is None:
        return ()
    run_id = f"upload__{source[1]}"
    found = await services.gateway.runs(UPLOAD_DAG, [run_id])
    return tuple(Related(kind="upload", dag_id=UPLOAD_DAG, run_id=run_id, title=str(conf["source_key"])) for _ in found)


async def _transcodes(services: Services, requests: Sequence[TranscodeRequest]) -> tuple[Related, ...]:
    titles = {request.run_id: request for request in requests[:MOST]}
    runs = await services.gateway.runs(TRANSCODE_DAG, titles) if titles else {}
    return tuple(
        Related(kind="transcode", dag_id=TRANSCODE_DAG, run_id=run_id, title=request.source_key)
        for run_id, request in titles.items()
        if run_id in runs
    )


def _ladder(services: Services, run: Run) -> list[TranscodeRequest]:
    try:
        request = SuperResolutionRequest.model_validate({"bucket": services.settings.bucket} | dict(run.conf))
    except ValidationError:
        return []
    if run.run_id == request.run_id:
        request = overridden(Job.of(services.store, services.settings, request), request, run.conf)
    return [request.ladder_request] if request.ladder_request else []


def _of_folder(services: Services, run: Run) -> Sequence[TranscodeRequest]:
    try:
        submission: Submission = load(services.store, services.settings, str(run.conf.get("client", "")), run.run_id)
    except (NotFound, ValidationError, ValueError):
        # Started in Airflow, or its list is damaged.
        return ()
    return submission.pending
