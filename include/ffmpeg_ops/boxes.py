"""Boxes of MP4 files (ISO/IEC 14496-12): just enough to look at our own."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from include.errors import VerificationFailed

__all__ = ["avc_configuration", "walk"]


def avc_configuration(path: Path) -> bytes:
    """Return the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1): profile, level, parameter sets of the H.264 track."""
    for kind, start, size in walk(path):
        if kind == "moov":
            with path.open("rb") as file:
                file.seek(start)
                moov = file.read(size)
            at = moov.find(b"avcC")
            if at >= 4:
                (length,) = struct.unpack_from(">I", moov, at - 4)
                return moov[at + 4 : at - 4 + length]
    raise VerificationFailed(f"{path.name} has no H.264 track.")


def walk(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield type, start and size of every top-level box; raises :class:`VerificationFailed` where one is cut off."""
    end = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position < end:
            file.seek(position)
            header = file.read(16)
            if len(header) < 8:
                raise VerificationFailed(f"{path.name} is cut off in a box header.")
            size, kind = struct.unpack_from(">I4s", header)
            if size == 1 and len(header) == 16:
                (size,) = struct.unpack_from(">Q", header, 8)
            elif size == 0:
                size = end - position
            if size < 8 or position + size > end:
                raise VerificationFailed(f"{path.name} is cut off in its box {kind.decode('latin-1')}.")
            yield kind.decode("latin-1"), position, size
            position += size
