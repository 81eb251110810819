"""The media type that players and browsers expect of each file that is published."""

from __future__ import annotations

from pathlib import PurePosixPath

__all__ = ["content_type_for"]

# Not the mimetypes module: what it answers depends on the machine's own tables.
_TYPES = {
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4a": "audio/mp4",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".ts": "video/mp2t",
    ".vtt": "text/vtt",
}


def content_type_for(name: str) -> str:
    """Return the content type for a file name or object key; ``application/octet-stream`` where it is not ours."""
    return _TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
