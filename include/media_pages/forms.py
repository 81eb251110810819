"""The forms of new jobs: JSON schemas of the models that the APIs themselves read bodies with."""

from __future__ import annotations

from typing import Any

from include.media_api.super_resolution import SuperResolutionPost
from include.settings import Settings
from include.worker.video_transcode import VideoTranscodeRequest

__all__ = ["forms"]


def forms(settings: Settings) -> dict[str, Any]:
    """Return the schema of each form's body, with the buckets that may be named."""
    transcode = VideoTranscodeRequest.model_json_schema()
    names = settings.buckets or (settings.bucket,)
    default = settings.bucket if settings.bucket in names else names[0]
    transcode["properties"]["bucket"] |= {"default": default, "examples": list(dict.fromkeys((default, *names)))}
    return {"video_transcode": transcode, "super_resolution": SuperResolutionPost.model_json_schema()}
