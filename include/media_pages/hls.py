"""HLS playlists as a browser gets them: other playlists come through us, segments straight from S3 by presigned addresses."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import m3u8

from include.errors import NotFound
from include.media_store.models import ObjectRef

__all__ = ["NO_PLAYLIST", "Served", "rewritten"]

NO_PLAYLIST = "There is no such playlist."


@dataclass(frozen=True)
class Served:
    """What of a job's output may be asked for: playlists by their paths, and the addresses of segments by theirs."""

    playlists: Mapping[str, ObjectRef]
    address: Callable[[str], str | None]


def rewritten(text: str, name: str, playlists: Collection[str], address: Callable[[str], str | None]) -> str:
    """Return a playlist whose segments have an ``address``; ``name`` is its own path in the output's folder.

    What it refers to must be one of the ``playlists`` or have an address, by its path in that folder: else :class:`NotFound` is
    raised, as for a text that is no playlist, since whoever can write to the bucket could have us sign anything else.
    """
    try:
        parsed = m3u8.loads(text)
    except ValueError as error:
        raise NotFound(NO_PLAYLIST) from error
    if any(parsed.keys) or any(parsed.session_keys):
        raise NotFound(NO_PLAYLIST)
    if parsed.is_variant:
        for item in (*parsed.playlists, *parsed.media, *parsed.iframe_playlists):
            # Sound that is inside the video has none.
            if item.uri and _path(name, item.uri) not in playlists:
                raise NotFound(NO_PLAYLIST)
        return str(parsed.dumps())
    if not parsed.target_duration:
        raise NotFound(NO_PLAYLIST)

    def signed(reference: str) -> str:
        found = address(_path(name, reference))
        if found is None:
            raise NotFound(NO_PLAYLIST)
        return found

    # One section may stand before many segments.
    sections = {id(section): section for segment in parsed.segments if (section := segment.init_section)}
    for item in (*parsed.segments, *sections.values()):
        item.uri = signed(item.uri)
    return str(parsed.dumps(infspec="microsecond"))


def _path(name: str, reference: str) -> str:
    """Return the path that a playlist's reference leads to; an empty one where that is no path of a folder's file."""
    parts = urlsplit(reference)
    path = unquote(parts.path)
    if parts.scheme or parts.netloc or parts.query or path.startswith("/"):
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
