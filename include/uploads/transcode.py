"""What becomes of an upload's file: an HLS ladder beside it."""

from __future__ import annotations

import re

from include.uploads.models import Upload
from include.worker.requests import TranscodeRequest

__all__ = ["transcode_request"]

_NAME_CHARACTERS = 80
# Of UTF-8: no file system takes a name of more than 255, and the name gets an ending.
_NAME_BYTES = 240


def transcode_request(upload: Upload, bucket: str) -> TranscodeRequest:
    """Return the transcode of the joined file in ``bucket``, named after the file that was uploaded."""
    filename = upload.filename.replace("\\", "/").rpartition("/")[2]
    stem = filename.rpartition(".")[0] or filename
    name = re.sub(r"[^\w-]+", "_", stem).strip("_")[:_NAME_CHARACTERS]
    name = name.encode()[:_NAME_BYTES].decode(errors="ignore")
    return TranscodeRequest(
        bucket=bucket,
        source_key=upload.reference.full_key,
        folder=upload.reference.prefix,
        name=name or "video",
        container="hls",
        client=upload.client,
    )
