"""Cuts one fragmented MP4 into an initialization section and HLS segments (RFC 8216, 3.3; ISO/IEC 14496-12, 8.8 and 8.16.2)."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from include.errors import VerificationFailed
from include.ffmpeg_ops import boxes

__all__ = ["split"]

_SEGMENT_TYPE = struct.pack(">I4s4sI4s", 20, b"styp", b"msdh", 0, b"msdh")


def split(path: Path, starts: Sequence[int], initialization: Path, segments: Sequence[Path]) -> None:
    """Write ``initialization`` and ``segments``, of which number n begins with the fragment ``starts[n]``.

    Raises :class:`VerificationFailed` where the file has no fragment for one of the starts.
    """
    found = list(boxes.walk(path))
    moofs = [start for kind, start, _ in found if kind == "moof"]
    # Behind the last fragment lies an index of random access points, which no segment has.
    end = next((start for kind, start, _ in found if kind == "mfra"), path.stat().st_size)
    if not moofs or not starts or starts[0] != 0 or starts[-1] >= len(moofs):
        raise VerificationFailed(f"{path.name} has {len(moofs)} fragments, too few for its segments")
    cuts = [*(moofs[start] for start in starts), end]
    with path.open("rb") as file:
        _copy(file.fileno(), 0, moofs[0], initialization, b"")
        for number, segment in enumerate(segments):
            _copy(file.fileno(), cuts[number], cuts[number + 1], segment, _SEGMENT_TYPE)


def _copy(source: int, start: int, end: int, path: Path, head: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(head)
        while start < end:
            start += os.sendfile(file.fileno(), source, start, min(end - start, 1 << 26))
