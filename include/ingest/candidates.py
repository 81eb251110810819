"""Which keys are dropped videos, and which belong to them or are in the making. Pure."""

from __future__ import annotations

from typing import Literal

from include.errors import InputNotSupported, InvalidInputData, LimitExceeded
from include.ffmpeg_ops.containers import container_of
from include.settings import Settings
from include.worker.requests import split_key

__all__ = ["Kind", "check_object", "error_key", "fits", "is_candidate", "kind_of", "path_below", "sidecar_keys", "what_to_do"]

Kind = Literal["transcode", "super_resolution"]

ERROR_SUFFIX = ".error.json"
_MOST_KEY_BYTES = 1024  # says S3
# What clients name a file while they write it: WinSCP, rclone, browsers, curl, editors; and Hadoop's mark of a folder.
_TEMPORARY = (
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".download",
    ".tmp",
    ".temp",
    ".inprogress",
    ".uploading",
    ".swp",
    "~",
    "_$folder$",
)


def kind_of(settings: Settings, bucket: str, key: str) -> Kind | None:
    """Return what is made of objects in the key's folder; ``None`` where nothing is."""
    if bucket != settings.bucket:
        return None
    if key.startswith(settings.ingest_transcode_prefixes):
        return "transcode"
    return "super_resolution" if key.startswith(settings.ingest_sr_prefixes) else None


def path_below(settings: Settings, key: str) -> str:
    """Return the key without the folder that is watched."""
    prefix = next(prefix for prefix in settings.ingest_prefixes if key.startswith(prefix))
    return key[len(prefix) :]


def is_candidate(settings: Settings, bucket: str, key: str) -> bool:
    """Tell whether a key names a finished object to be dealt with: no folder, no sidecar, nothing temporary or hidden."""
    if kind_of(settings, bucket, key) is None or key.endswith("/"):
        return False
    path = path_below(settings, key)
    if any(part.startswith((".", "~$")) for part in path.split("/")):
        return False
    return not path.lower().endswith((*_TEMPORARY, ".json"))


def sidecar_keys(key: str) -> tuple[str, str]:
    """Return where an object's parameters may be: in ``clip.mp4.json``, else in ``clip.json``."""
    folder, stem, _ = split_key(key)
    return f"{key}.json", f"{folder}{stem}.json"


def error_key(key: str) -> str:
    """Return where it is told why an object was refused or has failed."""
    return f"{key}{ERROR_SUFFIX}"


def fits(key: str) -> bool:
    """Tell whether there can be an object of this name."""
    return len(key.encode()) <= _MOST_KEY_BYTES


def check_object(settings: Settings, kind: Kind, key: str, size: int) -> None:
    """Raise what is wrong with an object's name or size."""
    name = key.rpartition("/")[2]
    suffix = split_key(key)[2]
    if not fits(error_key(key)):
        most = _MOST_KEY_BYTES - len(ERROR_SUFFIX)
        size = len(key.encode())
        raise InputNotSupported(f"{name} and its folders are {size} bytes long, more than {most}; use shorter names.")
    if kind == "super_resolution":
        container_of(suffix)
    elif not key.lower().endswith(tuple(accepted.lower() for accepted in settings.source_suffixes)):
        accepted = ", ".join(settings.source_suffixes)
        raise InputNotSupported(f"{name} is none of the accepted files: {accepted} (MEDIA_SOURCE_SUFFIXES).")
    if not split_key(key)[1]:
        raise InputNotSupported(f"{name} has no name before its extension.")
    if size == 0:
        raise InvalidInputData(f"{name} is empty (0 bytes).")
    if size > settings.max_source_bytes:
        raise LimitExceeded(f"{name} has {size} bytes; MEDIA_MAX_SOURCE_BYTES allows {settings.max_source_bytes}.")


def what_to_do(*, retryable: bool) -> str:
    """Return a sentence for people who see the error beside the object."""
    if retryable:
        return "Clear the run in Airflow, or drop the object again."
    return "Put it right and drop the object (or its sidecar) again, or clear the run in Airflow."
