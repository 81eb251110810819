"""What a client has submitted: the list of its videos as it was then, kept in S3 beside the work documents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from include.errors import NotFound, ObjectExists
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.worker.models import TranscodeRequest
from include.worker.video_transcode import Element, VideoTranscodeRequest

__all__ = ["Submission", "SubmittedVideo", "Video", "load", "read_request", "request_key", "save", "video_of"]

TRANSCODE_DAG = "transcode"
FOLDER_DAG = "video_transcode"


def _is_absent(value: object) -> bool:
    return value is None


class Video(BaseModel):
    """One element of contract 1's `videos`; what it does not have is left out of the JSON."""

    model_config = ConfigDict(frozen=True)

    src: str = Field(description="Key of the source.")
    error: str = Field(description="`no`, `test`, `exist`, `not .mp4`, or what is wrong.")
    status: Literal["transcode", "exist", "done", "failed"] | None = Field(None, exclude_if=_is_absent)
    dst: str | None = Field(None, exclude_if=_is_absent, description="Key of the output; written last.")
    keyoutpath: str | None = Field(None, exclude_if=_is_absent, description="Folder that holds the output folder.")
    output_key: str | None = Field(None, exclude_if=_is_absent, description="Name of the output without its extension.")
    progress: int | None = Field(None, exclude_if=_is_absent, ge=0, le=100, description="Percent; in the status list only.")


class SubmittedVideo(BaseModel):
    """A video and, where it is to be transcoded, the request that does it."""

    model_config = ConfigDict(frozen=True)

    video: Video
    request: TranscodeRequest | None = None
    etag: str | None = None


class Submission(BaseModel):
    """A real (not a test) request of one client."""

    model_config = ConfigDict(frozen=True)

    client: str
    request: VideoTranscodeRequest
    submitted_at: datetime
    videos: tuple[SubmittedVideo, ...]

    @classmethod
    def of(cls, client: str, request: VideoTranscodeRequest, elements: tuple[Element, ...]) -> Submission:
        """Return the submission of ``elements``."""
        videos = tuple(
            SubmittedVideo(
                video=video_of(element, request.time, is_test=False),
                request=element.request,
                etag=element.source and element.source.etag,
            )
            for element in elements
        )
        now = datetime.now(timezone.utc).replace(microsecond=0)
        return cls(client=client, request=request, submitted_at=now, videos=videos)

    @property
    def pending(self) -> tuple[TranscodeRequest, ...]:
        """The transcodes that were to be done when it was submitted."""
        return tuple(video.request for video in self.videos if video.request and video.video.status == "transcode")

    @property
    def dag_id(self) -> str:
        """The DAG whose run :attr:`run_id` names."""
        return FOLDER_DAG if self.request.is_folder else TRANSCODE_DAG

    @property
    def run_id(self) -> str:
        """The run id, derived from what identifies the work, so that the same request twice yields one run."""
        single = self.videos[0].request if self.videos and not self.request.is_folder else None
        if single:
            return single.run_id
        request = self.request
        pending = [(one.request.source_key, one.etag) for one in self.videos if one.request and one.video.status == "transcode"]
        identity = [self.client, request.bucket, request.src, request.dst, request.time, request.type, pending]
        return f"{self.dag_id}__{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]}"


def video_of(element: Element, time: str, *, is_test: bool) -> Video:
    """Return ``element`` as contract 1 answers it."""
    if element.status == "not_mp4":
        return Video(src=element.src, error="not .mp4")
    request = element.request
    if element.status == "refused" or request is None:
        return Video(src=element.src, error=element.error or "The source cannot be used.")
    error = "exist" if element.status == "exist" else "test" if is_test else "no"
    return Video(
        src=element.src,
        error=error,
        status=element.status,
        dst=request.destination_key,
        keyoutpath=request.folder.removesuffix(f"{request.name}_{time}/"),
        output_key=request.name,
    )


def save(store: ObjectStore, settings: Settings, submission: Submission) -> None:
    """Keep ``submission`` for :func:`load`.

    With nothing to do an earlier one of the same run id stays: whoever follows that one is told that it is done.
    """
    key = request_key(settings, submission.client, submission.run_id)
    data = submission.model_dump_json().encode()
    try:
        store.put_bytes(submission.request.bucket, key, data, if_none_match=not submission.pending)
    except ObjectExists:
        return


def load(store: ObjectStore, settings: Settings, client: str, run_id: str) -> Submission:
    """Return what ``client`` submitted as ``run_id``; :class:`NotFound` where that was nobody, or another client."""
    return Submission.model_validate(read_request(store, settings, client, run_id, (TRANSCODE_DAG, FOLDER_DAG)))


def read_request(store: ObjectStore, settings: Settings, client: str, run_id: str, dag_ids: Sequence[str]) -> Any:
    """Return the document kept at :func:`request_key`; :class:`NotFound` where ``client`` has no run of this id."""
    if re.fullmatch(rf"({'|'.join(dag_ids)})__[0-9a-f]{{20}}", run_id):
        for bucket in settings.buckets or (settings.bucket,):
            try:
                return from_json(store.get_bytes(bucket, request_key(settings, client, run_id)))
            except NotFound:
                continue
    raise NotFound("run_id: you have no run of this id.")


def request_key(settings: Settings, client: str, run_id: str) -> str:
    """Return where it is kept what ``client`` has submitted as ``run_id``."""
    # The client is part of the key: no one reads what another has asked for. Hashed, since a name may hold any character.
    return f"{settings.work_prefix}requests/{hashlib.sha256(client.encode()).hexdigest()[:16]}/{run_id}.json"
