"""The playlist of a recording (RFC 8216): it grows while the stream is live, and is closed at its end. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

__all__ = ["SEGMENT_SECONDS", "Entry", "read", "render"]

SEGMENT_SECONDS = 6.0
# It must not change while clients read it: room for a keyframe that comes late.
_TARGET_SECONDS = 10


@dataclass(frozen=True)
class Entry:
    """A segment beside its playlist; ``joint``: time, streams or picture format do not go on from the one before it."""

    name: str
    seconds: float
    joint: bool = False


def render(entries: Sequence[Entry], *, ended: bool) -> str:
    """Return the playlist's text."""
    # A source that is copied decides where keyframes lie.
    target = max([_TARGET_SECONDS, *(math.ceil(entry.seconds) for entry in entries)])
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{target}", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines += ["#EXT-X-PLAYLIST-TYPE:EVENT", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for number, entry in enumerate(entries):
        lines += ["#EXT-X-DISCONTINUITY"] if entry.joint and number else []
        lines += [f"#EXTINF:{entry.seconds:.6f},", quote(entry.name)]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else []), ""])


def read(text: str) -> list[Entry]:
    """Return the segments of what :func:`render` wrote."""
    import m3u8  # noqa: PLC0415 - other units need not wait for it

    return [Entry(unquote(one.uri), float(one.duration), bool(one.discontinuity)) for one in m3u8.loads(text).segments]
