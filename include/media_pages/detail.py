"""All that is known of one job."""

from __future__ import annotations

from collections.abc import Sequence

from include.errors import NotFound
from include.media_api.gateway import Run, TaskState
from include.media_api.services import Services
from include.media_api.upload_service import UploadService
from include.media_pages.models import Job, JobDetail

__all__ = ["Details"]


class Details:
    """Reads what belongs to a job."""

    def __init__(self, services: Services, uploads: UploadService) -> None:
        self._services = services
        self._uploads = uploads

    async def job_detail(self, run: Run, job: Job, tasks: Sequence[TaskState], *, root: str) -> JobDetail:
        """Return the row with all the rest; ``root`` is the path that this app is mounted at."""
        return JobDetail(**job.model_dump())

    async def playlist(self, run: Run, path: str) -> str:
        """Return a playlist of a job's output."""
        raise NotFound("There is no such playlist.")
