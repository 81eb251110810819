"""What the pages show, as the JSON that they poll.

Times are UTC, ``YYYY-MM-DDThh:mm:ssZ``; durations and places in a film are seconds; progress is percent. A field that is ``None``
is not known (yet), or does not apply to this kind of job.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from include.worker.subjects import Kind

__all__ = [
    "Comparison",
    "Destination",
    "File",
    "Job",
    "JobDetail",
    "JobPage",
    "JobState",
    "Live",
    "Part",
    "Player",
    "Problem",
    "Related",
    "Rendition",
    "SourceFacts",
    "SourceStream",
    "Step",
    "StepState",
    "Storyboard",
    "StoryboardTile",
    "Thumbnail",
    "Time",
    "Unit",
    "UnitState",
    "Viewer",
]


def _text(time: datetime) -> str:
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[datetime, PlainSerializer(_text, when_used="json")]

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
StepState = Literal["waiting", "running", "done", "failed", "skipped"]
UnitState = Literal["waiting", "running", "done", "failed", "reused"]


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class Viewer(_Shown):
    """Who looks at the pages, and what they may do."""

    user: str
    can_start: bool = Field(description="may start jobs and upload")
    can_change: bool = Field(description="may stop and retry jobs")


class Live(_Shown):
    """How a live stream goes."""

    seconds: float = Field(description="relayed so far")
    bit_rate: int | None = None
    dropped: int | None = Field(None, description="frames that were dropped")


class Job(_Shown):
    """One row of the list: a DAG run."""

    dag_id: str
    run_id: str
    kind: Kind
    state: JobState
    title: str = Field(description="key or address of the source, or the name of the uploaded file; without secrets")
    destination: str | None = Field(None, description="key or address of what is made, without secrets; the first one of several")
    client: str | None = None
    content_provider: str | None = None
    progress: int | None = Field(None, ge=0, le=100)
    fps: float | None = Field(None, description="frames a second of all units at work")
    live: Live | None = None
    created_at: Time
    started_at: Time | None = None
    ended_at: Time | None = None
    error: str | None = Field(None, description="why it has failed, in words")
    run_path: str = Field(description="path of the run in Airflow's UI, e.g. /dags/transcode/runs/…")
    can_stop: bool
    can_retry: bool


class JobPage(_Shown):
    """Some rows, newest first."""

    jobs: tuple[Job, ...]
    next: str | None = Field(None, description="cursor of the page after this one; None at the end")


class Step(_Shown):
    """One task of the flow (a mapped one is one step), in the order of the flow."""

    name: str = Field(description="id of the task: plan, encode, finish, report, …")
    state: StepState
    started_at: Time | None = None
    ended_at: Time | None = None
    units: int | None = Field(None, description="of a step that fans out: how many units")
    units_done: int | None = None
    log_path: str | None = Field(None, description="path of its log in Airflow's UI; None before it has begun")


class Unit(_Shown):
    """One piece of the film (or its audio)."""

    index: int
    kind: Literal["video", "audio", "upscale", "live"]
    label: str
    state: UnitState
    start: float | None = Field(None, description="place in the film; None where that is not known")
    end: float | None = None
    progress: int = Field(0, ge=0, le=100)
    frames: int | None = None
    fps: float | None = Field(None, description="while it runs, or at the end the mean")
    attempt: int | None = None
    error: str | None = None
    log_path: str | None = None


class SourceStream(_Shown):
    """A stream of the source."""

    kind: Literal["video", "audio", "subtitle", "data", "other"]
    codec: str
    language: str | None = None
    channels: int | None = None
    layout: str | None = None
    sample_rate: int | None = None
    dropped: str | None = Field(None, description="why it is not in the output, where it is not")


class SourceFacts(_Shown):
    """What the probe found."""

    bytes: int | None = None
    container: str | None = None
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: str | None = Field(None, description="rational, e.g. 30000/1001")
    frames: int | None = None
    is_variable: bool | None = None
    pixel_format: str | None = None
    color: str | None = Field(None, description="e.g. BT.709, or BT.2020 PQ (HDR10)")
    rotation: int | None = None
    interlaced: bool | None = None
    bit_rate: int | None = None
    streams: tuple[SourceStream, ...] = ()
    damage: tuple[str, ...] = ()


class Rendition(_Shown):
    """One rung of the ladder (or the only picture)."""

    name: str
    width: int
    height: int
    frame_rate: str | None = None
    codec: str | None = None
    bytes: int | None = None
    target_bit_rate: int | None = None
    average_bit_rate: int | None = None
    psnr: float | None = None
    ssim: float | None = None
    vmaf: float | None = None


class Player(_Shown):
    """What a <video> element plays."""

    url: str
    type: Literal["video/mp4", "video/webm", "application/vnd.apple.mpegurl"]
    poster: str | None = None


class Thumbnail(_Shown):
    """A picture of the film."""

    time: float
    url: str


class StoryboardTile(_Shown):
    """Where in its sheet the picture of a stretch of the film lies; pixels."""

    start: float
    end: float
    sheet: int = Field(description="index in the storyboard's sheets")
    x: int
    y: int
    width: int
    height: int


class Storyboard(_Shown):
    """Sprite sheets and what is on them."""

    sheets: tuple[str, ...] = Field(description="addresses")
    tiles: tuple[StoryboardTile, ...]


class Comparison(_Shown):
    """The same frame before and after upscaling."""

    time: float
    before: str = Field(description="address of a picture")
    after: str
    width: int = Field(description="of the picture after")
    height: int


class Destination(_Shown):
    """One of several places that a job delivers to: targets of a task, destinations of an upload."""

    name: str = Field(description="youtube, s3Bucket, or an address without secrets")
    status: str = Field(description="in the contract's words")
    progress: float | None = None
    details: str | None = None
    error: str | None = None


class Part(_Shown):
    """One part of an upload."""

    index: int
    bytes: int
    complete: bool
    error: str | None = None


class File(_Shown):
    """A published object."""

    name: str
    key: str
    bytes: int | None = None
    url: str = Field(description="address that downloads it, for some minutes")


class Related(_Shown):
    """Another job that belongs to this one."""

    kind: Kind
    dag_id: str
    run_id: str
    title: str


class Problem(_Shown):
    """Why a job has failed."""

    code: str = Field(description="of include.errors, e.g. InvalidInputData; the pages hold advice for each")
    message: str
    retryable: bool


class JobDetail(Job):
    """All that is known of one job."""

    steps: tuple[Step, ...] = ()
    units: tuple[Unit, ...] = ()
    source: SourceFacts | None = None
    renditions: tuple[Rendition, ...] = ()
    player: Player | None = None
    thumbnails: tuple[Thumbnail, ...] = ()
    storyboard: Storyboard | None = None
    comparisons: tuple[Comparison, ...] = ()
    destinations: tuple[Destination, ...] = ()
    parts: tuple[Part, ...] = ()
    files: tuple[File, ...] = ()
    related: tuple[Related, ...] = ()
    problem: Problem | None = None
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
