"""What colours the samples of a still mean: the ICC profile (ISO 15076-1) in a JPEG or PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

__all__ = ["icc_profile"]

_LIMIT = 16 << 20
_HEADER = 128
_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"RGB "}
_MARK = b"ICC_PROFILE\0"


def icc_profile(data: bytes, channels: int) -> bytes | None:
    """Return the profile in the file ``data``; None without a sound one for a picture of ``channels``."""
    try:
        found = _of_png(data) if data.startswith(b"\x89PNG") else _of_jpeg(data)
    except (struct.error, zlib.error):
        return None
    if not _HEADER <= int.from_bytes(found[:4], "big") <= len(found):
        return None
    # A JPEG in CMYK is read as RGB, for which its profile means nothing.
    return found if found[16:20] == _SPACES[channels] and found[36:40] == b"acsp" else None


def _of_png(data: bytes) -> bytes:
    place = 8
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"iCCP":
            _, _, rest = data[place + 8 : place + 8 + size].partition(b"\0")
            return zlib.decompressobj().decompress(rest[1:], _LIMIT)
        if kind == b"IDAT":
            break
        place += 12 + size
    return b""


def _of_jpeg(data: bytes) -> bytes:
    # One segment holds 64 KiB; the parts of a larger profile have numbers, and each says how many there are.
    parts = {part[0]: part for part in _segments(data) if len(part) > 1}
    counts = {part[1] for part in parts.values()}
    whole = len(counts) == 1 and sorted(parts) == list(range(1, counts.pop() + 1))
    return b"".join(parts[number][2:] for number in sorted(parts)) if whole else b""


def _segments(data: bytes) -> Iterator[bytes]:
    place = 2
    while place < len(data):
        marker, size = struct.unpack_from(">HH", data, place)
        if marker < 0xFF00 or marker == 0xFFDA:
            # The picture itself, or what is none of JPEG's.
            break
        if marker == 0xFFE2 and data.startswith(_MARK, place + 4):
            yield data[place + 4 + len(_MARK) : place + 2 + size]
        place += 2 + size
