"""Contract 2, super-resolution: one video, two or four times as large."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from include.errors import InputNotSupported, LimitExceeded, NotFound, ParameterError
from include.ffmpeg_ops.containers import container_of
from include.ffmpeg_ops.glance import glance
from include.ffmpeg_ops.segments import planned_segments
from include.media_api import callbacks
from include.media_api import super_resolution_status as status
from include.media_api.auth import Client
from include.media_api.gateway import Run
from include.media_api.services import Services, ServicesDependency, body_documentation, json_body
from include.media_api.submit import RunStarter
from include.media_api.super_resolution_join import join
from include.media_api.super_resolution_status import SUPER_RESOLUTION_DAG, SuperResolutionStatus, SuperResolutionSubmission
from include.media_store.models import ObjectRef
from include.worker.job import Job
from include.worker.override import withdraw
from include.worker.requests import SuperResolutionBody, SuperResolutionRequest, split_key
from include.worker.split import check_size
from include.worker.watched_folders import check_not_watched

__all__ = ["router"]

router = APIRouter(tags=["super-resolution"])

GLANCE_SECONDS = 20
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field is wrong, `message` names it; or the output would be too large."},
    403: {"description": "The key is missing or wrong."},
    404: {"description": "There is no such object, or no such run."},
    409: {"description": "The output is being made for another request, with another model or without what this one asks for."},
    415: {"description": "The object is not a video, or of a kind whose upscaled file could not be of the same kind."},
}


class Started(BaseModel):
    """The answer to a request: where it will be, and where to watch it."""

    message: str = Field(description="`<key> started`, or `<key> debug`.", examples=["clips/holiday.mp4 started"])
    run_id: str
    output_key: str = Field(description="Key of the upscaled video; written last.", examples=["clips/holiday_x2.mp4"])
    segments: int = Field(description="Segments that are planned; keyframes may make it fewer.")
    status_url: str


class SuperResolutionPost(SuperResolutionBody):
    """The body of `POST /prod`."""

    callback_url: str | None = Field(
        None,
        description="Where events of the run are sent to, signed (docs/webhooks.md).",
        min_length=1,
        max_length=2048,
        examples=["https://ott.example/reelflow"],
    )


@router.post("/", responses=_ERRORS, openapi_extra=body_documentation(SuperResolutionPost))
async def submit(
    request: Request,
    client: Client,
    services: ServicesDependency,
    body: Annotated[SuperResolutionPost, Depends(json_body(SuperResolutionPost))],
) -> Started:
    """Upscale one video of the bucket; the same request again, while it runs or once it is done, is the same run."""
    callbacks.check(body.callback_url, client, services.settings)
    given = body.model_dump(exclude={"callback_url"})
    wanted = SuperResolutionRequest(bucket=services.settings.bucket, client=client, **given)
    source, segments = await run_sync(_look, services, wanted)
    model = wanted.chosen_model(services.settings.sr_model)
    submission = SuperResolutionSubmission.of(client, wanted, source, segments, model=model)
    runs: RunStarter = request.app.state.runs
    job = Job.of(services.store, services.settings, wanted)

    async def prepare(run: Run | None) -> None:
        if run is not None and not run.is_finished:
            await join(services, submission, run)
        await run_sync(status.save, services, submission)
        if body.callback_url is not None:
            about = {"bucket": wanted.bucket, "key": wanted.key, "output_key": wanted.destination_key, "scale": wanted.scale}
            await run_sync(callbacks.keep, job, body.callback_url, client, about)
            await callbacks.heed(services.gateway, SUPER_RESOLUTION_DAG, [wanted.run_id])

    async def is_undone() -> bool:
        return not await status.is_done(services, submission)

    async def withdraw_override() -> None:
        await run_sync(withdraw, job)

    await runs.ensure(
        SUPER_RESOLUTION_DAG,
        wanted.run_id,
        wanted.model_dump(mode="json"),
        note=f"{client}: {wanted.key} x{wanted.scale}",
        is_undone=is_undone,
        prepare=prepare,
        before_start=withdraw_override,
    )
    return Started(
        message=f"{wanted.key} {'debug' if wanted.task == 'debug' else 'started'}",
        run_id=wanted.run_id,
        output_key=wanted.destination_key,
        segments=segments,
        status_url=_status_url(request, wanted.run_id),
    )


@router.get("/superResolution/{run_id}", responses=_ERRORS)
async def read_status(client: Client, services: ServicesDependency, run_id: str) -> SuperResolutionStatus:
    """Tell how far a run has come, segment by segment; only to a client that has asked for it."""
    submission = await run_sync(status.load, services, client, run_id)
    return await status.live(services, submission)


def _look(services: Services, wanted: SuperResolutionRequest) -> tuple[ObjectRef, int]:
    """Return the source, and how many segments it will have at the most; raises what is wrong with it."""
    settings, store = services.settings, services.store
    if wanted.key.startswith(settings.work_prefix):
        raise ParameterError(f"key: {settings.work_prefix!r} is kept for work in progress.")
    check_not_watched(settings, "key", wanted.bucket, wanted.destination_key)
    source = store.head(wanted.bucket, wanted.key)
    if source is None:
        raise NotFound(f"key: there is no object {wanted.key!r} in the bucket.")
    if source.size == 0:
        raise InputNotSupported("key: the object is empty.")
    if source.size > settings.max_source_bytes:
        raise LimitExceeded(
            f"key: the object has {source.size} bytes, more than {settings.max_source_bytes} (MEDIA_MAX_SOURCE_BYTES)."
        )
    container = container_of(split_key(wanted.key)[2])
    seen = glance(store.address(source, 10 * GLANCE_SECONDS), settings, GLANCE_SECONDS)
    check_size(seen.width, seen.height, wanted.scale, settings)
    container.codec(seen.bit_depth)
    duration = seen.duration or Fraction(0)
    if duration > settings.max_source_seconds:
        raise LimitExceeded(
            f"key: the video lasts {float(duration):.0f} s, more than {settings.max_source_seconds} s (MEDIA_MAX_SOURCE_SECONDS)."
        )
    return source, planned_segments(duration, wanted.segment_time, settings.max_units)


def _status_url(request: Request, run_id: str) -> str:
    # Not url_for: where the app is mounted that asks the root app's router, which knows no name of ours.
    path = f"{request.scope.get('root_path', '')}/superResolution/{run_id}"
    return str(request.url.replace(path=path, query=""))
