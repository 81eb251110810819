"""Folders whose new objects start runs are no place for outputs."""

from __future__ import annotations

from include.errors import ParameterError
from include.settings import Settings

__all__ = ["check_not_watched", "is_watched"]


def is_watched(settings: Settings, bucket: str, key: str) -> bool:
    """Tell whether a new object of this key would be taken for one that was dropped."""
    return bucket == settings.bucket and key.startswith(settings.ingest_prefixes)


def check_not_watched(settings: Settings, field: str, bucket: str, key: str) -> None:
    """Raise :class:`ParameterError` for an output that would be taken for an input, worked on again, and put away."""
    if is_watched(settings, bucket, key):
        raise ParameterError(f"{field}: the output would lie in a folder whose new objects start runs; choose another folder.")
