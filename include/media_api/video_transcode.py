"""Contract 1, `videoTranscode`: one mp4 or a whole folder to mp4 or HLS, skipping what exists."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from include.media_api import callbacks, status
from include.media_api.auth import Client
from include.media_api.services import ServicesDependency, body_documentation, json_body
from include.media_api.submission import Submission, Video, load, video_of
from include.media_api.submit import Submitter
from include.worker.video_transcode import VideoTranscodeRequest, resolve

__all__ = ["router"]

router = APIRouter(tags=["videoTranscode"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field is wrong; `message` names it."},
    403: {"description": "The key is missing or wrong."},
    404: {"description": "There is no such bucket, file or run."},
}


class VideoList(BaseModel):
    """The answer: every file of the request and what becomes of it."""

    videos: list[Video]
    run_id: str | None = Field(None, description="Name of the run; null for a test.")
    status_url: str | None = Field(None, description="Where this list is found live; null for a test.")


@router.post("/videoTranscode", responses=_ERRORS, openapi_extra=body_documentation(VideoTranscodeRequest))
async def submit(
    request: Request,
    client: Client,
    services: ServicesDependency,
    body: Annotated[VideoTranscodeRequest, Depends(json_body(VideoTranscodeRequest))],
) -> VideoList:
    """Transcode one video or a folder of them; with `testflag` other than `no` only tell what would be done."""
    callbacks.check(body.callback_url, client, services.settings)
    elements = await run_sync(resolve, services.store, services.settings, body, client)
    if body.is_test:
        return VideoList(videos=[video_of(element, body.time, is_test=True) for element in elements])
    submission = Submission.of(client, body, elements)
    submitter: Submitter = request.app.state.submitter
    await submitter.submit(submission)
    return _list(request, submission, [one.video for one in submission.videos])


@router.get("/videoTranscode/{run_id}", responses=_ERRORS)
async def read_status(request: Request, client: Client, services: ServicesDependency, run_id: str) -> VideoList:
    """Tell how far a submission has come; only to the client that made it."""
    submission = await run_sync(load, services.store, services.settings, client, run_id)
    return _list(request, submission, await status.live_videos(services, submission))


def _list(request: Request, submission: Submission, videos: list[Video]) -> VideoList:
    # Not url_for: where the app is mounted that asks the root app's router, which knows no name of ours.
    path = f"{request.scope.get('root_path', '')}/videoTranscode/{submission.run_id}"
    return VideoList(videos=videos, run_id=submission.run_id, status_url=str(request.url.replace(path=path, query="")))
