"""What contract 3 takes and gives, as JSON."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.media_api.task_errors import TaskError

__all__ = [
    "LONGEST_NAME",
    "NewTask",
    "Profile",
    "ProfileList",
    "Source",
    "TargetStatus",
    "TaskCreated",
    "TaskList",
    "TaskStatus",
    "TaskStatusName",
]

LONGEST_URL = 4096
LONGEST_NAME = 128  # of a profile
LONGEST_CALLBACK = 2048  # as in the other contracts, and in the documents that keep it
TASK_ID: dict[str, Any] = {"description": "A string of digits.", "pattern": r"^[0-9]{1,18}$", "examples": ["3125"]}


def _is_absent(value: object) -> bool:
    return value is None


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Sent):
    """Where a task reads."""

    source_url: str = Field(
        min_length=1,
        max_length=LONGEST_URL,
        description="A file (`s3://bucket/key`, `https://`, `http://`) or a live stream (`rtmp://`, `rtmps://`, `srt://`, "
        "`udp://`, `rtsp://`).",
        examples=["s3://media/in/talk.mp4"],
    )


class Target(_Sent):
    """Where a task writes."""

    target_url: str = Field(
        min_length=1,
        max_length=LONGEST_URL,
        description="An object (`s3://bucket/key`) or a live stream (`rtmp://`, `rtmps://`, `srt://`, `udp://`).",
        examples=["s3://media/out/talk.mp4"],
    )


class NewTask(_Sent):
    """One source, one profile, several targets."""

    source: Source
    profile_name: str | None = Field(
        None,
        max_length=LONGEST_NAME,
        description="Name of a profile, or `video_<container>_<width>x<height>_<n>kbps`; left out: the server's default.",
        examples=["video_mp4_1280x720_1728kbps"],
    )
    targets: tuple[Target, ...] = Field(min_length=1, max_length=100, description="Encoded once, delivered to each of them.")
    callback_url: str | None = Field(
        None,
        max_length=LONGEST_CALLBACK,
        description="Is told of the task's progress and end (Standard Webhooks).",
        examples=["https://example.com/hooks/reelflow"],
    )


class TaskCreated(BaseModel):
    """The answer to a request for a task."""

    task_id: str = Field(**TASK_ID)


class TaskStatusName(str, Enum):
    """What becomes of a task."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self in {TaskStatusName.SUCCESS, TaskStatusName.FAILED, TaskStatusName.CANCELLED}


class TargetStatus(BaseModel):
    """A target, and for a live task how it does."""

    target_url: str = Field(description="As it was sent.", examples=["rtmp://live.example.com/app/stream"])
    state: str | None = Field(
        None, exclude_if=_is_absent, description="Live: `sending`, `retrying`, `failed` or `done`.", examples=["sending"]
    )
    frames: int | None = Field(None, exclude_if=_is_absent, ge=0, description="Live: frames sent.", examples=[1500])
    dropped: int | None = Field(
        None, exclude_if=_is_absent, ge=0, description="Live: frames that it was too slow for.", examples=[0]
    )
    bit_rate: int | None = Field(None, exclude_if=_is_absent, ge=0, description="Live: bit/s, lately.", examples=[1728000])
    reconnects: int | None = Field(None, exclude_if=_is_absent, ge=0, description="Live: times it was lost.", examples=[0])


class TaskStatus(BaseModel):
    """A task; what it has not reached is left out."""

    task_id: str = Field(**TASK_ID)
    source: Source
    profile_name: str = Field(description="The profile, by name.", examples=["video_mp4_1280x720_1728kbps"])
    targets: tuple[TargetStatus, ...] = Field(description="In the order of the request.")
    task_status: TaskStatusName = Field(description="What becomes of it.", examples=["RUNNING"])
    progress: int = Field(
        ge=0,
        description="Percent, of a failed task what it had reached when known; for a live task the seconds relayed.",
        examples=[41],
    )
    create_time: datetime = Field(description="UTC.", examples=["2026-01-02T03:04:05Z"])
    start_time: datetime | None = Field(None, exclude_if=_is_absent, description="UTC.", examples=["2026-01-02T03:04:06Z"])
    end_time: datetime | None = Field(None, exclude_if=_is_absent, description="UTC.", examples=["2026-01-02T03:05:30Z"])
    error: TaskError | None = Field(None, exclude_if=_is_absent, description="Of a failed task.")


class TaskList(BaseModel):
    """Some of a client's tasks, newest first."""

    tasks: tuple[TaskStatus, ...]
    cursor: str | None = Field(
        None, exclude_if=_is_absent, description="Brings the next ones; left out with the last ones.", examples=["kgECA"]
    )


class Profile(BaseModel):
    """A profile and whose it is."""

    profile_name: str = Field(description="Its name.", examples=["video_mp4_1280x720_1728kbps"])
    own: bool = Field(description="Whether the client has made it; the others are the same for everybody.", examples=[False])
    encodings: tuple[Encoding, ...] = Field(description="Several are the renditions of a ladder.")

    @classmethod
    def of(cls, profile: TaskProfile, *, own: bool) -> Profile:
        """Return ``profile`` as it is shown."""
        return cls(profile_name=profile.profile_name, own=own, encodings=profile.encodings)


class ProfileList(BaseModel):
    """Profiles that a client's tasks may name, beside the generic names."""

    profiles: tuple[Profile, ...]
