"""All that is known of one job: its flow, its units, its source, what came of it and why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from include.errors import NotFound
from include.media_api.gateway import Run, TaskState
from include.media_api.services import Services
from include.media_api.upload_service import UploadService
from include.media_pages.detail_live import LiveReader, delivered
from include.media_pages.detail_media import Known, MediaReader
from include.media_pages.detail_upload import read_upload, upload_fields, upload_problem
from include.media_pages.documents import Documents, job_of
from include.media_pages.hls import NO_PLAYLIST, rewritten
from include.media_pages.models import Job, JobDetail, Problem
from include.media_pages.related import related_to
from include.media_pages.shared import Shared
from include.media_pages.steps import FLOWS, steps_of
from include.media_store.addresses import Addresses

__all__ = ["Details"]

LIVE_DAG = "live"
UPLOAD_DAG = "upload"
PLAYLIST_SECONDS = 1.0
_REWRITERS = 4


class Details:
    """Reads what belongs to jobs, and keeps what cannot change.

    Documents that are missing, damaged or of another version leave fields empty; only that Airflow, S3 or a table does not
    answer is raised.
    """

    def __init__(self, services: Services, uploads: UploadService) -> None:
        self._services = services
        self._uploads = uploads
        self._documents = Documents(services.store)
        # Of a long recording one takes a while to rewrite, and its players ask for it every few seconds.
        self.playlists: Shared[tuple[str, str, str], str] = Shared(PLAYLIST_SECONDS)
        self._rewriters = CapacityLimiter(_REWRITERS)

    @cached_property
    def addresses(self) -> Addresses:
        """Addresses of objects for browsers; made when first asked for, since that takes the SDK a while."""
        return Addresses(self._services.settings)

    async def job_detail(self, run: Run, job: Job, tasks: Sequence[TaskState], *, root: str) -> JobDetail:
        """Return the row ``job`` of the list with all the rest; ``root`` is the path that the app is mounted at."""
        playlists = f"{root}/data/jobs/{quote(run.dag_id, safe='')}/{quote(run.run_id, safe='')}/hls/"
        upload = await run_sync(read_upload, self._uploads.uploads, run) if run.dag_id == UPLOAD_DAG else None
        related = await related_to(self._services, run, upload)
        known = await run_sync(self._known, run, job, tasks, playlists)
        fields: dict[str, Any] = dict(known.fields)
        problem = known.problem
        if job.kind == "task" and "destinations" not in fields:
            fields["destinations"] = delivered(run, job)
        if upload is not None:
            fields |= upload_fields(upload)
            problem = upload_problem(upload)
        counts = known.strip.counts if run.dag_id != LIVE_DAG else None
        detail: Mapping[str, Any] = job.model_dump() | fields
        return JobDetail.model_validate(
            {
                **detail,
                "fps": job.fps if job.fps is not None else known.strip.fps if job.state == "running" else None,
                "steps": steps_of(run, tasks, {FLOWS[run.dag_id][1]: counts} if counts else None),
                "units": known.strip.units,
                "related": related,
                "problem": _problem(job, problem),
                "wall_seconds": (run.end_date - run.start_date).total_seconds() if run.start_date and run.end_date else None,
            }
        )

    async def playlist(self, run: Run, path: str) -> str:
        """Return a playlist of what a job has published; :class:`NotFound` for any path that is none of these."""

        async def read() -> str:
            return await run_sync(self._playlist, run, path, limiter=self._rewriters)

        return await self.playlists((run.dag_id, run.run_id, path), read)

    def _known(self, run: Run, job: Job, tasks: Sequence[TaskState], playlists: str) -> Known:
        folder = job_of(self._services.store, self._services.settings, run.dag_id, run.conf)
        if folder is None:
            return Known()
        if run.dag_id == LIVE_DAG:
            return LiveReader(self._services.settings, self._documents, self.addresses).known(run, job, folder, tasks, playlists)
        return MediaReader(self._services.settings, self._documents, self.addresses).known(run, folder, tasks, playlists)

    def _playlist(self, run: Run, path: str) -> str:
        job = job_of(self._services.store, self._services.settings, run.dag_id, run.conf)
        if job is None:
            raise NotFound(NO_PLAYLIST)
        if run.dag_id == LIVE_DAG:
            served = LiveReader(self._services.settings, self._documents, self.addresses).served(run, job)
        else:
            served = MediaReader(self._services.settings, self._documents, self.addresses).served(run, job)
        ref = served.playlists.get(path)
        if ref is None:
            raise NotFound(NO_PLAYLIST)
        # Not from the documents that are kept: one that grows has a version for each of its segments.
        try:
            text = self._services.store.get_bytes(ref.bucket, ref.key).decode("utf-8")
        except (NotFound, UnicodeDecodeError) as error:
            raise NotFound(NO_PLAYLIST) from error
        return rewritten(text, path, served.playlists, served.address)


def _problem(job: Job, found: Problem | None) -> Problem | None:
    """Return why a job has failed, at least in the words of its row."""
    if job.state != "failed":
        return None
    if found is not None:
        return found
    return Problem(code="Unknown", message=job.error, retryable=True) if job.error else None
