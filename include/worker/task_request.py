"""The request of contract 3: one source, one profile, several targets; and the short form of it that Airflow sees."""

from __future__ import annotations

import hashlib
from datetime import datetime

from pydantic import Field

from include.ffmpeg_ops.encodings import TaskProfile
from include.worker.requests import Document

__all__ = ["TaskReference", "TaskRequest", "task_run_prefix"]


def task_run_prefix(client: str) -> str:
    """Return what the run ids of a client's tasks begin with, and no other client's."""
    return f"task-{hashlib.sha256(client.encode()).hexdigest()[:12]}-"


class TaskReference(Document):
    """A task as runs name it: the conf of the DAGs ``transcode`` and ``live``.

    Addresses are shown without what may be secret (user, password, query, stream key); the job's ``request.json`` has them whole.
    """

    bucket: str = Field(description="Bucket of the work documents.", min_length=3, max_length=63)
    client: str = Field(description="Client that asked.", max_length=200)
    task_id: str = Field(description="Id of the task.", pattern=r"^[1-9][0-9]{0,17}$", examples=["3125"])
    source: str = Field("", description="Address of the source, as it may be shown.", max_length=2048)
    targets: tuple[str, ...] = Field((), description="Addresses of the targets, as they may be shown.")
    profile_name: str = Field("", description="Name of its profile.", max_length=200)

    @property
    def job_id(self) -> str:
        """The folder of its documents: 20 hex digits."""
        return hashlib.sha256(f"task\n{self.client}\n{self.task_id}".encode()).hexdigest()[:20]

    @property
    def run_id(self) -> str:
        """Its Airflow run id, in either DAG."""
        return f"{task_run_prefix(self.client)}{self.task_id}"


class TaskRequest(Document):
    """A task in full: ``request.json`` of its job, written before its run is triggered."""

    reference: TaskReference
    source_url: str = Field(min_length=1, max_length=4096)
    targets: tuple[str, ...] = Field(min_length=1, description="target URLs, in the order of the request")
    profile: TaskProfile = Field(description="as it was when the task was created")
    callback_url: str | None = Field(None, max_length=2048)
    created_at: datetime
